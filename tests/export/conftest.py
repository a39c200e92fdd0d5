"""The artifacts of a small finished run: tile table, shards, model and evaluation."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.packed import CLASSES, write_packed
from tilepipe.components.export.config import ExportConfig
from tilepipe.components.export.export import Inputs, Outputs, export
from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import Manifest, read_manifest
from tilepipe.components.shared.contracts.model_file import load_tensorflow
from tilepipe.components.shared.contracts.samples import choose_samples, write_samples
from tilepipe.components.shared.contracts.tile_table import SCHEMA, TileTableInfo, write_tile_table

ROWS = [[5, 1, 0], [0, 6, 0], [2, 0, 0]]


def make_model(manifest: Manifest, architecture: str = "cnn", indices: tuple[str, ...] = ("ND(B02,B01)",)):
    """Build an untrained network for the manifest."""
    load_tensorflow()
    import keras

    from tilepipe.components.prepare.networks.architectures import build_model

    keras.utils.set_random_seed(1)
    return build_model(architecture, manifest, ModelOptions(indices=indices))


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write the artifacts of a run."""
    manifest = write_packed(tmp_path / "data")
    make_model(manifest).save(tmp_path / "model.keras")
    figures = {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.6, "val_accuracy": 0.7, "learning_rate": 0.1}
    epoch = {**figures, "seconds": 1.0, "tiles_per_second": 100.0}
    History(metric="val_accuracy", best_epoch=2, epochs=(epoch, epoch)).write(tmp_path / "history.json")
    (tmp_path / "metrics").write_text(json.dumps({"val_accuracy": 0.7, "val_loss": 0.6, "val_tiles": 12.0}))
    confusion = {"split": "val", "class_names": list(CLASSES), "rows": ROWS}
    (tmp_path / "confusion").write_text(json.dumps(confusion))
    write_tiles(tmp_path / "tiles.parquet")
    write_samples(choose_samples([tmp_path / "data" / "val"], "val", manifest), tmp_path / "samples.npz")
    return Inputs(
        tmp_path / "tiles.parquet",
        tmp_path / "samples.npz",
        tmp_path / "data" / "manifest.json",
        tmp_path / "model.keras",
        tmp_path / "history.json",
        tmp_path / "metrics",
        tmp_path / "confusion",
    )


def write_tiles(path: Path, *, placed: bool = True) -> None:
    """Write a tile table of two tiles, with places and times unless told otherwise."""
    rows = [
        {
            "tile_id": f"tile-{number}",
            "uri": f"/tiles/{number}.tif",
            "label": "Forest",
            "split": "train",
            "datetime": f"2026-0{number + 1}-01T00:00:00Z" if placed else None,
            "bbox": {"xmin": 10.0 + number, "ymin": 50.0, "xmax": 10.5 + number, "ymax": 50.5} if placed else None,
        }
        for number in range(2)
    ]
    times = pa.array([row.pop("datetime") for row in rows]).cast(pa.timestamp("us", tz="UTC"))
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    table = table.set_column(SCHEMA.get_field_index("datetime"), SCHEMA.field("datetime"), times)
    info = TileTableInfo(name="tiny", source="memory", source_kind="folder", class_names=CLASSES)
    write_tile_table(table, info, path)


@pytest.fixture
def run(inputs: Inputs, tmp_path: Path) -> Callable[..., tuple[dict, Outputs]]:
    """Export the run; gives the facts and where the outputs are."""

    def run(**parameters):
        names = ("model.onnx", "bundle.tar.gz", "card", "item.json")
        outputs = Outputs(*(tmp_path / "out" / name for name in names))
        return export(ExportConfig.parse(**parameters), inputs, outputs), outputs

    return run


@pytest.fixture
def manifest(inputs: Inputs) -> Manifest:
    """Return the manifest of the run."""
    return read_manifest(inputs.manifest)
