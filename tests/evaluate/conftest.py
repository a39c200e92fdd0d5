"""A small data set as shards, a small model, and evaluations that need neither."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support.packed import with_shards, write_split
from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.evaluate.tiles.thumbnails import Display
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import (
    SPLITS,
    BandStatistics,
    Manifest,
    SplitSummary,
    read_manifest,
)
from tilepipe.components.shared.contracts.model_file import load_tensorflow
from tilepipe.components.shared.contracts.tile_table import CORNERS, SCHEMA, TileTableInfo, write_tile_table

CLASSES = ("AnnualCrop", "Forest", "SeaLake")
BANDS = ("B02", "B08")
SIZE = 8

MakeData = Callable[..., Path]
MakeEvaluation = Callable[..., Evaluation]


def manifest_of(
    splits: Mapping[Any, SplitSummary], names: Sequence[str] = CLASSES, name: str = "tiny (synthetic)"
) -> Manifest:
    return Manifest(
        tilepipe_version="0.1.0",
        name=name,
        source="memory",
        snapshot="2026-01-01T00:00:00Z",
        digest="0123456789abcdef" * 4,
        bands=BANDS,
        dtype="uint16",
        height=SIZE,
        width=SIZE,
        class_names=tuple(names),
        splits={split: with_shards(split, summary) for split, summary in splits.items()},
        statistics=tuple(BandStatistics(band=b, mean=1.0, std=1.0, minimum=0.0, maximum=9.0) for b in BANDS),
    )


def history_of(epochs: int = 4) -> History:
    figures = [
        {
            "loss": 1.0 / epoch,
            "accuracy": 1 - 0.5 / epoch,
            "val_loss": 1.1 / epoch,
            "val_accuracy": 1 - 0.6 / epoch,
            "learning_rate": 0.001,
            "seconds": 1.0,
            "tiles_per_second": 100.0,
        }
        for epoch in range(1, epochs + 1)
    ]
    return History(metric="val_accuracy", best_epoch=epochs, epochs=tuple(figures))


@pytest.fixture
def make_data(tmp_path: Path) -> MakeData:
    """Write `train`, `val` and `test` shards, `manifest.json` and `history.json` into a folder."""

    def make(val: int = 40, test: int = 36) -> Path:
        rng = np.random.default_rng(0)
        root = tmp_path / f"data-{val}-{test}"
        splits = {}
        for split, count in zip(SPLITS, (6, val, test), strict=True):
            tiles = []
            for number in rng.permutation(count):
                label = int(number) % len(CLASSES)
                pixels = rng.normal(1000 + 300 * label, 200, (SIZE, SIZE, len(BANDS)))
                pixels += rng.normal(0, 250)  # the same for the whole tile, so that some tiles look like another class
                tiles.append((f"{split}/{number:03d}", label, pixels.clip(0).astype("<u2")))
            splits[split] = write_split(root / split, tiles, CLASSES, shards=-(-count // 32))
        manifest_of(splits).write(root / "manifest.json")
        history_of().write(root / "history.json")
        return root

    return make


@pytest.fixture
def make_tile_table(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Write a tile table: two groups, and places in a grid; the last tile has neither."""

    def make(tile_ids: Iterable[str]) -> Path:
        ids = list(tile_ids)
        rows = []
        for number, tile_id in enumerate(ids):
            row = dict.fromkeys(SCHEMA.names) | {"tile_id": tile_id, "uri": f"https://example.org/{tile_id}.tif"}
            if number < len(ids) - 1:
                west, south = 10 + number % 6 / 10, 50 + number // 6 / 10
                corners = (west, south, west + 0.01, south + 0.01)
                row |= {"group": ("north", "south")[number % 2], "bbox": dict(zip(CORNERS, corners, strict=True))}
            rows.append(row)
        path = tmp_path / "tiles.parquet"
        info = TileTableInfo(name="tiny", source="memory", source_kind="folder")
        write_tile_table(pa.Table.from_pylist(rows, schema=SCHEMA), info, path)
        return path

    return make


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Save a model whose weights are set by hand: it separates the classes by brightness."""

    def make(
        shape: tuple[int | None, ...] = (SIZE, SIZE, 2),
        classes: int = 3,
        activation: str = "softmax",
        slope: float = 1.0,
    ) -> Path:
        load_tensorflow()
        import keras

        inputs = keras.Input(shape, dtype="uint16")
        features = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 300, offset=-1300 / 300)(inputs))
        dense = keras.layers.Dense(classes, activation=activation)
        model = keras.Model(inputs, dense(features))
        slopes = np.arange(classes, dtype=np.float32) - 1
        dense.set_weights([np.tile(slope * slopes, (features.shape[-1], 1)), np.where(slopes == 0, 1.0, 0.0)])
        path = tmp_path_factory.mktemp("model") / "model.keras"
        model.save(path)
        return path

    return make


@pytest.fixture(scope="session")
def model_path(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture
def make_evaluation() -> MakeEvaluation:
    """An evaluation from random answers, without shards and without a model."""

    def make(
        names: Sequence[str] = CLASSES,
        *,
        tiles: int = 90,
        test: bool = True,
        skill: float = 2.0,
        name: str = "tiny (synthetic)",
    ) -> Evaluation:
        rng = np.random.default_rng(3)
        splits, predictions = {}, []
        for split in SPLITS:
            count = tiles if test or split != "test" else 0
            labels = np.arange(count) % len(names)
            per_class = {n: int((labels == i).sum()) for i, n in enumerate(names)}
            splits[split] = SplitSummary(tiles=count, tiles_per_class=per_class, shards=())
            if count and split != "train":
                logits = rng.normal(size=(count, len(names)))
                logits[np.arange(count), labels] += skill
                probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
                ids = [f"{split}/{number:04d}" for number in range(count)]
                predictions.append(SplitPredictions(split, ids, labels, probabilities))
        manifest = manifest_of(splits, names, name)
        return Evaluation.of(manifest, history_of(), sorted(predictions, key=lambda one: one.split))

    return make


@pytest.fixture
def pictured() -> Callable[[Evaluation], Evaluation]:
    """Give each shown tile of an evaluation a picture of 8 by 8 pixels."""

    def pictured(found: Evaluation) -> Evaluation:
        display = dataclasses.replace(Display.of(found.manifest), bands=("B08",))
        rng = np.random.default_rng(0)
        pictures = {
            tile.place: display.picture(rng.integers(0, 9, found.manifest.tile_shape, dtype=np.uint16))
            for tile in found.shown
        }
        shown = dataclasses.replace(found.shown, pictures=pictures, bands=display.description)
        return dataclasses.replace(found, shown=shown)

    return pictured


@pytest.fixture
def manifest_at() -> Callable[[Path], Manifest]:
    return lambda root: read_manifest(root / "manifest.json")
