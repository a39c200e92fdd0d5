"""MLflow runs of local runs that were killed: closed by the next run, and those of living processes left alone."""

import subprocess
import sys

import pytest

from tests.support.waiting import wait_until
from tilepipe.components.shared.tracking import nested_runs, sqlite_store, tracking
from tilepipe.pipelines.cli.local import unfinished

MARK = """
import sys, time
from pathlib import Path
from tilepipe.pipelines.cli.local import unfinished
with unfinished.marked(Path(sys.argv[1]), "run-1"):
    print("marked", flush=True)
    time.sleep(600)
"""


def test_the_runs_of_a_killed_process_are_closed_as_soon_as_it_is_gone(mlflow_store, tmp_path):
    from mlflow import MlflowClient

    mlflow = MlflowClient(mlflow_store)
    run_id = mlflow.create_run("0", tags={tracking.KFP_RUN_TAG: "run-1"}).info.run_id
    nested = mlflow.create_run("0", tags={nested_runs.PARENT_TAG: run_id}).info.run_id
    other = mlflow.create_run("0", tags={tracking.KFP_RUN_TAG: "run-2"}).info.run_id
    root = tmp_path / "train_classifier-1"
    root.mkdir()

    def statuses():
        return [mlflow.get_run(one).info.status for one in (run_id, nested, other)]

    with subprocess.Popen([sys.executable, "-c", MARK, str(root)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "marked\n"
        unfinished.close_all(tmp_path, mlflow_store)
        assert statuses() == ["RUNNING"] * 3, "the process lives"
        process.kill()
    wait_until(lambda: process.poll() is not None, 10)
    unfinished.close_all(tmp_path, mlflow_store)
    assert statuses() == ["KILLED", "KILLED", "RUNNING"]
    assert not (root / unfinished.MARKER).exists()


def test_a_mark_stays_after_an_interruption_and_while_the_server_is_away(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    root = tmp_path / "train_classifier-1"
    root.mkdir()
    with unfinished.marked(root, "run-1"):
        assert (root / unfinished.MARKER).exists()
    assert not (root / unfinished.MARKER).exists()
    with pytest.raises(KeyboardInterrupt), unfinished.marked(root, "run-1"):
        raise KeyboardInterrupt
    unfinished.close_all(tmp_path, "http://127.0.0.1:9")
    assert (root / unfinished.MARKER).exists()


def test_an_interruption_before_the_first_training_creates_no_store(tmp_path):
    root = tmp_path / "train_classifier-1"
    root.mkdir()
    with pytest.raises(KeyboardInterrupt), unfinished.marked(root, "run-1"):
        raise KeyboardInterrupt
    unfinished.close_all(tmp_path, sqlite_store.address(tmp_path / "mlflow.db"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["train_classifier-1"]
