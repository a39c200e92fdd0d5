"""KFP component of `export`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def export_model(
    tiles: dsl.Input[dsl.Dataset],
    samples: dsl.Input[dsl.Dataset],
    manifest: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    history: dsl.Input[dsl.Dataset],
    metrics: dsl.Input[dsl.Metrics],
    confusion: dsl.Input[dsl.ClassificationMetrics],
    onnx_model: dsl.Output[dsl.Model],
    bundle: dsl.Output[dsl.Model],
    card: dsl.Output[dsl.Markdown],
    item: dsl.Output[dsl.Artifact],
    name: str = "",
    bundle_uri: str = "",
    options: dict = {},
) -> None:
    """Export a trained model as ONNX, check it against Keras, and bundle it with its description.

    Args:
        tiles: Tile table, for place and time of the tiles (Parquet).
        samples: Tiles on which ONNX is compared with Keras (NumPy archive of evaluate).
        manifest: Contents of the shards (JSON).
        model: Trained classifier (.keras).
        history: Figures of each training epoch (JSON).
        metrics: Figures of the evaluation (JSON).
        confusion: Confusion matrix of the evaluation (JSON).
        onnx_model: Exported classifier (ONNX).
        bundle: Models, labels, bands, figures, card and item, with checksums (.tar.gz).
        card: Model card (Markdown).
        item: STAC item with the MLM extension (JSON).
        name: Name of the model in its files; default: the name of the dataset and the network.
        bundle_uri: Folder or s3://bucket/prefix to which the bundle is copied, under name-YYYY-mm-dd-HH-MM-SS; empty
            copies nothing.
        options: Rarely changed settings of export: {"max_difference": 0.001}, {"parity_tiles": 100} and others.
    """
    from pathlib import Path

    from tilepipe.components.export.config import ExportConfig
    from tilepipe.components.export.export import Inputs, Outputs, export
    from tilepipe.components.shared.runtime.step import step

    with step("export"):
        config = ExportConfig.from_arguments(locals())
        onnx_model.uri, bundle.uri, item.uri = onnx_model.uri + ".onnx", bundle.uri + ".tar.gz", item.uri + ".json"
        read = Inputs(*(Path(a.path) for a in (tiles, samples, manifest, model, history, metrics, confusion)))
        facts = export(config, read, Outputs(*(Path(a.path) for a in (onnx_model, bundle, card, item))))
        onnx_model.metadata.update(facts)
        bundle.metadata.update(name=facts["name"], sha256=facts["bundle_sha256"])
