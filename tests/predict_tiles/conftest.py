"""A source of small images, a model of their brightness, and the steps of a prediction run one after the other."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.bundles import write_model_bundle
from tests.support.ingesting import ingest_into
from tests.support.minio_server import minio_server
from tests.support.packed import manifest_for
from tilepipe.components.plan.config import PlanConfig
from tilepipe.components.plan.plan import PlanOutputs, plan
from tilepipe.components.predict_tiles.collection import CollectedFiles, PartFiles, collect
from tilepipe.components.predict_tiles.config import PredictTilesConfig
from tilepipe.components.predict_tiles.predict_tiles import Inputs, Outputs, predict_tiles

__all__ = ["minio_server"]

CLASSES = ("Forest", "SeaLake", "Industrial")
BRIGHTNESS = dict(zip(CLASSES, (60, 120, 180), strict=True))
BANDS = ("B04", "B03", "B02")


def write_image(path: Path, brightness: int, size=(8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3), brightness, np.uint8)
    pixels[::2] += 1  # tiles of one value are left out as blank
    Image.fromarray(pixels).save(path)


def rgb_manifest(**changes):
    manifest = manifest_for((8, 8, 3), "uint8", CLASSES, statistics=[(120.0, 50.0)] * 3)
    names = {"bands": BANDS}
    statistics = tuple(
        one.model_copy(update={"band": band}) for band, one in zip(BANDS, manifest.statistics, strict=True)
    )
    return manifest.model_copy(update={**names, "statistics": statistics, **changes})


@dataclass
class Prediction:
    """A source in `new`, a model in `model.tar.gz`, and the outputs of each run in a folder of its own."""

    folder: Path
    runs: int = 0

    @property
    def source(self) -> Path:
        return self.folder / "new"

    def plan(self, *, source="", model="", **parameters):
        self.runs += 1
        out = self.folder / f"run-{self.runs}"
        ingest_into(out, source=source or str(self.source), labels="optional", source_bands=BANDS)
        config = PlanConfig.parse(
            **{"model_uri": model or str(self.folder / "model.tar.gz"), "experiment": "", **parameters}
        )
        files = PlanOutputs(
            *(out / name for name in ("bundle.tar.gz", "reference.parquet", "new.parquet", "plan.json"))
        )
        return plan(config, out / "tiles.parquet", files), files, out

    def predict(self, files: PlanOutputs, out: Path, part: int) -> Outputs:
        outputs = Outputs(*(out / f"{name}-{part}" for name in ("predictions", "quarantine", "moments")))
        predict_tiles(PredictTilesConfig(part=part), Inputs(files.plan, files.bundle, files.new_tiles), outputs)
        return outputs

    def collect(self, files: PlanOutputs, out: Path, parts):
        names = ("predictions.parquet", "quarantine.parquet", "drift.json", "page.html", "metrics.json")
        columns = list(zip(*((o.predictions, o.quarantine, o.moments) for o in parts), strict=True))
        collected = CollectedFiles(*(out / name for name in names))
        return collect(PartFiles(files.plan, files.bundle, files.reference, *columns), collected), collected

    def run(self, **parameters):
        """Run all steps; returns the rows by id, the result and the files."""
        planned, files, out = self.plan(**parameters)
        parts = [self.predict(files, out, part) for part in reversed(range(planned.parts))]
        result, collected = self.collect(files, out, parts)
        rows = {row["tile_id"]: row for row in pq.read_table(collected.predictions).to_pylist()}
        return rows, result, collected


@pytest.fixture
def prediction(tmp_path) -> Prediction:
    write_model_bundle(tmp_path / "model.tar.gz", rgb_manifest(), confusion=[[10, 0, 0], [0, 10, 0], [0, 0, 10]])
    made = Prediction(tmp_path)
    for number in range(6):
        name = CLASSES[number % 3]
        write_image(made.source / f"{number}.png", BRIGHTNESS[name] + number)
    return made
