"""Train the base model on the packed tiles, and keep the best epoch."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.atomic import whole_file
from tilepipe.components.shared.curves import curves_drawing
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.history import History
from tilepipe.components.shared.manifest import Manifest, read_manifest
from tilepipe.components.shared.models import load_model, load_tensorflow
from tilepipe.components.train.batches import check_tiles, make_for_train, make_for_validation
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.devices import set_up_devices
from tilepipe.components.train.page import render_page
from tilepipe.components.train.record import EpochLog, log_inputs, log_results, open_run

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("tilepipe.train")

SGD_MOMENTUM = 0.9


@dataclass(frozen=True)
class Inputs:
    """Where the artifacts of the earlier steps are."""

    train_shards: tuple[Path, ...]
    """Folders, one a part that was packed."""
    val_shards: tuple[Path, ...]
    manifest: Path
    base_model: Path


@dataclass(frozen=True)
class Outputs:
    """Files to appear."""

    model: Path
    history: Path
    curves: Path


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    mlflow_run_id: str
    """Run that is still open, for `evaluate` to close; empty for an untracked one."""
    history: History

    @property
    def facts(self) -> dict[str, Any]:
        """What the model's artifact shall say of it."""
        names = ("val_accuracy", "val_loss") if self.history.has_validation else ()
        figures = {str(name): round(self.history.best[name], 6) for name in names}
        return {"best_epoch": self.history.best_epoch, "epochs": len(self.history.epochs), **figures}


def train(config: TrainConfig, inputs: Inputs, outputs: Outputs) -> Trained:
    """Train a model; the same inputs and seed give the same weights.

    Nothing is written before the training has ended well. The MLflow run is left open.

    Args:
        config: the parameters.
        inputs: what earlier steps wrote.
        outputs: what this one writes: the model with the weights of its best epoch, the history, and a page of it.

    Returns:
        The MLflow run, and the figures of each epoch.

    Raises:
        ArtifactError: an input is damaged, or model, manifest and shards do not belong together.
        SplitError: there are no training tiles, or none to measure the model on.
        ParameterError: a parameter does not fit the tiles or the machine, or the loss left the numbers.
        TrackingError: the tracking server cannot be reached at the start; later it only costs what it misses.
    """
    manifest = read_manifest(inputs.manifest)
    run_id = open_run(config, manifest)
    check_tiles(config, manifest)
    load_tensorflow(gpu=config.gpus > 0)
    device = set_up_devices(config)
    _make_deterministic(config)
    model = load_model(inputs.base_model, manifest)
    train_batches = make_for_train(inputs.train_shards, manifest, config)
    has_val = manifest.splits["val"].tiles > 0
    val_batches = make_for_validation(inputs.val_shards, manifest, config) if has_val else None
    log_inputs(run_id, config, manifest, model, device)
    logger.info("training %s on %s, %s tiles", model.name, device, f"{manifest.splits['train'].tiles:,}")
    epoch_log = EpochLog(run_id)
    history = _fit(model, config, manifest, (train_batches, val_batches), epoch_log)
    model = _without_optimizer(model)
    _write(model, history, manifest, outputs)
    epoch_log.flush()
    files = {
        "curves.html": outputs.curves.read_text(encoding="utf-8"),
        "curves.svg": curves_drawing(history),
        "history.json": outputs.history.read_text(encoding="utf-8"),
    }
    log_results(run_id, manifest, model, history.best_epoch, files)
    return Trained(run_id, history)


def _make_deterministic(config: TrainConfig) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(config.seed)
    if config.options.deterministic:
        tf.config.experimental.enable_op_determinism()


def _fit(
    model: "keras.Model", config: TrainConfig, manifest: Manifest, batches: tuple[Any, Any], epoch_log: EpochLog
) -> History:
    """Train until the last epoch or until patience ends, and leave the best epoch's weights in the model."""
    from tilepipe.components.train.epochs import Epochs

    # XLA made training four times slower on two CPU cores.
    model.compile(
        optimizer=_optimizer(config), loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    steps = manifest.splits["train"].tiles // config.batch_size
    epochs = Epochs(config, (steps * config.batch_size, manifest.splits["val"].tiles), epoch_log)
    train_batches, val_batches = batches
    with _memory_explained(config):
        model.fit(
            train_batches,
            validation_data=val_batches,
            epochs=config.epochs,
            shuffle=False,  # the batches come shuffled
            verbose=0,
            callbacks=[epochs],
        )
    epochs.restore_best()
    history = epochs.history
    logger.info("best epoch: %d of %d, by %s", history.best_epoch, len(history.epochs), history.metric)
    return history


def _optimizer(config: TrainConfig) -> "keras.Optimizer":
    import keras

    match config.optimizer:
        case "adam":
            return keras.optimizers.Adam(config.learning_rate)
        case "sgd":
            return keras.optimizers.SGD(config.learning_rate, momentum=SGD_MOMENTUM)
        case "rmsprop":
            return keras.optimizers.RMSprop(config.learning_rate)


def _without_optimizer(model: "keras.Model") -> "keras.Model":
    """The same layers, not compiled: the optimizer's state is the last epoch's, not the best, and doubles the file."""
    import keras

    return keras.Model(model.input, model.output, name=model.name)


def _write(model: "keras.Model", history: History, manifest: Manifest, outputs: Outputs) -> None:
    with whole_file(outputs.model) as partial:
        model.save(partial)
    history.write(outputs.history)
    with whole_file(outputs.curves) as partial:
        partial.write_text(render_page(history, manifest), encoding="utf-8")


@contextlib.contextmanager
def _memory_explained(config: TrainConfig) -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise ParameterError(
            "A batch must fit into the memory of the device. "
            f"Received: batch_size={config.batch_size}, and TensorFlow ran out of memory: {str(error)[:300]}. "
            f"Use batch_size={max(1, config.batch_size // 2)} or less, or a smaller network."
        ) from error
