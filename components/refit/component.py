"""KFP component of `refit`."""

from typing import NamedTuple

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def refit_winner(
    winner: dsl.Input[dsl.Artifact],
    winner_model: dsl.Input[dsl.Model],
    winner_history: dsl.Input[dsl.Dataset],
    winner_manifest: dsl.Input[dsl.Artifact],
    train_shards: dsl.Input[list[dsl.Dataset]],
    val_shards: dsl.Input[list[dsl.Dataset]],
    model: dsl.Output[dsl.Model],
    history: dsl.Output[dsl.Dataset],
    manifest: dsl.Output[dsl.Artifact],
    checkpoint_uri: str = "",
    experiment: str = "tilepipe",
    gpu_count: str = "0",
    gpu_resource: str = "nvidia.com/gpu",
    memory: str = "4Gi",
    enabled: bool = False,
) -> NamedTuple("Outputs", [("mlflow_run_id", str)]):  # type: ignore[valid-type] # KFP reads the fields from here
    """Train the best candidate again on training and validation tiles, if asked; else pass its model on.

    Args:
        winner: Outcome of the best candidate (JSON).
        winner_model: Its model (.keras).
        winner_history: Figures of each of its epochs (JSON).
        winner_manifest: Contents of the shards (JSON).
        train_shards: Training tiles, one folder per packed part.
        val_shards: Validation tiles, one folder per packed part.
        model: The model to evaluate (.keras).
        history: Figures of each epoch of its training (JSON).
        manifest: Contents of the shards, where those that the model was trained on are training shards (JSON).
        checkpoint_uri: Folder or s3://bucket/prefix for checkpoints, from which an interrupted training resumes; empty
            keeps none, but tilepipe run then keeps them beside its runs.
        experiment: MLflow experiment.
        gpu_count: Number of GPUs to train on; 0 trains on the CPU of any node.
        gpu_resource: Kubernetes resource name of the GPU.
        memory: Memory of the training pod, such as 8Gi; up to a third of it holds tiles.
        enabled: Train the best candidate again, on training and validation tiles together, for as many epochs as its
            best one; else its model is used as it is.

    Returns:
        mlflow_run_id: MLflow run of the sweep, left open for the evaluation; empty if none is tracked.
    """
    from collections import namedtuple
    from pathlib import Path

    from tilepipe.components.refit.config import RefitConfig
    from tilepipe.components.refit.refit import Inputs, Outputs, refit
    from tilepipe.components.shared.runtime.step import step

    with step("refit"):
        config = RefitConfig.from_arguments(locals())
        model.uri, history.uri, manifest.uri = model.uri + ".keras", history.uri + ".json", manifest.uri + ".json"
        files = [Path(a.path) for a in (winner, winner_model, winner_history, winner_manifest)]
        train_folders, val_folders = (tuple(Path(a.path) for a in shards) for shards in (train_shards, val_shards))
        read = Inputs(files[0], files[1], files[2], files[3], train_folders, val_folders)
        run_id = refit(config, read, Outputs(*(Path(a.path) for a in (model, history, manifest))))
        # Of the same tiles; `register` records the addresses of their tables for the gate.
        kept = ("digest", "tiles", "contents")
        manifest.metadata.update({key: value for key, value in winner_manifest.metadata.items() if key in kept})
    return namedtuple("Outputs", ["mlflow_run_id"])(run_id)  # noqa: PYI024 - what KFP's executor takes
