"""Tests of finding the predictions that new ones are compared with."""

import json
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.plan.reference_table import write_reference
from tilepipe.components.shared.errors import ArtifactError, SourceError
from tilepipe.components.shared.inference.model_address import ModelFile
from tilepipe.components.shared.tracking import tracking

MODEL = ModelFile(Path("model.tar.gz"), "model.tar.gz")


def write_evaluation(path, splits=("val", "test", "test")):
    probabilities = pa.array([0.5, 1, 0.75], pa.float32())
    columns = {"split": list(splits), "predicted": ["a", "b", "a"], "probability": probabilities}
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(("splits", "rows"), [(("val", "test", "test"), 2), (("val",) * 3, 3)])
def test_predictions_of_evaluate_are_those_of_the_test_split(tmp_path, splits, rows):
    write_evaluation(tmp_path / "before.parquet", splits)
    assert write_reference(str(tmp_path / "before.parquet"), MODEL, tmp_path / "out.parquet") == rows
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert found[-2:] == [{"class": "b", "confidence": 1.0}, {"class": "a", "confidence": 0.75}]


def test_other_tables_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "odd.parquet")
    with pytest.raises(ArtifactError, match="`drift_reference` must be the Parquet file of predictions"):
        write_reference(str(tmp_path / "odd.parquet"), MODEL, tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("classes", "confidences", "message"),
    [
        (["a"], ["high"], "`drift_reference` must be the Parquet file of predictions.*'high'"),
        ([], pa.array([], pa.float32()), "must hold predictions to compare with.*odd.parquet without one"),
        (pa.array([None], pa.string()), [0.5], "must hold predictions to compare with.*odd.parquet without one"),
    ],
)
def test_references_that_cannot_be_compared_with_are_refused(tmp_path, classes, confidences, message):
    pq.write_table(pa.table({"class": classes, "confidence": confidences}), tmp_path / "odd.parquet")
    with pytest.raises(ArtifactError, match=message):
        write_reference(str(tmp_path / "odd.parquet"), MODEL, tmp_path / "out.parquet")


def test_rows_without_a_class_are_left_out(tmp_path):
    table = pa.table({"class": pa.array(["a", None]), "confidence": [0.5, 0.75]})
    pq.write_table(table, tmp_path / "before.parquet")
    assert write_reference(str(tmp_path / "before.parquet"), MODEL, tmp_path / "out.parquet") == 1
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [{"class": "a", "confidence": 0.5}]


def test_a_folder_of_predictions_leads_to_its_newest_file(tmp_path):
    for name in ("predictions-20260101T000000Z-a.parquet", "predictions-20260301T000000Z-b.parquet"):
        (tmp_path / "kept").mkdir(exist_ok=True)
        write_evaluation(tmp_path / "kept" / name)
    with pytest.raises(SourceError, match=r"must be one Parquet file\. .* a folder of 2") as refused:
        write_reference(f"{tmp_path}/kept", MODEL, tmp_path / "out.parquet")
    (word,) = shlex.split(str(refused.value).rpartition(" such as ")[2].removesuffix("."))
    newest = json.loads(word.removeprefix("predict_options="))["drift_reference"]
    assert newest == str(tmp_path / "kept" / "predictions-20260301T000000Z-b.parquet")
    assert write_reference(newest, MODEL, tmp_path / "out.parquet") == 2
    with pytest.raises(SourceError, match="must exist"):
        write_reference(str(tmp_path / "absent"), MODEL, tmp_path / "out.parquet")


def test_the_evaluation_of_a_registered_model_is_found_in_its_run(tmp_path, mlflow_store):
    client = tracking.client()
    run = client.create_run(client.create_experiment("tests", artifact_location=(tmp_path / "kept").as_uri()))
    model = ModelFile(MODEL.path, "models:/m/1", run_id=run.info.run_id)
    assert write_reference("", model, tmp_path / "out.parquet") == 0
    write_evaluation(tmp_path / "predictions.parquet")
    client.log_artifact(run.info.run_id, str(tmp_path / "predictions.parquet"), "evaluation")
    assert write_reference("", model, tmp_path / "out.parquet") == 2


def test_a_run_that_was_deleted_is_no_error(tmp_path, mlflow_store, caplog):
    gone = ModelFile(MODEL.path, "models:/m/1", run_id="0" * 32)
    assert write_reference("", gone, tmp_path / "out.parquet") == 0
    assert "confidences are not compared" in caplog.text
    assert write_reference("", MODEL, tmp_path / "out.parquet") == 0
