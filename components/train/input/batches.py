"""The tiles on their way into the model."""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.contracts.manifest import SPLITS, Manifest
from tilepipe.components.shared.errors import ParameterError, SplitError
from tilepipe.components.shared.runtime.datasets import BATCHES_AHEAD, PARALLEL_CALLS, untuned
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.input.augmentation import Augmenter
from tilepipe.components.train.input.tiles import Tiles
from tilepipe.components.train.optimization.class_weights import class_weights

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger("tilepipe.train")


def check_tiles(config: TrainConfig, manifest: Manifest) -> None:
    """Hold the parameters against what was packed, before anything is read.

    A final fit has no validation tiles, since it takes them for training: the last epoch is kept, and the test tiles
    tell how good it is.

    Raises:
        SplitError: there is nothing to train on, nothing to measure the model on, or nothing to stop early by.
        ParameterError: the batch is larger than the training split.
    """
    train, val, test = (manifest.splits[split].tiles for split in SPLITS)
    patience = config.options.early_stopping_patience_epochs
    by_val = [
        name
        for name, is_on in (
            (f"early_stopping_patience_epochs={patience}", patience),
            ("schedule='reduce_on_plateau'", config.options.schedule == "reduce_on_plateau"),
        )
        if is_on
    ]
    if not train or not (val or test) or (by_val and not val):
        raise SplitError(
            "Training needs training tiles, and validation or test tiles to tell how good the model is; early stopping "
            f"and reduce_on_plateau need validation tiles. Received: {train:,} training, {val:,} validation and "
            f"{test:,} test tiles in {manifest.name}{''.join(f', {name}' for name in by_val)}. "
            "Give `ingest` other `split_fractions`, `split_files` or a `split_property`."
        )
    if not val:
        logger.warning("there are no validation tiles: the last epoch is kept, whatever a better one might have been")
    if config.batch_size > train:
        raise ParameterError(
            "`batch_size` must be no larger than the training split. "
            f"Received: batch_size={config.batch_size} for {train:,} training tiles. Use batch_size={train} or less."
        )


class Batches:
    """Batches as the model takes them: tiles in their order, changed by chance, with one-hot labels.

    Args:
        train: the training tiles.
        val: the validation tiles; None where there are none.
        manifest: what they are.
        config: batch size, seed, augmentation and class weights.

    Raises:
        ParameterError: the augmentation or the class weights do not fit the tiles.
    """

    def __init__(self, train: Tiles, val: Tiles | None, manifest: Manifest, config: TrainConfig) -> None:
        self._train, self._val, self._seed = train, val, config.seed
        self._classes = len(manifest.class_names)
        self._augment = Augmenter(config.augmentation, config.options, manifest) if config.augmentation else None
        self._weights = class_weights(config.options, manifest)
        self.steps = train.steps
        self.has_validation = val is not None
        self.validation_steps = -(-manifest.splits["val"].tiles // config.batch_size)
        self.order_identity = train.order_identity
        self.are_made_on_device = train.placement == "device"
        self.validation_is_made_on_device = val is not None and val.placement == "device"

    def train(self, epoch: int, first_step: int = 0) -> "tf.data.Dataset":
        """Batches of an epoch, from a step on: the same ones for the same seed, whatever was read before.

        Args:
            epoch: counted from 0; each has another order and other changes.
            first_step: how many batches to leave out.

        Returns:
            What `made` takes, where the tiles are on the device. Else batches of `images`, the manifest's dtype or
            float32, `(batch_size, height, width, bands)`, `labels`, float32, `(batch_size, classes)`, and with class
            weights `sample_weights`, float32, `(batch_size,)`. The last tiles of an epoch that fill no batch are left
            out; they are others in each epoch.
        """
        import tensorflow as tf

        steps = tf.data.Dataset.range(first_step, self.steps)
        seeds = steps.map(lambda step: tf.stack([tf.constant(self._seed * 2**20 + epoch, tf.int64), step]))
        data = tf.data.Dataset.zip(self._train.shuffled(epoch, first_step), seeds)
        if not self.are_made_on_device:
            data = data.map(
                lambda tiles, seed: self.made((tiles, seed)), num_parallel_calls=PARALLEL_CALLS, deterministic=True
            )
        return untuned(data.prefetch(BATCHES_AHEAD))

    def made(self, element: Any) -> tuple["tf.Tensor", ...]:  # noqa: ANN401 - as `Tiles` gives them
        """Make a training batch of what `Tiles` and the seeds give, wherever that is to be done."""
        import tensorflow as tf

        tiles, seed = element
        images, classes = self._train.fetch(tiles)
        labels = tf.one_hot(classes, self._classes)
        if self._augment:
            images, labels = self._augment(images, labels, seed)
        if self._weights is None:
            return images, labels
        return images, labels, tf.linalg.matvec(labels, tf.constant(self._weights, tf.float32))

    def validation(self) -> "tf.data.Dataset":
        """Batches for validation: every tile once, as it is; the last one may be smaller.

        Returns:
            What `made_for_validation` takes, where the tiles are on the device; else batches as for training, without
            weights.
        """
        if self._val is None:
            raise ValueError("there are no validation tiles")
        data = self._val.in_order()
        if not self.validation_is_made_on_device:
            data = data.map(
                lambda *tiles: self.made_for_validation(tiles), num_parallel_calls=PARALLEL_CALLS, deterministic=True
            )
        return untuned(data.prefetch(BATCHES_AHEAD))

    def made_for_validation(self, element: Any) -> tuple["tf.Tensor", "tf.Tensor"]:  # noqa: ANN401
        """Make a validation batch of what `Tiles` gives."""
        import tensorflow as tf

        if self._val is None:
            raise ValueError("there are no validation tiles")
        images, classes = self._val.fetch(element)
        return images, tf.one_hot(classes, self._classes)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Raise a damaged shard as what it is, where TensorFlow raises an error of its own for it."""
        with contextlib.ExitStack() as stack:
            for tiles in filter(None, (self._train, self._val)):
                stack.enter_context(tiles.explained())
            yield
