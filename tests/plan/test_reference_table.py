"""Tests of finding the predictions that new ones are compared with."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.plan.reference_table import write_reference
from tilepipe.components.shared.errors import ArtifactError
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
