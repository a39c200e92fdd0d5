"""A model, and a function that classifies a scene with it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.support.minio_server import minio_server
from tests.support.scenes import write_bundle
from tilepipe.components.predict_scenes.config import PredictScenesConfig
from tilepipe.components.predict_scenes.predict_scenes import Outputs, predict_scenes

__all__ = ["minio_server"]


@dataclass(frozen=True)
class Prediction:
    """Results of a prediction."""

    facts: dict
    folder: Path
    page: str

    def read(self, name: str) -> np.ndarray:
        """Read a map."""
        with rasterio.open(self.folder / name) as file:
            return file.read(1)

    @property
    def classes(self) -> np.ndarray:
        return self.read("classes.tif")

    @property
    def item(self) -> dict:
        return json.loads((self.folder / "item.json").read_text())


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """Return a model of two bands, uint16, with tiles of 8 x 8 pixels."""
    return write_bundle(tmp_path_factory.mktemp("model") / "model.tar.gz")


@pytest.fixture
def predict(bundle: Path, tmp_path: Path) -> Callable[..., Prediction]:
    """Return a function that classifies a scene."""

    def predict(scene: Path | str, **parameters) -> Prediction:
        config = PredictScenesConfig.parse(**{"scene_uri": str(scene), "model_uri": str(bundle), **parameters})
        outputs = Outputs(tmp_path / "out" / "prediction", tmp_path / "out" / "page.html")
        facts = predict_scenes(config, outputs)
        return Prediction(facts, outputs.prediction, outputs.page.read_text())

    return predict
