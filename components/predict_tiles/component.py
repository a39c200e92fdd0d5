"""KFP components of `predict_tiles`: the prediction of one part, and the collection of all parts."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def predict_part(
    plan: dsl.Input[dsl.Artifact],
    bundle: dsl.Input[dsl.Model],
    new_tiles: dsl.Input[dsl.Dataset],
    predictions: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Dataset],
    moments: dsl.Output[dsl.Artifact],
    part: str = "0",
) -> None:
    """Predict the classes of the tiles of one part with onnxruntime.

    Args:
        plan: Model, number of tiles and settings (JSON).
        bundle: The model (.tar.gz).
        new_tiles: Tile table of the tiles to predict (Parquet).
        predictions: One row per tile: class, confidence and probabilities (GeoParquet).
        quarantine: Tiles of this part that were left out, with reasons (Parquet).
        moments: Statistics of the bands (JSON).
        part: Number of this worker's part, from 0.
    """
    from pathlib import Path

    from tilepipe.components.predict_tiles.config import PredictTilesConfig
    from tilepipe.components.predict_tiles.predict_tiles import Inputs, Outputs, predict_tiles
    from tilepipe.components.shared.runtime.step import step

    with step("predict_tiles"):
        config = PredictTilesConfig.from_arguments(locals())
        predictions.uri, quarantine.uri = predictions.uri + ".parquet", quarantine.uri + ".parquet"
        moments.uri += ".json"
        inputs = Inputs(*(Path(artifact.path) for artifact in (plan, bundle, new_tiles)))
        outputs = Outputs(*(Path(artifact.path) for artifact in (predictions, quarantine, moments)))
        predictions.metadata["tiles"] = predict_tiles(config, inputs, outputs)


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def collect_predictions(
    plan: dsl.Input[dsl.Artifact],
    bundle: dsl.Input[dsl.Model],
    reference: dsl.Input[dsl.Dataset],
    part_predictions: dsl.Input[list[dsl.Dataset]],
    part_quarantines: dsl.Input[list[dsl.Dataset]],
    part_moments: dsl.Input[list[dsl.Artifact]],
    predictions: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Dataset],
    drift: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Collect the predictions of all parts, compare them with the training data, and keep them.

    Args:
        plan: Model, number of tiles and settings (JSON).
        bundle: The model (.tar.gz).
        reference: Predictions to compare with (Parquet).
        part_predictions: Predictions of all parts (GeoParquet).
        part_quarantines: Tiles of all parts that were left out (Parquet).
        part_moments: Statistics of the bands of all parts (JSON).
        predictions: Exactly one row per predicted tile, sorted by tile_id (GeoParquet 1.1).
        quarantine: Tiles that were left out, with reasons (Parquet).
        drift: Distances of classes, confidence and bands from the training data (JSON).
        page: Classes and drift (HTML).
        metrics: Number of tiles, drift, and the figures of tiles that have labels.
    """
    from pathlib import Path

    from tilepipe.components.predict_tiles.collection import CollectedFiles, PartFiles, collect
    from tilepipe.components.shared.runtime.step import step

    with step("collect"):
        predictions.uri, quarantine.uri = predictions.uri + ".parquet", quarantine.uri + ".parquet"
        drift.uri, page.uri = drift.uri + ".json", page.uri + ".html"
        parts = ([Path(a.path) for a in artifacts] for artifacts in (part_predictions, part_quarantines, part_moments))
        outputs = (Path(artifact.path) for artifact in (predictions, quarantine, drift, page, metrics))
        inputs = PartFiles(Path(plan.path), Path(bundle.path), Path(reference.path), *parts)
        found = collect(inputs, CollectedFiles(*outputs))
        predictions.metadata.update(tiles=found.rows, partition=found.partition)
        for name, value in found.scalars.items():
            metrics.log_metric(name, value)
