"""KFP component of `propose`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def propose_candidates(
    manifest: dsl.Input[dsl.Artifact],
    tune_space: dict,
    tune_search: str = "grid",
    tune_candidates: int = 20,
    tune_workers: int = 1,
    tune_metric: str = "val_accuracy",
    tune_options: dict = {},
    tune_refit: bool = False,
    experiment: str = "tilepipe",
    seed: int = 0,
    model_architecture: str = "cnn",
    model_options: dict = {},
    model_weights_uri: str = "",
    train_augmentation: list = ["flip", "quarter_turn"],
    train_batch_size: int = 64,
    train_epochs: int = 10,
    train_learning_rate: float = 0.001,
    train_optimizer: str = "adam",
    train_options: dict = {},
) -> list:  # without a name, so `Output`: kfp.local finds the items of a loop under no other
    """List the candidates of a sweep, divided among its workers, and open its MLflow run.

    Args:
        manifest: Contents of the shards (JSON).
        tune_space: Search space: {"train_learning_rate": [0.001, 0.01], "train_options.schedule": ["constant",
            "cosine"], "model_options.indices": [[], ["NDVI"]]}; for a random or TPE search also ranges, {"low": 0.0001,
            "high": 0.01, "log": true}.
        tune_search: grid takes all combinations of the values, random draws tune_candidates of them, tpe chooses as
            many by the results of earlier ones.
        tune_candidates: Number of random or TPE candidates, or size limit of the grid.
        tune_workers: Number of pods that train candidates at the same time; each trains its share one after another.
        tune_metric: Validation metric that ranks the candidates, and selects the best epoch of each: val_accuracy,
            val_loss, val_macro_f1, val_recall/Forest and others.
        tune_options: Rarely changed settings of the sweep: {"rungs": [2, 6]} stops unpromising candidates after 2 and 6
            epochs, {"study_uri": "s3://bucket/study"} continues an earlier sweep.
        tune_refit: Train the best candidate again, on training and validation tiles together, for as many epochs as its
            best one; else its model is used as it is.
        experiment: MLflow experiment.
        seed: Seed of the search, and of candidates without another seed.
        model_architecture: Network: cnn, compact, efficientnet_lite0, efficientnet_v2_b1, efficientnet_v2_s,
            inception_v3, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small, resnet50.
        model_options: Rarely changed settings of the network: {"dropout": 0.3}, {"input_size_pixels": 96}, {"indices":
            ["NDVI"]} and others.
        model_weights_uri: Pretrained weights: a path, s3:// or https:// address of .npz, .h5 or .keras; imagenet for
            those that Keras downloads; empty for random weights.
        train_augmentation: Random changes to training tiles: any of flip, quarter_turn, shift, zoom, contrast,
            brightness, cutout, mixup; [] for none.
        train_batch_size: Tiles per training step, shared by all GPUs.
        train_epochs: Number of passes over the training tiles.
        train_learning_rate: Learning rate of the optimizer.
        train_optimizer: Optimizer: adam, adamw, sgd (with momentum 0.9) or rmsprop.
        train_options: Rarely changed settings of training: {"schedule": "cosine"}, {"ema_momentum": 0.999},
            {"early_stopping_patience_epochs": 5} and others.

    Returns:
        Items of the loop over the workers: the candidates of each, as JSON.
    """
    from pathlib import Path

    from tilepipe.components.propose.config import ProposeConfig
    from tilepipe.components.propose.propose import propose
    from tilepipe.components.shared.runtime.step import step

    with step("propose"):
        return propose(ProposeConfig.from_arguments(locals()), Path(manifest.path))
