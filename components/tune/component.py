"""KFP component of `tune`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def tune_candidates(
    train_shards: dsl.Input[list[dsl.Dataset]],
    val_shards: dsl.Input[list[dsl.Dataset]],
    manifest: dsl.Input[dsl.Artifact],
    outcomes: dsl.Output[dsl.Model],
    checkpoint_uri: str = "",
    experiment: str = "tilepipe",
    gpu_count: str = "0",
    gpu_resource: str = "nvidia.com/gpu",
    memory: str = "4Gi",
    share: str = "",
) -> None:
    """Prepare and train the candidates of one worker, one after another.

    Args:
        train_shards: Training tiles, one folder per packed part.
        val_shards: Validation tiles, which rank the candidates.
        manifest: Contents of the shards (JSON).
        outcomes: Folder with the outcome of each candidate (JSON), and the model of the best one (.keras).
        checkpoint_uri: Folder or s3://bucket/prefix for checkpoints, from which an interrupted training resumes; empty
            keeps none, but tilepipe run then keeps them beside its runs.
        experiment: MLflow experiment.
        gpu_count: Number of GPUs to train on; 0 trains on the CPU of any node.
        gpu_resource: Kubernetes resource name of the GPU.
        memory: Memory of the training pod, such as 8Gi; up to a third of it holds tiles.
        share: Candidates of this worker, as JSON: an item of the list that propose returns.
    """
    from pathlib import Path

    from tilepipe.components.shared.runtime.step import step
    from tilepipe.components.tune.candidate_training import Shards
    from tilepipe.components.tune.config import TuneConfig
    from tilepipe.components.tune.tune import tune

    with step("tune"):
        config = TuneConfig.from_arguments(locals())
        train_folders, val_folders = (tuple(Path(a.path) for a in shards) for shards in (train_shards, val_shards))
        found = tune(config, Shards(train_folders, val_folders, Path(manifest.path)), Path(outcomes.path))
        outcomes.metadata.update({outcome.name: outcome.status for outcome in found})
