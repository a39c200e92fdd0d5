"""Tests of the predictions that new ones are compared with."""

import pyarrow.parquet as pq
import pytest

from tests.predict_tiles.conftest import prediction, rgb_manifest
from tests.support.bundles import write_model_bundle
from tilepipe.components.plan.reference_table import SCHEMA
from tilepipe.components.predict_tiles.drift.references import find_reference
from tilepipe.components.shared.contracts.bundle import as_json
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.bundle_model import open_model

__all__ = ["prediction"]


def test_without_predictions_the_confusion_matrix_is_used(tmp_path):
    nothing = tmp_path / "reference.parquet"
    pq.write_table(SCHEMA.empty_table(), nothing)
    write_model_bundle(tmp_path / "m.tar.gz", rgb_manifest(), confusion=[[5, 1, 0], [0, 6, 0], [2, 0, 1]])
    found = find_reference(nothing, open_model(str(tmp_path / "m.tar.gz")))
    assert found.counts == {"Forest": 7, "SeaLake": 7, "Industrial": 1}
    assert (found.confidences, "evaluation (test split)" in found.description) == (None, True)
    write_model_bundle(tmp_path / "m.tar.gz", rgb_manifest(), confusion_matrix_json=as_json({}))
    assert find_reference(nothing, open_model(str(tmp_path / "m.tar.gz"))) is None


def test_other_files_are_refused(tmp_path):
    (tmp_path / "odd.parquet").write_bytes(b"odd")
    with pytest.raises(ArtifactError, match="`reference` must be the Parquet file of `plan`"):
        find_reference(tmp_path / "odd.parquet", None)


def test_a_run_is_compared_with_an_earlier_one(prediction):
    _, _, files = prediction.run()
    _, result, later = prediction.run(options={"drift_reference": str(files.predictions)})
    assert result.scalars["drift_confidence"] == 0
    assert result.scalars["drift_classes"] == pytest.approx(0, abs=1e-9)
    assert "(6 tiles)" in later.page.read_text()
