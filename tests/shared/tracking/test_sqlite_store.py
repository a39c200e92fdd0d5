"""A local store of MLflow in folders whose names have a meaning in addresses."""

import pytest

from tilepipe.components.shared.tracking import sqlite_store, tracking


@pytest.mark.parametrize("name", ["runs", "a b%41 #1", "what?", "100%"])
def test_the_store_is_in_its_folder_whatever_that_is_called(name, tmp_path, monkeypatch):
    folder = tmp_path / name
    uri = sqlite_store.address(folder / "mlflow.db")
    assert sqlite_store.path_of(uri) == folder / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_id = tracking.open_run("tests", "a run", {})
    (folder / "note.txt").write_text("x")
    tracking.log_file(run_id, folder / "note.txt", "notes")
    assert [file.path for file in tracking.client().list_artifacts(run_id, "notes")] == ["notes/note.txt"]
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlflow-artifacts", "note.txt"}
