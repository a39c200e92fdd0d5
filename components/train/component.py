"""KFP component of `train`."""

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
    """Train a classifier, track every epoch in MLflow, and keep the weights of the best one.

    Args:
        manifest: Contents of the shards (JSON).
        base_model: Untrained classifier (.keras).
        model: Trained classifier with the weights of its best epoch (.keras).
        history: Figures of each epoch (JSON).
        curves: Loss and accuracy per epoch (HTML).
        train_shards: Training tiles, one folder per packed part, which KFP copies to the pod before it starts.
        val_shards: Validation tiles, which select the best epoch; without any, the last epoch is kept.
        train_uris: Instead of train_shards, their addresses: shards are then read while they are needed.
        val_uris: Instead of val_shards, their addresses.
        epochs: Number of passes over the training tiles.
        batch_size: Tiles per training step, shared by all GPUs.
        learning_rate: Learning rate of the optimizer.
        optimizer: Optimizer: adam, adamw, sgd (with momentum 0.9) or rmsprop.
        augmentation: Random changes to training tiles: any of flip, quarter_turn, shift, zoom, contrast, brightness,
            cutout, mixup; [] for none.
        seed: Seed of the tile order and the augmentation.
        checkpoint_uri: Folder or s3://bucket/prefix for checkpoints, from which an interrupted training resumes; empty
            keeps none, but tilepipe run then keeps them beside its runs.
        experiment: MLflow experiment.
        gpu_count: Number of GPUs to train on; 0 trains on the CPU of any node.
        gpu_resource: Kubernetes resource name of the GPU.
        memory: Memory of the training pod, such as 8Gi; up to a third of it holds tiles.
        options: Rarely changed settings of training: {"schedule": "cosine"}, {"ema_momentum": 0.999},
            {"early_stopping_patience_epochs": 5} and others.

    Returns:
        mlflow_run_id: MLflow run, left open for the evaluation; empty if none is tracked.
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
