"""Train the base model on the packed tiles, and keep the best epoch."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import Manifest, Split, read_manifest
from tilepipe.components.shared.contracts.model_file import load_model, load_tensorflow
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.pages.curves import curves_drawing
from tilepipe.components.shared.pages.markup import Markup
from tilepipe.components.shared.pages.page import section
from tilepipe.components.shared.runtime import cluster
from tilepipe.components.shared.storage.atomic import whole_file, write_whole
from tilepipe.components.shared.tracking import nested_runs
from tilepipe.components.shared.version import VERSION
from tilepipe.components.train.checkpoints.checkpoints import Checkpoints
from tilepipe.components.train.checkpoints.file import State
from tilepipe.components.train.checkpoints.intervals import CheckpointOptions
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.figures.epoch_figures import check_best_metric
from tilepipe.components.train.input.augmentation import Augmenter
from tilepipe.components.train.input.batches import Batches, check_tiles
from tilepipe.components.train.input.tiles import Tiles, open_tiles
from tilepipe.components.train.loop.devices import Devices, choose_use, set_precision, set_up_devices
from tilepipe.components.train.loop.interruptions import InterruptionHandler
from tilepipe.components.train.loop.sigterm import on_sigterm
from tilepipe.components.train.optimization.class_weights import class_weights
from tilepipe.components.train.optimization.learning_rate_finder import RateCurve
from tilepipe.components.train.report.learning_rate_plot import rate_drawing
from tilepipe.components.train.report.training_page import render_page
from tilepipe.components.train.tracking.recorder import Record, open_record
from tilepipe.components.train.tracking.trackers import Results, TrackingOptions

if TYPE_CHECKING:
    import keras

    from tilepipe.components.train.loop.loop import Loop

logger = logging.getLogger("tilepipe.train")


@dataclass(frozen=True)
class Inputs:
    """Artifacts of the earlier steps."""

    train_shards: tuple[Path, ...] | tuple[str, ...]
    """Folders, one per packed part; or their addresses, from which shards are read on demand."""
    val_shards: tuple[Path, ...] | tuple[str, ...]
    manifest: Path
    base_model: Path


@dataclass(frozen=True)
class Outputs:
    """Files to write."""

    model: Path
    history: Path
    curves: Path


@dataclass(frozen=True)
class Trained:
    """Result of a training."""

    mlflow_run_id: str
    """MLflow run, still open for `evaluate`; empty if the training is untracked."""
    history: History

    @property
    def facts(self) -> dict[str, Any]:
        """Metadata of the model artifact."""
        names = {"val_accuracy", "val_loss", self.history.metric} if self.history.has_validation else ()
        figures = {str(name): round(self.history.best[name], 6) for name in sorted(names)}
        return {"best_epoch": self.history.best_epoch, "epochs": len(self.history.epochs), **figures}


def train(config: TrainConfig, inputs: Inputs, outputs: Outputs, *, pause_after_epochs: int = 0) -> Trained:
    """Train a model; the same inputs and seed give the same weights.

    Before the training has finished, only checkpoints are written, from which a killed training resumes when it is
    started again with the same inputs. The MLflow run is left open.

    Args:
        config: the parameters.
        inputs: artifacts of the earlier steps.
        outputs: files to write: the model with the weights of its best epoch, the history, and a page with its curves.
        pause_after_epochs: pause after this number of epochs, with a checkpoint to resume from. Defaults to 0: never.

    Returns:
        The MLflow run, and the figures of each epoch.

    Raises:
        ArtifactError: an input is damaged, or model, manifest and shards do not match.
        SplitError: there are no training tiles, or no tiles to measure the model on.
        ParameterError: a parameter does not fit the tiles or the machine, or the loss is not finite.
        StorageError: the checkpoint location is not writable.
        TrackingError: the tracking server cannot be reached at the start.
        Stopped: the process was asked to stop.
        Paused: the training has reached `pause_after_epochs`.
    """
    manifest = read_manifest(inputs.manifest)
    check_tiles(
        manifest,
        batch_size=config.batch_size,
        patience_epochs=config.options.early_stopping_patience_epochs,
        schedule=config.options.schedule,
    )
    if manifest.splits["val"].tiles:
        tiles_per_class = manifest.splits["val"].tiles_per_class
        check_best_metric(config.options.best_metric, manifest.class_names, tiles_per_class)
    load_tensorflow(gpu=config.gpus > 0)
    from tilepipe.components.shared.layers.fused_norm import fused_normalization
    from tilepipe.components.train.loop.few_steps import warn_of_few_steps

    devices = set_up_devices(config)
    _make_deterministic(config)
    with devices.strategy.scope():
        model = load_model(inputs.base_model, manifest)
    with contextlib.ExitStack() as stack:
        request = stack.enter_context(on_sigterm())
        stack.enter_context(_translate_memory_errors(config))
        checkpoints = _open_checkpoints(stack, config, manifest, model)
        batches = _open_batches(stack, inputs, manifest, config, devices)
        start = _latest(checkpoints, batches)
        earlier = start.facts if start else {}
        run_id, record = open_record(
            config.experiment, manifest, config.options, earlier.get("record"), architecture=model.name
        )
        stack.enter_context(record)
        devices = devices.as_chosen(earlier["use"]) if start else choose_use(devices, model, manifest, config)
        set_precision(model, devices.precision)
        # Candidates of a sweep are compared by their parameters, also where one has the default.
        given = config.model_dump(exclude_defaults=not nested_runs.name())
        record.start(given, manifest, _facts_of(model, devices))
        steps, tiles = batches.steps, manifest.splits["train"].tiles
        logger.info(
            "training %s on %s: %s tiles, %s steps of %s tiles per epoch",
            *(model.name, devices.name, f"{tiles:,}", f"{steps:,}", f"{config.batch_size:,}"),
        )
        if not start:
            warn_of_few_steps(config, model, steps)
        loop = _make_loop(model, config, manifest, batches, devices, record)
        with fused_normalization(model):
            curve = _rate_curve(loop, config, earlier)
            kept = {
                "use": devices.facts(),
                "order": batches.order_identity,
                "rate_curve": curve.model_dump(mode="json") if curve else None,
            }
            interruptions = InterruptionHandler(checkpoints, config.options, record, kept, request)
            rate = _learning_rate(config, curve)
            history = loop.run(interruptions, rate, start, pause_after_epochs=pause_after_epochs)
        set_precision(model, "float32")
        files = _write(model, history, manifest, outputs, curve)
        record.finish(Results(manifest, model, history.best_epoch, files))
        if checkpoints:
            checkpoints.remove()
    return Trained(run_id, history)


def _make_deterministic(config: TrainConfig) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(config.seed)
    if config.options.deterministic:
        tf.config.experimental.enable_op_determinism()


def _open_checkpoints(
    stack: contextlib.ExitStack, config: TrainConfig, manifest: Manifest, model: "keras.Model"
) -> Checkpoints | None:
    if not config.checkpoint_uri:
        return None
    checkpoints = stack.enter_context(Checkpoints(config.checkpoint_uri, _identity(config, manifest, model)))
    weights_bytes = sum(variable.value.numpy().nbytes for variable in model.variables)
    checkpoints.check(4 * weights_bytes)  # the weights, two moments of an optimizer, the best weights
    return checkpoints


def _latest(checkpoints: Checkpoints | None, batches: Batches) -> State | None:
    """Return the state to resume from; None if there is none, or the order of the tiles differs."""
    state = checkpoints.latest() if checkpoints else None
    if state is None:
        return None
    if state.facts["order"] != batches.order_identity:
        logger.warning(
            "starting over: the order of the tiles has changed from %s in the checkpoint to %s",
            state.facts["order"],
            batches.order_identity,
        )
        return None
    epoch, step = state.facts["epoch"], state.facts["step"]
    if epoch or step:
        logger.info("resuming from epoch %d, step %d", epoch + 1, step)
    else:
        logger.info("starting again: the training was interrupted before its first checkpoint was due")
    return state


def _identity(config: TrainConfig, manifest: Manifest, model: "keras.Model") -> str:
    """Return a digest of all that determines the result of the training, and of the Kubeflow run."""
    weights = xxhash.xxh3_128()
    for variable in model.variables:
        weights.update(variable.numpy().tobytes())
    elsewhere = {*CheckpointOptions.model_fields, *TrackingOptions.model_fields}
    facts = {
        "tilepipe": VERSION,
        "config": config.model_dump(
            mode="json", exclude={"checkpoint_uri": True, "memory": True, "options": elsewhere}
        ),
        "data": manifest.digest,
        "model": model.to_json(),
        "weights": weights.hexdigest(),
        "run": cluster.workflow_name(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _open_batches(
    stack: contextlib.ExitStack, inputs: Inputs, manifest: Manifest, config: TrainConfig, devices: Devices
) -> Batches:
    def opened(split: Split, where: Sequence[Path] | Sequence[str]) -> Tiles:
        tiles = open_tiles(
            where,
            split,
            manifest,
            batch_size=config.batch_size,
            seed=config.seed,
            options=config.options,
            memory_mebibytes=config.memory_mebibytes,
            gpu=devices.gpus == 1,  # several GPUs do not share memory
        )
        return stack.enter_context(tiles)

    val = opened("val", inputs.val_shards) if manifest.splits["val"].tiles else None
    return Batches(
        opened("train", inputs.train_shards),
        val,
        Augmenter(config.augmentation, config.options, manifest),
        batch_size=config.batch_size,
        seed=config.seed,
        class_weights=class_weights(config.options, manifest),
    )


def _make_loop(
    model: "keras.Model", config: TrainConfig, manifest: Manifest, batches: Batches, devices: Devices, record: Record
) -> "Loop":
    from tilepipe.components.train.loop.epochs import Epochs
    from tilepipe.components.train.loop.loop import Loop

    tiles = (batches.steps * config.batch_size, manifest.splits["val"].tiles)
    # Reading the loss makes the host wait for the GPU.
    epochs = Epochs(config, tiles, record, check_every_steps=50 if devices.gpus else 1)
    return Loop(model, config, manifest, batches, devices, epochs)


def _rate_curve(loop: "Loop", config: TrainConfig, earlier: Mapping[str, Any]) -> RateCurve | None:
    """Return the curve of the learning-rate finder, from the checkpoint or computed now; None if it is off."""
    if config.options.learning_rate_finder == "off":
        return None
    if earlier:
        return RateCurve.model_validate(earlier["rate_curve"])
    return loop.find_rate(config.learning_rate)


def _learning_rate(config: TrainConfig, curve: RateCurve | None) -> float:
    if not curve or config.options.learning_rate_finder == "report":
        return config.learning_rate
    if curve.suggestion is None:
        logger.warning("no learning rate reduced the loss: using learning_rate=%g", config.learning_rate)
        return config.learning_rate
    logger.info("using the learning rate suggested by the finder: %.2g", curve.suggestion)
    return curve.suggestion


def _facts_of(model: "keras.Model", devices: Devices) -> dict[str, Any]:
    return {
        "model.name": model.name,
        "model.parameters": model.count_params(),
        "device": devices.name,
        "device.precision": devices.precision,
        "device.xla": devices.xla,
    }


def _write(
    model: "keras.Model", history: History, manifest: Manifest, outputs: Outputs, curve: RateCurve | None
) -> dict[str, str]:
    """Write the outputs of the step; return text files by name for the trackers."""
    with whole_file(outputs.model) as partial:
        model.save(partial)
    history.write(outputs.history)
    page = render_page(history, manifest, _finder_section(curve) if curve else None)
    write_whole(outputs.curves, page)
    files = {
        "curves.html": page,
        "curves.svg": curves_drawing(history),
        "history.json": outputs.history.read_text(encoding="utf-8"),
    }
    if curve:
        files |= {"learning-rates.json": curve.model_dump_json(indent=2), "learning-rates.svg": rate_drawing(curve)}
    return files


def _finder_section(curve: RateCurve) -> Markup:
    suggested = "none, since the loss did not fall" if curve.suggestion is None else f"{curve.suggestion:.2g}"
    note = f"Loss of single batches while the learning rate rises. Suggested rate: {suggested}. The steps were undone."
    return section("Learning-rate finder", note, rate_drawing(curve))


@contextlib.contextmanager
def _translate_memory_errors(config: TrainConfig) -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise ParameterError(
            "A batch must fit into device memory. "
            f"Received: batch_size={config.batch_size}, and TensorFlow ran out of memory: {str(error)[:300]}. "
            f"Use batch_size={max(1, config.batch_size // 2)} or less, or a smaller network."
        ) from error
