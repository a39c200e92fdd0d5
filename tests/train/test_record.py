import pytest

from tests.packed import manifest_for
from tilepipe.components.shared import tracking
from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.train.record import EpochLog, log_results

FIGURES = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.1, "learning_rate": 0.001, "seconds": 3.0}


@pytest.fixture
def server(monkeypatch):
    """A tracking server that can be away; gives what it was sent, and a switch."""

    class Server:
        def __init__(self):
            self.sent, self.away = [], False

        def log_metrics(self, run_id, metrics, step=0):
            if self.away:
                raise TrackingError("MLflow must be reachable.")
            self.sent.append((step, metrics))

    server = Server()
    monkeypatch.setattr(tracking, "log_metrics", server.log_metrics)
    return server


def test_figures_are_sent_as_they_come_under_their_own_names(server):
    EpochLog("run")(1, FIGURES)
    assert server.sent == [(1, {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.1, "learning_rate": 0.001})]


def test_what_a_failing_server_missed_goes_with_the_next_success(server, caplog):
    log = EpochLog("run", pause_seconds=0)
    log(1, FIGURES)
    server.away = True
    log(2, FIGURES)
    log(3, FIGURES)
    assert [step for step, _ in server.sent] == [1]
    assert "Figures of 2 epochs wait to be tracked: MLflow must be reachable." in caplog.text
    server.away = False
    log(4, FIGURES)
    assert [step for step, _ in server.sent] == [1, 2, 3, 4]


def test_a_server_that_failed_is_left_alone_for_a_while(server):
    log = EpochLog("run", pause_seconds=1000)
    server.away = True
    log(1, FIGURES)
    server.away = False
    log(2, FIGURES)
    assert server.sent == []
    log.flush()
    assert [step for step, _ in server.sent] == [1, 2]


def test_nothing_is_sent_for_an_untracked_run(server):
    log = EpochLog(tracking.UNTRACKED)
    log(1, FIGURES)
    log.flush()
    assert server.sent == []


def test_a_server_that_fails_at_the_end_costs_no_training(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/absent/folder/mlflow.db")
    log_results("run", manifest_for(), None, 1, {"curves.html": ""})
    assert "The model is trained and kept as the step's output, but not in MLflow" in caplog.text
