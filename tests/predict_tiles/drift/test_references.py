"""Tests of the predictions that new ones are compared with."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.predict_tiles.conftest import prediction, rgb_manifest
from tests.support.bundles import write_model_bundle
from tilepipe.components.predict_tiles.drift.references import find_reference
from tilepipe.components.shared.contracts.bundle import as_json
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.bundle_model import open_model

__all__ = ["prediction"]


def test_the_evaluation_counts_the_predicted_classes(tmp_path):
    write_model_bundle(tmp_path / "m.tar.gz", rgb_manifest(), confusion=[[5, 1, 0], [0, 6, 0], [2, 0, 1]])
    found = find_reference("", open_model(str(tmp_path / "m.tar.gz")))
    assert found.counts == {"Forest": 7, "SeaLake": 7, "Industrial": 1}
    assert "evaluation (test split)" in found.description
    write_model_bundle(tmp_path / "m.tar.gz", rgb_manifest(), confusion_matrix_json=as_json({}))
    assert find_reference("", open_model(str(tmp_path / "m.tar.gz"))) is None


@pytest.mark.parametrize("names", [("predicted", "probability"), ("class", "confidence")])
def test_tables_of_evaluate_and_of_earlier_runs_are_read(tmp_path, names):
    columns = [["a", "b", "a"], pa.array([0.5, 1, None], pa.float32())]
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), tmp_path / "before.parquet")
    found = find_reference(str(tmp_path / "before.parquet"), None)
    assert found.counts == {"a": 2, "b": 1}
    assert found.confidences[:2].tolist() == [0.5, 1]


def test_other_tables_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "odd.parquet")
    with pytest.raises(ArtifactError, match="`drift_reference` must be the Parquet file of predictions"):
        find_reference(str(tmp_path / "odd.parquet"), None)


def test_a_run_is_compared_with_an_earlier_one(prediction):
    _, _, files = prediction.run()
    _, result, _ = prediction.run(options={"drift_reference": str(files.predictions)})
    assert result.scalars["drift_confidence"] == 0
    assert result.scalars["drift_classes"] == pytest.approx(0, abs=1e-9)
