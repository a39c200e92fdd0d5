"""The undisturbed run that every fault is compared with: tiles in MinIO, and the outputs of all steps."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from tests.chaos import later_steps
from tests.chaos.steps import Run, digests, execute
from tests.support.minio_server import S3Server, own_server

CLASSES = ("Forest", "River", "SeaLake")
TILES_PER_CLASS = 10
BUCKET = "chaos"
STEPS = ("ingest", "pack", "merge", "prepare", "train", *later_steps.CALLS)
SETTINGS = {
    "ingest": {"source": f"s3://{BUCKET}/tiles", "source_bands": ("one", "two", "three")},
    "pack": {"options": {"readers": 4}},
    "merge": {},
    "prepare": {"architecture": "cnn", "options": {"filters": [4], "dropout": 0.0}},
    "train": {
        "epochs": 4,
        "batch_size": 4,
        "learning_rate": 0.01,
        "options": {"checkpoint_every_epochs": 1, "checkpoint_every_seconds": 0},
    },
    "evaluate": {},
    "export": {},
    "plan": {},
    "predict_tiles": {},
    "predict_scenes": {},
    "tune": {
        "tune_space": {"train_learning_rate": [0.01, 0.02]},
        "model_options": {"filters": [4], "dense_units": 4},
        "train_batch_size": 8,
        "train_epochs": 2,
    },
    "select": {},
    "refit": {"enabled": True},
}


@dataclass(frozen=True)
class Ground:
    """What faults are injected into.

    Args:
        folder: scratch folder.
        server: the MinIO with the tiles.
        reference: folder with the outputs of the undisturbed run.
        digests: step -> digests of its outputs.
        seconds: step -> duration of the undisturbed run.
    """

    folder: Path
    server: S3Server
    reference: Path
    digests: dict[str, dict[str, str]]
    seconds: dict[str, float]

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """Return the variables of a step, for MinIO or a proxy in front of it."""
        return s3_environment(self.server, endpoint)

    def scratch(self, name: str) -> Path:
        """Return a new empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


def s3_environment(server: S3Server, endpoint: str = "") -> dict[str, str]:
    """Return the variables that name a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint or server.endpoint,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": "us-east-1",
        "MLFLOW_TRACKING_URI": "",
    }


@contextmanager
def prepared(folder: Path) -> Iterator[Ground]:
    """Start MinIO, upload tiles, and run all steps once.

    Raises:
        RuntimeError: an undisturbed step failed.
    """
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with own_server(folder / "minio") as server:
        bucket = server.make_bucket(BUCKET)
        for number in range(TILES_PER_CLASS * len(CLASSES)):
            label = CLASSES[number % len(CLASSES)]
            bucket.put_object(Key=f"tiles/{label}/{number}.tif", Body=tile(number))
        reference = folder / "reference"
        reference.mkdir()
        write_scene(reference / "scene.tif")
        found, seconds = {}, {}
        for step in STEPS:
            ended = execute(Run(step, reference, SETTINGS.get(step, {}), s3_environment(server)))
            if ended.code != 0:
                raise RuntimeError(f"{step} must succeed without a fault: {ended.log[-2000:]}")
            found[step], seconds[step] = digests(reference, step), ended.seconds
        yield Ground(folder, server, reference, found, seconds)


def write_scene(path: Path) -> None:
    """Write a scene of 4 by 4 tiles."""
    import rasterio

    pixels = np.concatenate([np.concatenate([_pixels(4 * row + number) for number in range(4)], 1) for row in range(4)])
    profile = {"driver": "GTiff", "height": 48, "width": 48, "count": 3, "dtype": "uint16", "crs": "EPSG:32631"}
    transform = rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 4_700_000.0)
    with rasterio.open(path, "w", transform=transform, **profile) as file:
        file.write(np.moveaxis(pixels, -1, 0))
        for index, name in enumerate(SETTINGS["ingest"]["source_bands"], 1):
            file.set_band_description(index, name)


def _pixels(number: int) -> np.ndarray:
    draws = np.random.default_rng(number)
    return draws.normal(400 * (1 + number % len(CLASSES)), 60, (12, 12, 3)).clip(1, 4000).astype(np.uint16)


def tile(number: int) -> bytes:
    """Create a GeoTIFF of one class, 12 by 12 pixels of 3 bands."""
    file = io.BytesIO()
    tifffile.imwrite(file, _pixels(number), photometric="rgb", metadata=None)
    return file.getvalue()
