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
    options: dict = {},
) -> None:
    """Build the model that training starts from, for the tiles that the manifest describes.

    Args:
        manifest: what the shards hold.
        base_model: the compiled, untrained classifier (.keras); takes raw digital numbers.
        summary: its layers, shapes and parameters.
        architecture: the network: cnn.
        seed: seed of the first weights.
        options: rarely changed settings of the network: filters, kernel_size, block_dropout, dropout, dense_units,
            batch_norm_momentum.
    """
    from pathlib import Path

    from tilepipe.components.prepare.config import PrepareConfig
    from tilepipe.components.prepare.prepare import prepare
    from tilepipe.components.shared.step import step

    with step("prepare"):
        config = PrepareConfig.parse(architecture=architecture, seed=seed, options=options)
        base_model.uri += ".keras"
        facts = prepare(config, Path(manifest.path), Path(base_model.path), Path(summary.path))
        base_model.metadata.update(facts)
