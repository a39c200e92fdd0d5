"""Batches for training and validation."""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.contracts.manifest import SPLITS, Manifest
from tilepipe.components.shared.errors import ParameterError, SplitError
from tilepipe.components.train.input.augmentation import Augmenter
from tilepipe.components.train.input.datasets import BATCHES_AHEAD, PARALLEL_CALLS, without_autotune
from tilepipe.components.train.input.tiles import Tiles
from tilepipe.components.train.optimization.schedules import Schedule

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger("tilepipe.train")


def check_tiles(manifest: Manifest, *, batch_size: int, patience_epochs: int, schedule: Schedule) -> None:
    """Check that the splits fit the parameters, before anything is read.

    A final fit has no validation tiles, since it trains on them: the last epoch is kept, and the test tiles measure it.

    Args:
        manifest: description of the splits.
        batch_size: tiles per step.
        patience_epochs: patience of early stopping; 0 if it is off.
        schedule: the learning-rate schedule.

    Raises:
        SplitError: there are no training tiles, no tiles to measure the model on, or no validation tiles for early
            stopping or reduce_on_plateau.
        ParameterError: the batch is larger than the training split.
    """
    train, val, test = (manifest.splits[split].tiles for split in SPLITS)
    need_validation = [
        name
        for name, is_on in (
            (f"early_stopping_patience_epochs={patience_epochs}", patience_epochs),
            ("schedule='reduce_on_plateau'", schedule == "reduce_on_plateau"),
        )
        if is_on
    ]
    if not train or not (val or test) or (need_validation and not val):
        raise SplitError(
            "Training needs training tiles, and validation or test tiles to measure the model on; early stopping and "
            f"reduce_on_plateau need validation tiles. Received: {train:,} training, {val:,} validation and "
            f"{test:,} test tiles in {manifest.name}{''.join(f', {name}' for name in need_validation)}. "
            "Give `ingest` other `split_fractions`, `split_files` or a `split_property`."
        )
    if not val:
        logger.warning("no validation tiles: the last epoch is kept, even if an earlier one was better")
    if batch_size > train:
        raise ParameterError(
            "`batch_size` must be no larger than the training split. "
            f"Received: batch_size={batch_size} for {train:,} training tiles. "
            f"Use batch_size={_usual_size(train)}, or at most {train:,}."
        )


def _usual_size(tiles: int) -> int:
    """Return the largest power of two with at least four steps per epoch."""
    return 1 << max(0, (tiles // 4).bit_length() - 1)


class Batches:
    """Batches as the model takes them: shuffled and augmented tiles with one-hot labels.

    Args:
        train: the training tiles.
        val: the validation tiles; None if there are none.
        augmenter: augmentation of the training tiles, which also holds their manifest.
        batch_size: tiles per step.
        seed: seed of the augmentation.
        class_weights: one weight per class; None if all tiles weigh the same.
    """

    def __init__(
        self,
        train: Tiles,
        val: Tiles | None,
        augmenter: Augmenter,
        *,
        batch_size: int,
        seed: int,
        class_weights: tuple[float, ...] | None = None,
    ) -> None:
        manifest = augmenter.manifest
        self._train, self._val, self._seed = train, val, seed
        self._classes = len(manifest.class_names)
        self._augment, self._weights = augmenter, class_weights
        self.steps = train.steps
        self.has_validation = val is not None
        self.validation_steps = -(-manifest.splits["val"].tiles // batch_size)
        self.order_identity = train.order_identity
        self.builds_on_device = train.placement == "device"
        self.builds_validation_on_device = val is not None and val.placement == "device"

    def train(self, epoch: int, first_step: int = 0) -> "tf.data.Dataset":
        """Return the batches of an epoch from a step on; they depend only on the seed, the epoch and the step.

        Args:
            epoch: counted from 0; selects the order and the augmentation.
            first_step: number of batches to skip. Defaults to 0.

        Returns:
            Arguments of `to_batch` if the tiles are on the device. Otherwise batches of `images`, the manifest's dtype
            or float32, `(batch_size, height, width, bands)`, `labels`, float32, `(batch_size, classes)`, and with class
            weights `sample_weights`, float32, `(batch_size,)`. An incomplete last batch is dropped.
        """
        import tensorflow as tf

        steps = tf.data.Dataset.range(first_step, self.steps)
        seeds = steps.map(lambda step: tf.stack([tf.constant(self._seed * 2**20 + epoch, tf.int64), step]))
        data = tf.data.Dataset.zip(self._train.shuffled(epoch, first_step), seeds)
        if not self.builds_on_device:
            data = data.map(
                lambda tiles, seed: self.to_batch((tiles, seed)), num_parallel_calls=PARALLEL_CALLS, deterministic=True
            )
        return without_autotune(data.prefetch(BATCHES_AHEAD))

    def to_batch(self, element: Any) -> tuple["tf.Tensor", ...]:  # noqa: ANN401 - as `Tiles` returns them
        """Build a training batch of an element of `Tiles` and a seed, in a data set or on the device."""
        import tensorflow as tf

        tiles, seed = element
        images, classes = self._train.fetch(tiles)
        labels = tf.one_hot(classes, self._classes)
        images, labels = self._augment(images, labels, seed)
        if self._weights is None:
            return images, labels
        return images, labels, tf.linalg.matvec(labels, tf.constant(self._weights, tf.float32))

    def validation(self) -> "tf.data.Dataset":
        """Return the validation batches: every tile once and unchanged; the last batch may be smaller.

        Returns:
            Arguments of `to_validation_batch` if the tiles are on the device; otherwise batches as for training,
            without weights.
        """
        if self._val is None:
            raise ValueError("there are no validation tiles")
        data = self._val.sequential()
        if not self.builds_validation_on_device:
            data = data.map(
                lambda *tiles: self.to_validation_batch(tiles), num_parallel_calls=PARALLEL_CALLS, deterministic=True
            )
        return without_autotune(data.prefetch(BATCHES_AHEAD))

    def to_validation_batch(self, element: Any) -> tuple["tf.Tensor", "tf.Tensor"]:  # noqa: ANN401
        """Build a validation batch of an element of `Tiles`."""
        import tensorflow as tf

        if self._val is None:
            raise ValueError("there are no validation tiles")
        images, classes = self._val.fetch(element)
        return images, tf.one_hot(classes, self._classes)

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise errors of reading shards in place of the TensorFlow errors that they cause."""
        with contextlib.ExitStack() as stack:
            for tiles in filter(None, (self._train, self._val)):
                stack.enter_context(tiles.translate_errors())
            yield
