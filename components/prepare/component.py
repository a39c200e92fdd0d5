"""The KFP face of `prepare`."""

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
    """Build the model that training starts from, for the tiles that the manifest describes.

    Args:
        manifest: what the shards hold.
        base_model: the compiled classifier, not yet trained on the tiles (.keras); takes raw digital numbers.
        summary: its layers, parameters, operations and memory.
        architecture: the network: cnn, compact, efficientnet_lite0, efficientnet_v2_b1, efficientnet_v2_s,
            inception_v3, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small or resnet50.
        seed: seed of the first weights.
        weights_uri: pretrained weights of the network: a path or an s3:// or https:// address of .npz, .h5 or .keras;
            "imagenet" for what Keras downloads; empty for random ones.
        options: rarely changed settings. Of the input: input_size_pixels, input_scaling, indices, sensor,
            reflectance_scale, reflectance_offset. Of the network: batch_norm_momentum; filters, kernel_size,
            block_dropout, dense_units (cnn); width, residual_blocks (compact); drop_connect, stem_stride
            (efficientnet_lite0). Of the head: head_units, pooling, dropout. Of weights: weights_sha256, rgb_bands,
            trainable_backbone (all, last_blocks, none), trainable_blocks. regularizer (none, l1, l2, l1_l2),
            regularizer_rate.
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
