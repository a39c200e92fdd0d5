"""KFP component of `register`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def register_model(
    bundle: dsl.Input[dsl.Model],
    manifest: dsl.Input[dsl.Artifact],
    predictions: dsl.Input[dsl.Dataset],
    image: str = "",
    mlflow_run_id: str = "",
    name: str = "",
) -> str:
    """Register an exported model in MLflow as the challenger.

    Args:
        bundle: Model with its description (.tar.gz of export).
        manifest: Contents of the shards (JSON); its metadata hold the addresses of the lists of packed tiles.
        predictions: Predictions of the evaluation (Parquet); their metadata hold the addresses of the test shards.
        image: Container image of the training.
        mlflow_run_id: MLflow run that train opened; empty registers nothing, since nothing is tracked.
        name: Name of the model in MLflow's registry; default: the name that export gave it.

    Returns:
        Name and version, such as forests/3; empty if nothing is registered.
    """
    from pathlib import Path

    from tilepipe.components.register.config import RegisterConfig
    from tilepipe.components.register.register import Lineage, register
    from tilepipe.components.shared.contracts.artifact_metadata import read_uris
    from tilepipe.components.shared.runtime.step import step

    with step("register"):
        config = RegisterConfig.from_arguments(locals())
        lineage = Lineage(
            image=image,
            test_shards=read_uris(predictions.metadata.get("test_shards", "")),
            contents=read_uris(manifest.metadata.get("contents", "")),
        )
        return register(config, Path(bundle.path), bundle.metadata.get("sha256", ""), lineage)
