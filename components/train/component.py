"""The KFP face of `train`."""

from typing import NamedTuple

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def train_model(
    manifest: dsl.Input[dsl.Artifact],
    base_model: dsl.Input[dsl.Model],
    model: dsl.Output[dsl.Model],
    history: dsl.Output[dsl.Dataset],
    curves: dsl.Output[dsl.HTML],
    train_shards: dsl.Input[list[dsl.Dataset]] = None,
    val_shards: dsl.Input[list[dsl.Dataset]] = None,
    train_uris: list = [],
    val_uris: list = [],
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 0.001,
    optimizer: str = "adam",
    augmentation: list = ["flip", "quarter_turn"],
    seed: int = 0,
    checkpoint_uri: str = "",
    experiment: str = "tilepipe",
    gpu_count: str = "0",
    gpu_resource: str = "nvidia.com/gpu",
    memory: str = "4Gi",
    options: dict = {},
) -> NamedTuple("Outputs", [("mlflow_run_id", str)]):  # type: ignore[valid-type] # KFP reads the fields from here
    """Train a classifier, track every epoch in MLflow, and keep the best one.

    Args:
        manifest: what the shards hold.
        base_model: the untrained classifier (.keras).
        model: the trained classifier (.keras), with the weights of its best epoch.
        history: figures of each epoch (.json).
        curves: loss and accuracy against epochs (.html).
        train_shards: training tiles, a folder a part that was packed; KFP copies them to the pod before it starts.
        val_shards: validation tiles, which choose the best epoch; without any the last one is kept.
        train_uris: instead of train_shards, where they are: shards are then read as they are needed.
        val_uris: the same for val_shards.
        epochs: passes over the training tiles.
        batch_size: tiles a step, shared by all GPUs.
        learning_rate: learning rate of the optimizer.
        optimizer: adam, adamw, sgd (with momentum 0.9) or rmsprop.
        augmentation: any of flip, quarter_turn, shift, zoom, contrast, brightness, cutout, mixup; [] is none. Never
            applied to validation tiles.
        seed: seed of the tiles' order and the augmentation.
        checkpoint_uri: folder or s3:// address for checkpoints, from which a training goes on that was killed.
        experiment: MLflow experiment.
        gpu_count: how many GPUs the pod asked for; 0 trains on the CPU.
        gpu_resource: resource name of the GPU.
        memory: memory that the pod was given; a third of it may hold tiles.
        options: rarely changed settings, listed in the step's README.

    Returns:
        mlflow_run_id: MLflow run, left open for the evaluation; empty where nothing is tracked.
    """
    from collections import namedtuple
    from pathlib import Path

    from tilepipe.components.shared.runtime.step import step
    from tilepipe.components.train.config import TrainConfig
    from tilepipe.components.train.train import Inputs, Outputs, train

    with step("train"):
        config = TrainConfig.from_arguments(locals())
        model.uri, history.uri, curves.uri = model.uri + ".keras", history.uri + ".json", curves.uri + ".html"
        train_folders, val_folders = (
            tuple(Path(a.path) for a in shards or ()) for shards in (train_shards, val_shards)
        )
        read = Inputs(
            train_folders or tuple(train_uris),
            val_folders or tuple(val_uris),
            Path(manifest.path),
            Path(base_model.path),
        )
        trained = train(config, read, Outputs(*(Path(a.path) for a in (model, history, curves))))
        model.metadata.update(trained.facts)
    return namedtuple("Outputs", ["mlflow_run_id"])(trained.mlflow_run_id)  # noqa: PYI024 - what KFP's executor takes
