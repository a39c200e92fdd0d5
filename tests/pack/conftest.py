import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.support.s3_stores import minio_server, s3_server, s3_servers
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.merge import MergeInputs, merge
from tilepipe.components.pack.pack import PackOutputs, pack
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.contracts.tile_table import SCALING, SCHEMA, TileTableInfo, write_tile_table

__all__ = ["minio_server", "s3_server", "s3_servers"]

TRUE_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""Order of the bands in EuroSAT's files."""
CLAIMED_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Order of the bands in EuroSAT100's metadata."""


def write_geotiff(path, pixels, descriptions=(), **profile):
    """Encode a GeoTIFF as GDAL writes it, from `(height, width, bands)`."""
    import rasterio
    from rasterio import Affine

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, bands = pixels.shape
    settings = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": bands,
        "dtype": pixels.dtype,
        "crs": "EPSG:32631",
        "transform": Affine(10, 0, 500000, 0, -10, 5500000),
        **profile,
    }
    with rasterio.open(path, "w", **settings) as file:
        file.write(np.moveaxis(pixels, -1, 0))
        if descriptions:
            file.descriptions = tuple(descriptions)
    return path


def random_pixels(seed=0, shape=(8, 8, 4), dtype="uint16", high=3000):
    pixels = np.random.default_rng(seed).integers(1, high, shape)
    return pixels.astype(dtype)


@dataclasses.dataclass
class Table:
    """Builder of a tile table, with a file in `folder` per tile."""

    folder: Path
    rows: list = dataclasses.field(default_factory=list)

    def add(self, tile_id, path, label="a", split="train", **more):
        self.rows.append({"tile_id": tile_id, "uri": str(path), "label": label, "split": split, **more})

    def add_geotiffs(
        self, count, *, classes=("a", "b"), splits=("train", "train", "val", "test"), descriptions=(), **k
    ):
        """Add random tiles, whose classes and splits alternate."""
        for number in range(count):
            path = write_geotiff(self.folder / f"{number}.tif", random_pixels(number, **k), descriptions)
            split = splits[number // len(classes) % len(splits)]
            self.add(f"tile-{number}", path, classes[number % len(classes)], split)

    def write(self, **info):
        values = {
            "name": "tiles of a test",
            "source": str(self.folder),
            "source_kind": "folder",
            "class_names": tuple(sorted({str(row["label"]) for row in self.rows})),
            **info,
        }
        path = self.folder / "table.parquet"
        schema = SCHEMA.append(SCALING) if any("scaling" in row for row in self.rows) else SCHEMA
        columns = {name: [row.get(name) for row in self.rows] for name in schema.names}
        write_tile_table(pa.table(columns, schema=schema), TileTableInfo(**values), path)
        return path


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path / "tiles")


@pytest.fixture
def run(tmp_path):
    """Function that packs a table into `out`, in one part or several, merges, and returns the manifest."""

    def packed(tiles, out="out", parts=1, **parameters):
        folders = [tmp_path / out / (f"part-{part}" if parts > 1 else "") for part in range(parts)]
        for part, folder in enumerate(folders):
            pack(PackConfig.parse(part=part, parts=parts, **parameters), tiles, outputs(folder))
        return merge(merge_inputs(folders), tmp_path / out / "manifest.json", tmp_path / out / "q.parquet")

    return packed


def outputs(folder):
    files = (folder / name for name in ("part.json", "contents.parquet", "part-q.parquet"))
    return PackOutputs({split: folder / split for split in SPLITS}, *files)


def merge_inputs(folders):
    names = ("part.json", "contents.parquet", "part-q.parquet")
    return MergeInputs(*([folder / name for folder in folders] for name in names))


def read_records(folder):
    """Read the records of a split with TensorFlow: `(tile_id, label, image bytes)`, in order."""
    import tensorflow as tf

    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in KINDS.items()}
    files = sorted(str(path) for path in folder.glob("*.tfrecord"))
    for record in tf.data.TFRecordDataset(files):
        example = tf.io.parse_single_example(record, features)
        yield example["tile_id"].numpy().decode(), int(example["label"]), example["image"].numpy()


KINDS = {"image": "string", "label": "int64", "tile_id": "string"}


def write_picture(path, pixels, **settings):
    """Encode `(height, width, channels)` as JPEG or PNG, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path, **settings)
    return path
