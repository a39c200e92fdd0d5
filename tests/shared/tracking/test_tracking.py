"""MLflow's settings of a pod, which come under names of tilepipe's own."""

import multiprocessing
import os
import sqlite3
import threading

import pytest
from mlflow.tracking._tracking_service.utils import _tracking_store_registry

from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.tracking import tracking

NAMES = [*tracking.TRACKING_ADDRESS, *tracking.TRACKING_CREDENTIALS]


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_applies_unless_kfp_or_the_user_has_set_it(name, monkeypatch):
    monkeypatch.setenv(name, "")  # so that it is restored
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"TILEPIPE_{name}", "of tilepipe")
    tracking.take_settings()
    assert os.environ[name] == "of tilepipe"
    monkeypatch.setenv(name, "of the user")
    tracking.take_settings()
    assert os.environ[name] == "of the user"


def test_messages_name_the_server_and_the_workspace(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@mlflow:5000")
    monkeypatch.setenv("MLFLOW_WORKSPACE", " team-a ")
    assert tracking.in_mlflow() == "in MLflow at http://mlflow:5000, workspace 'team-a'"
    monkeypatch.delenv("MLFLOW_WORKSPACE")
    assert tracking.in_mlflow() == "in MLflow at http://mlflow:5000"


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """Return a function that locks an existing MLflow database for some seconds."""
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    tracking.client()
    _tracking_store_registry._get_store_with_resolved_uri.cache_clear()  # as in another process
    connections, timers = [], []

    def lock(seconds):
        connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN EXCLUSIVE")
        connections.append(connection)
        timers.append(threading.Timer(seconds, connection.rollback))
        timers[-1].start()

    yield lock
    for connection, timer in zip(connections, timers, strict=True):
        timer.cancel()
        timer.join()
        connection.close()


def test_a_database_that_is_locked_for_a_while_is_opened_later(locked):
    locked(1)
    assert tracking.client().search_experiments()


def test_a_database_that_stays_locked_is_one_clear_error(locked, monkeypatch):
    monkeypatch.setattr(tracking, "_OPENING_ATTEMPTS", 1)
    locked(60)
    with pytest.raises(TrackingError, match=r"must be free.*locked for 1 attempts.*use an MLflow server"):
        tracking.client()


def test_processes_that_start_at_once_share_one_new_database(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs/mlflow.db")
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)

    def open_client():
        barrier.wait(60)
        raise SystemExit(0 if tracking.client().search_experiments() else 1)

    processes = [context.Process(target=open_client) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_parameters_are_logged_without_credentials(mlflow_store, monkeypatch):
    monkeypatch.setenv("TILEPIPE_STAC_TOKEN", "a-secret-token")
    run_id = tracking.open_run("tests", "a run", {})
    given = {
        "data_source": "https://who:hidden@host/stac?collection=a",
        "model_weights_uri": "https://host/w.npz?X-Amz-Signature=0123&part=1",
        "data_query": '{"token": "a-secret-token", "limit": 5}',
        "train_epochs": 3,
        "tune_space": {"split_merge_train_val": [True, None], "seed": (1, 1e-5)},
        "model_architecture": "compact",
    }
    tracking.log_params(run_id, given)
    assert tracking.client().get_run(run_id).data.params == {
        "data_source": "https://***@host/stac?collection=a",
        "model_weights_uri": "https://host/w.npz?X-Amz-Signature=***&part=1",
        "data_query": '{"token": "***", "limit": 5}',
        "train_epochs": "3",
        "tune_space": '{"split_merge_train_val": [true, null], "seed": [1, 1e-05]}',
        "model_architecture": "compact",
    }
