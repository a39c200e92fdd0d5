import json

import numpy as np
import pyarrow.parquet as pq

from tilepipe.components.evaluate import prediction_table
from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.evaluate.prediction_table import SCHEMA, write_predictions


def some_predictions(split, count, classes=3):
    rng = np.random.default_rng(count)
    probabilities = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    ids = [f"{split}/{number:03d}" for number in range(count)]
    return SplitPredictions(split, ids, rng.integers(0, classes, count), probabilities)


def test_rows_hold_names_and_probabilities(make_evaluation, tmp_path):
    manifest = make_evaluation().manifest
    val, test = some_predictions("val", 5), some_predictions("test", 4)
    write_predictions([val, test], manifest, tmp_path / "predictions.parquet")
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table.schema.remove_metadata() == SCHEMA
    assert table["tile_id"].to_pylist() == test.tile_ids + val.tile_ids
    assert table["split"].to_pylist() == ["test"] * 4 + ["val"] * 5
    assert table["label"].to_pylist()[:4] == [manifest.class_names[i] for i in test.labels]
    assert table["predicted"].to_pylist()[:4] == [manifest.class_names[i] for i in test.probabilities.argmax(axis=1)]
    assert table["probabilities"].to_pylist()[:4] == test.probabilities.tolist()
    assert table["probability"].to_pylist() == [max(row) for row in table["probabilities"].to_pylist()]
    info = json.loads(table.schema.metadata[b"tilepipe"])
    assert info["class_names"] == list(manifest.class_names)
    assert info["digest"] == manifest.digest


def test_the_same_predictions_give_the_same_bytes(make_evaluation, tmp_path):
    manifest = make_evaluation().manifest
    for name in ("one", "other"):
        write_predictions([some_predictions("test", 50)], manifest, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_many_rows_go_into_several_groups(make_evaluation, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_table, "ROWS_A_GROUP", 8)
    predictions = some_predictions("test", 20)
    write_predictions([predictions], make_evaluation().manifest, tmp_path / "predictions.parquet")
    file = pq.ParquetFile(tmp_path / "predictions.parquet")
    assert file.num_row_groups == 3
    assert file.read()["probabilities"].to_pylist() == predictions.probabilities.tolist()
