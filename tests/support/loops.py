"""Training loops over a tiny packed data set, outside the step; and handlers that inspect them."""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.packed import write_packed
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.train.checkpoints.file import State
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.input.augmentation import Augmenter
from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.input.tiles import open_tiles
from tilepipe.components.train.loop.devices import Devices
from tilepipe.components.train.optimization.class_weights import class_weights

TILES = (36, 11, 0)  # with batches of 6, the last one of the validation is smaller
CLOCK = {"seconds", "tiles_per_second"}


def make_model(shape=(4, 4, 2), classes=3, *, backbone=True, frozen=()):
    """Build a classifier with layers that have state (normalization, dropout) and a penalty; its weights are fixed.

    Args:
        shape: shape of a tile.
        classes: number of classes.
        backbone: whether the part before the head is a nested model, as in pretrained networks.
        frozen: names of the layers of the backbone to freeze, of `first` and `second`.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    tiles = keras.Input(shape)
    standardised = layers.Normalization(mean=[120.0] * shape[2], variance=[2500.0] * shape[2])(tiles)
    inner = keras.Input(shape)
    values = layers.Conv2D(3, 1, name="first")(inner)
    values = layers.BatchNormalization(momentum=0.5, name="normalized")(values)
    values = layers.Conv2D(4, 1, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01), name="second")(
        values
    )
    part = keras.Model(inner, values, name="backbone" if backbone else "body")
    for name in frozen:
        part.get_layer(name).trainable = False
    values = layers.GlobalAveragePooling2D()(part(standardised))
    values = layers.Dropout(0.2)(values)
    return keras.Model(tiles, layers.Dense(classes, activation="softmax", name="probabilities")(values), name="tiny")


class RecordStub:
    """Replacement of `Record` that keeps everything it receives."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.curves: list[bytes] = []
        self.steps: list[int] = []

    def running(self, step: int, figures: Any) -> None:
        assert all(np.isfinite(value) for value in figures.values())
        self.steps.append(step)

    def epoch(self, epoch: int, figures: Any, curves: bytes = b"") -> None:
        self.epochs.append(epoch)
        self.curves.append(curves)


class HaltError(RuntimeError):
    """Ends a loop like the end of a killed process."""


@dataclass
class Look:
    """Handler that keeps the states after given steps, as restored from a file, and may end the loop there.

    The key of a state is `(epoch, step)`: finished epochs, and finished steps of the next one.
    """

    at: tuple[tuple[int, int], ...] = ()
    halts: bool = False
    before: Any = None
    """Function that is called with the loop at each step."""
    states: dict[tuple[int, int], State] = field(default_factory=dict)

    def begun(self, loop: Any) -> None:
        self._look(loop)

    def stepped(self, loop: Any) -> None:
        self._look(loop)

    def epoch_ended(self, loop: Any) -> None:
        self._look(loop)

    def _look(self, loop: Any) -> None:
        if self.before:
            self.before(loop)
        place = (loop._at.epoch, loop._at.step)
        if place in self.at:
            state = loop.state
            facts = json.loads(json.dumps(dict(state.facts)))
            self.states[place] = State(dict(state.arrays), dict(state.best), facts)
            if self.halts:
                raise HaltError


@dataclass
class Ground:
    """Packed tiles in a folder, and training loops with them."""

    folder: Path
    manifest: Manifest

    @classmethod
    def make(cls, folder: Path, tiles=TILES, shape=(4, 4, 2), **settings) -> "Ground":
        return cls(folder, write_packed(folder, tiles=tiles, shape=shape, **settings))

    def config(self, **parameters) -> TrainConfig:
        given = {"epochs": 2, "batch_size": 6, "learning_rate": 0.03, **parameters}
        return TrainConfig.parse(**given)

    @contextlib.contextmanager
    def batches(self, config):
        """Open the tiles as the step does."""
        with contextlib.ExitStack() as stack:
            splits = ["train", "val"] if self.manifest.splits["val"].tiles else ["train"]
            tiles = [
                stack.enter_context(
                    open_tiles(
                        [self.folder / split],
                        split,
                        self.manifest,
                        batch_size=config.batch_size,
                        seed=config.seed,
                        options=config.options,
                        memory_mebibytes=config.memory_mebibytes,
                    )
                )
                for split in splits
            ]
            yield Batches(
                tiles[0],
                tiles[1] if len(tiles) > 1 else None,
                Augmenter(config.augmentation, config.options, self.manifest),
                batch_size=config.batch_size,
                seed=config.seed,
                class_weights=class_weights(config.options, self.manifest),
            )

    @contextlib.contextmanager
    def loop(self, model=None, devices=None, **parameters):
        """Create a loop; yields it, its model, and its record stub."""
        import tensorflow as tf

        from tilepipe.components.shared.layers.fused_norm import fused_normalization
        from tilepipe.components.train.loop.epochs import Epochs
        from tilepipe.components.train.loop.loop import Loop

        config = self.config(**parameters)
        devices = devices or Devices(tf.distribute.get_strategy(), "CPU", 0)
        if model is None:
            with devices.strategy.scope():
                model = make_model(self.manifest.tile_shape, len(self.manifest.class_names))
        received = RecordStub()
        with self.batches(config) as batches, fused_normalization(model):
            epochs = Epochs(config, (batches.steps * config.batch_size, self.manifest.splits["val"].tiles), received)
            yield Loop(model, config, self.manifest, batches, devices, epochs), model, received

    def run(self, look=None, start=None, **parameters):
        """Train; returns the history, the variables of the model, and the record stub."""
        with self.loop(**parameters) as (loop, model, received):
            history = loop.run(look or Look(), loop._config.learning_rate, start)
            return history, [variable.numpy() for variable in model.variables], received


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def timeless(history):
    """Return the figures that do not depend on the clock."""
    return [{name: value for name, value in epoch.items() if name not in CLOCK} for epoch in history.epochs]
