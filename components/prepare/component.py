"""KFP component of `prepare`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def prepare_model(
    manifest: dsl.Input[dsl.Artifact],
    base_model: dsl.Output[dsl.Model],
    summary: dsl.Output[dsl.Markdown],
    architecture: str = "cnn",
    seed: int = 0,
    weights_uri: str = "",
    options: dict = {},
) -> None:
    """Build the untrained model for the tiles that the manifest describes.

    Args:
        manifest: Contents of the shards (JSON).
        base_model: Compiled, untrained classifier of raw digital numbers (.keras).
        summary: Layers, parameters, operations and memory of the model (Markdown).
        architecture: Network: cnn, compact, efficientnet_lite0, efficientnet_v2_b1, efficientnet_v2_s, inception_v3,
            mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small, resnet50.
        seed: Seed of the initial weights.
        weights_uri: Pretrained weights: a path, s3:// or https:// address of .npz, .h5 or .keras; imagenet for those
            that Keras downloads; empty for random weights.
        options: Rarely changed settings of the network: {"dropout": 0.3}, {"input_size_pixels": 96}, {"indices":
            ["NDVI"]} and others.
    """
    from pathlib import Path

    from tilepipe.components.prepare.config import PrepareConfig
    from tilepipe.components.prepare.prepare import prepare
    from tilepipe.components.shared.runtime.step import step

    with step("prepare"):
        config = PrepareConfig.from_arguments(locals())
        base_model.uri += ".keras"
        facts = prepare(config, Path(manifest.path), Path(base_model.path), Path(summary.path))
        base_model.metadata.update(facts)
