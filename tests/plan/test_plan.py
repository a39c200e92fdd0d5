"""Tests of the plan: the model and the tiles that are still to predict."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.predict_tiles.conftest import prediction, rgb_manifest, write_image
from tests.support.bundles import write_model_bundle
from tests.support.tile_tables import read_tile_table
from tilepipe.components.plan import plan as planning
from tilepipe.components.plan.config import PlanConfig
from tilepipe.components.shared.errors import ArtifactError, DriftError, ParameterError, SourceError
from tilepipe.components.shared.inference.prediction_plan import read_plan

__all__ = ["prediction"]


def test_the_plan_names_the_model_and_the_tiles(prediction):
    planned, files, _ = prediction.plan(workers=8)
    assert read_plan(files.plan) == planned
    assert (planned.model_name, planned.tiles, planned.known, planned.parts) == ("bright", 6, 0, 1)
    assert files.bundle.read_bytes() == (prediction.folder / "model.tar.gz").read_bytes()
    assert read_tile_table(files.new_tiles)[0].num_rows == 6


@pytest.mark.parametrize(("workers", "parts"), [(1, 1), (4, 4), (100, 6)])
def test_there_are_no_more_workers_than_are_needed(prediction, monkeypatch, workers, parts):
    monkeypatch.setattr(planning, "_FEWEST_TILES", 1)
    planned, *_ = prediction.plan(workers=workers)
    assert planned.parts == parts
    rows = [row for part in range(parts) for row in planned.part_range(part)]
    assert rows == list(range(6))


def test_known_tiles_are_left_out_whatever_the_order_of_partitions(prediction):
    kept = prediction.folder / "kept"
    kept.mkdir()
    for name, ids in (("b", ["5.png", "0.png"]), ("a", ["3.png", "elsewhere.png"])):
        pq.write_table(pa.table({"tile_id": ids, "class": ["a"] * len(ids)}), kept / f"{name}.parquet")
    planned, files, _ = prediction.plan(output_uri=str(kept))
    assert (planned.tiles, planned.known) == (3, 3)
    assert read_tile_table(files.new_tiles)[0]["tile_id"].to_pylist() == ["1.png", "2.png", "4.png"]


def test_nothing_new_still_has_a_part(prediction):
    kept = prediction.folder / "kept"
    kept.mkdir()
    ids = [f"{number}.png" for number in range(6)]
    pq.write_table(pa.table({"tile_id": ids, "class": ["a"] * 6}), kept / "a.parquet")
    planned, *_ = prediction.plan(output_uri=str(kept), workers=4)
    assert (planned.tiles, planned.parts) == (0, 1)
    assert list(planned.part_range(0)) == []


def test_a_table_of_tiles_is_no_predictions_of_them(prediction):
    """Its tiles would be taken for predicted ones."""
    _, files, _ = prediction.plan()
    kept = prediction.folder / "kept"
    kept.mkdir()
    shutil.copyfile(files.new_tiles, kept / "tiles.parquet")
    with pytest.raises(ArtifactError, match=r"must hold predictions only\..*tiles\.parquet, .*class.* Remove the file"):
        prediction.plan(output_uri=str(kept))


def test_tiles_with_the_ids_of_another_source_are_reported(prediction, caplog, monkeypatch):
    kept = str(prediction.folder / "kept")
    prediction.run(output_uri=kept)
    today = prediction.folder / "today"
    for number in (4, 5, 6):
        write_image(today / f"{number}.png", 60)
    planned, files, out = prediction.plan(source=str(today), output_uri=kept)
    assert (planned.tiles, planned.known, planned.known_of_others) == (1, 2, 2)
    assert planned.other_source == str(prediction.source)
    said = f"2 of the tiles predicted before were of another source ({prediction.source}) with the same ids."
    assert said in caplog.text
    _, collected = prediction.collect(files, out, [prediction.predict(files, out, 0)])
    assert "2 of the tiles predicted before were of another source" in collected.page.read_text()
    caplog.clear()
    monkeypatch.chdir(prediction.folder)
    for same in (str(prediction.source), f"{prediction.source.name}/"):
        assert prediction.plan(source=same, output_uri=kept)[0].other_source == ""
    assert "another source" not in caplog.text


def test_tables_of_one_folder_share_their_ids(prediction, caplog):
    kept = str(prediction.folder / "kept")
    for name, count in (("monday", 2), ("tuesday", 3)):
        rows = "".join(f"{number}.png\n" for number in range(count))
        (prediction.source / f"{name}.csv").write_text(f"image\n{rows}")
        planned, files, out = prediction.plan(source=str(prediction.source / f"{name}.csv"), output_uri=kept)
        prediction.collect(files, out, [prediction.predict(files, out, 0)])
    assert (planned.tiles, planned.known, planned.known_of_others) == (1, 2, 0)
    assert "another source" not in caplog.text


def test_a_model_that_cannot_be_used_is_refused_before_anything_is_predicted(prediction):
    write_model_bundle(prediction.folder / "bad.tar.gz", rgb_manifest(), model_onnx=b"odd")
    with pytest.raises(ArtifactError, match="must hold a model that onnxruntime"):
        prediction.plan(model=str(prediction.folder / "bad.tar.gz"))
    with pytest.raises(SourceError, match="must exist"):
        prediction.plan(model=str(prediction.folder / "none.tar.gz"))


def test_a_limit_without_anything_to_compare_with_is_refused_before_anything_is_predicted(prediction):
    with pytest.raises(DriftError, match=r"a limit for confidence, .*\. Give predictions as drift_reference"):
        prediction.plan(options={"max_drift": {"classes": 1, "confidence": 0.1}})
    earlier = prediction.folder / "earlier.parquet"
    pq.write_table(pa.table({"class": ["dark"], "confidence": pa.array([0.5], pa.float32())}), earlier)
    limits = {"max_drift": {"classes": 1, "confidence": 0.1, "bands": 1}}
    planned, *_ = prediction.plan(options={**limits, "drift_reference": str(earlier)})
    assert planned.options.max_drift == limits["max_drift"]


def test_an_alias_that_does_not_exist_is_named(prediction, mlflow_store):
    with pytest.raises(SourceError, match=r"models:/forests@champion, but 'forests' does not exist or lacks the alias"):
        prediction.plan(model="models:/forests@champion")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model_uri": "forests@champion"}, "Give for example model_uri=models:/forests@champion."),
        ({"model_uri": "models:/forests"}, "Give for example model_uri=models:/forests@champion."),
        ({"output_uri": "https://example.org/kept"}, "`output_uri` must be a local folder or s3://"),
        ({"workers": 0}, "`workers`"),
        (
            {"options": {"max_drift": {"classes": -1}}},
            r"`options\.max_drift\.classes` should be greater than or equal to 0\. Received: .*=-1",
        ),
        (
            {"options": {"max_drift": {"confidence": 20}}},
            r"`max_drift\.confidence` must be below 1, .* Received: max_drift\.confidence=20\.",
        ),
        (
            {"options": {"max_drift": {"colors": 1}}},
            r"A key of `options\.max_drift` should be 'classes', 'confidence' or 'bands'\. Received: 'colors'\.$",
        ),
    ],
)
def test_wrong_parameters_are_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        PlanConfig.parse(**{"model_uri": "model.tar.gz", **parameters})
