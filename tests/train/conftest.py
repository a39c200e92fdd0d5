"""A tiny packed data set with a model for it, and trainings of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.packed import write_packed
from tests.support.s3_stores import minio_server, s3_server, s3_servers
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.train import Inputs, Outputs, Trained, train

__all__ = ["minio_server", "s3_server", "s3_servers"]


def save_model(path: Path, shape=(8, 8, 2), classes=3):
    """Save a small model as `prepare` does, always with the same weights."""
    import keras

    keras.utils.set_random_seed(5)
    tiles = keras.Input(shape)
    values = keras.layers.Normalization(mean=[120.0] * shape[2], variance=[2500.0] * shape[2])(tiles)
    values = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(values)
    values = keras.layers.BatchNormalization(momentum=0.5)(values)
    values = keras.layers.GlobalAveragePooling2D()(values)
    values = keras.layers.Dropout(0.1)(values)
    model = keras.Model(tiles, keras.layers.Dense(classes, activation="softmax")(values), name="tiny")
    model.compile(loss="sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    model.save(path)


@dataclass
class Workplace:
    """Artifacts of earlier steps in a folder, and paths for the outputs."""

    folder: Path
    manifest: Manifest

    @property
    def inputs(self) -> Inputs:
        shards = ((self.folder / split,) for split in ("train", "val"))
        return Inputs(*shards, self.folder / "manifest.json", self.folder / "base.keras")

    def outputs(self, name="out") -> Outputs:
        return Outputs(*(self.folder / name / file for file in ("model.keras", "history.json", "curves.html")))

    def train(self, name="out", **parameters) -> Trained:
        given = {"epochs": 2, "batch_size": 8, "learning_rate": 0.03, **parameters}
        return train(TrainConfig.parse(**given), self.inputs, self.outputs(name))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Function that creates a workplace for untracked trainings."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def make(**settings) -> Workplace:
        manifest = write_packed(tmp_path, **settings)
        save_model(tmp_path / "base.keras", manifest.tile_shape, len(manifest.class_names))
        return Workplace(tmp_path, manifest)

    return make
