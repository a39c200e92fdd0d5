import io
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.packed import manifest_for
from tests.support.waiting import check_stays, wait_until
from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.figures.epoch_figures import curves_file
from tilepipe.components.train.tracking import recorder
from tilepipe.components.train.tracking.mlflow_run import MlflowTracker
from tilepipe.components.train.tracking.recorder import Record, open_record
from tilepipe.components.train.tracking.trackers import File, Point, Results, TrackingOptions

FIGURES = {
    "loss": 1.0,
    "accuracy": 0.5,
    "val_loss": 1.1,
    "val_recall/Forest": 0.3,
    "learning_rate": 0.1,
    "seconds": 3.0,
}
QUIET = TrackingOptions(system_metrics_seconds=0, tracking_wait_seconds=20)
MANIFEST = manifest_for()
EXPERIMENT = "tilepipe"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """MLflow's embedded store, which takes seconds to create: one for all tests, each with its own runs."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def store(database, monkeypatch):
    """A client of the store to which the record writes."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    for name in ("MLFLOW_RUN_ID", "KFP_MLFLOW_CONFIG", "KFP_RUN_ID", "KFP_WORKFLOW_NAME"):
        monkeypatch.delenv(name, raising=False)
    return tracking.client()


class FarTracker:
    """A tracker that can be made unreachable."""

    name, run_id, is_continued = "afar", "far-1", False

    def __init__(self):
        self.points, self.files, self.results, self.tries, self.away = [], [], [], 0, False

    def _answer(self):
        self.tries += 1
        if self.away:
            raise TrackingError("It must be reachable.")

    def log_inputs(self, params, manifest):
        self._answer()

    def log_points(self, points):
        self._answer()
        self.points += points

    def log_file(self, file):
        self._answer()
        self.files.append(file)

    def log_results(self, results):
        self._answer()
        self.results.append(results)

    def close(self, wait_seconds):
        pass


@pytest.fixture
def far():
    return FarTracker()


def steps(points):
    return [point.step for point in points]


def history_of(store, run_id, name):
    return [(point.step, point.value) for point in store.get_metric_history(run_id, name)]


def test_figures_are_sent_as_they_come_under_their_own_names(far):
    with Record({"far": far}, QUIET) as record:
        record.epoch(1, FIGURES)
        wait_until(lambda: far.points)
    assert far.points[0].step == 1
    assert far.points[0].metrics == {
        "train_loss": 1.0,
        "train_accuracy": 0.5,
        "val_loss": 1.1,
        "val_recall/Forest": 0.3,
        "learning_rate": 0.1,
    }


def test_a_tracker_that_takes_its_time_does_not_hold_up_the_training(far):
    taken = threading.Event()
    far.log_points = lambda points: taken.wait(20)
    with Record({"far": far}, QUIET) as record:
        started = time.monotonic()
        for epoch in range(1, 100):
            record.epoch(epoch, FIGURES, b"curves")
        assert time.monotonic() - started < 1
        taken.set()


def test_what_an_absent_tracker_missed_goes_in_order_with_the_next_success(far, caplog):
    with Record({"far": far}, QUIET, pause_seconds=0.05) as record:
        record.epoch(1, FIGURES)
        wait_until(lambda: far.points)
        far.away = True
        tries = far.tries
        record.epoch(2, FIGURES)
        record.epoch(3, FIGURES)
        wait_until(lambda: far.tries > tries + 1)
        far.away = False
        record.epoch(4, FIGURES)
        wait_until(lambda: len(far.points) == 4)
    assert steps(far.points) == [1, 2, 3, 4]
    assert [point.at_milliseconds for point in far.points] == sorted(point.at_milliseconds for point in far.points)
    assert "figures for afar are queued: It must be reachable." in caplog.text


def test_an_absent_tracker_is_left_alone_for_a_while_but_not_at_the_end(far):
    far.away = True
    with Record({"far": far}, QUIET, pause_seconds=1000) as record:
        record.epoch(1, FIGURES)
        wait_until(lambda: far.tries)
        far.away = False
        record.epoch(2, FIGURES)
        check_stays(lambda: far.tries == 1)
    assert steps(far.points) == [1, 2]


def test_a_tracker_that_is_away_to_the_end_costs_its_record_and_no_training(far, caplog):
    far.away = True
    options = QUIET.model_copy(update={"tracking_wait_seconds": 0.3})
    started = time.monotonic()
    with Record({"far": far}, options) as record:
        record.epoch(1, FIGURES, b"curves")
        record.finish(Results(MANIFEST, None, 1, {}))
    assert time.monotonic() - started < 10
    assert "not in afar" in caplog.text
    assert "afar was unreachable at the end and lacks 1 sets of figures and 1 files" in caplog.text


def test_a_file_that_is_refused_keeps_no_figure_waiting(far):
    def refuse(file):
        raise KeyError("an error that no tracker of ours would raise")

    far.log_file = refuse
    with Record({"far": far}, QUIET.model_copy(update={"tracking_wait_seconds": 1}), pause_seconds=0.05) as record:
        record.epoch(1, FIGURES, b"curves")
        record.epoch(2, FIGURES, b"curves")
        wait_until(lambda: len(far.points) == 2)
    assert steps(far.points) == [1, 2]
    assert far.files == []


def test_a_checkpoint_holds_what_waits_and_a_resumed_training_sends_it(far):
    far.away = True
    options = QUIET.model_copy(update={"tracking_wait_seconds": 0})
    with Record({"far": far}, options) as record:
        record.epoch(1, FIGURES)
        wait_until(lambda: far.tries)
        state = json.loads(json.dumps(record.state()))
    assert state["far"]["run_id"] == "far-1"
    far.away = False
    with Record({"far": far}, QUIET, state) as record:
        assert record.state()["far"]["run_id"] == "far-1"
        record.epoch(2, FIGURES)
    assert steps(far.points) == [1, 2]
    assert far.points[0].metrics["train_loss"] == 1.0


def test_figures_within_an_epoch_are_recorded_once_per_interval(far, monkeypatch):
    with Record({"far": far}, QUIET.model_copy(update={"running_figures_seconds": 10})) as record:
        opened = time.monotonic() + 0.5
        with monkeypatch.context() as patch:
            for step in range(1, 56):
                patch.setattr(recorder, "time", SimpleNamespace(monotonic=lambda now=opened + step: now))
                record.running(step, {"loss": 2.0, "seconds_left": 9.0})
    assert steps(far.points) == [10, 20, 30, 40, 50]
    assert far.points[0].metrics == {"running/loss": 2.0, "running/seconds_left": 9.0}
    with Record({"far": far}, QUIET.model_copy(update={"running_figures_seconds": 0})) as record:
        far.points.clear()
        record.running(1, {"loss": 2.0})
    assert far.points == []


def test_nothing_is_done_for_an_untracked_training(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_id, record = open_record(EXPERIMENT, MANIFEST, TrackingOptions())
    threads = threading.active_count()
    with record:
        record.epoch(1, FIGURES, b"curves")
    assert run_id == tracking.UNTRACKED
    assert record.state() == {}
    assert threading.active_count() == threads


def test_mlflow_holds_what_went_in_figures_and_arrays(store):
    counts = np.diag([3, 2, 1])
    run_id, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.start(TrainConfig.parse(epochs=7).model_dump(), MANIFEST, {"device": "CPU"})
        record.epoch(1, FIGURES, curves_file(MANIFEST.class_names, counts))
        record.epoch(2, FIGURES | {"loss": 0.5})
    run = store.get_run(run_id)
    assert run.info.status == "RUNNING"
    assert run.data.params["epochs"] == "7"
    assert run.data.params["device"] == "CPU"
    assert run.data.params["data.classes"] == "3"
    assert history_of(store, run_id, "train_loss") == [(1, 1.0), (2, 0.5)]
    assert history_of(store, run_id, "val_recall/Forest") == [(1, 0.3), (2, 0.3)]
    content = Path(store.download_artifacts(run_id, "training/curves/epoch-001.npz")).read_bytes()
    assert np.array_equal(np.load(io.BytesIO(content))["confusion"], counts)


def test_a_resumed_training_continues_its_run_without_duplicates(store):
    run_id, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.epoch(1, FIGURES)
        state = record.state()  # the checkpoint
        record.epoch(2, FIGURES)
        record.epoch(3, FIGURES)
    tracking.close_run(run_id, "FAILED", failed_step="train", reason="the node went away")
    resumed_id, record = open_record(EXPERIMENT, MANIFEST, QUIET, state)
    with record:
        record.start(TrainConfig.parse(epochs=99).model_dump(), MANIFEST, {})
        for epoch in (2, 3, 4):
            record.epoch(epoch, FIGURES)
    assert resumed_id == run_id
    assert [step for step, _ in history_of(store, run_id, "train_loss")] == [1, 2, 3, 4]
    run = store.get_run(run_id)
    assert run.info.status == "RUNNING"
    assert not {tracking.FAILED_STEP_TAG, tracking.FAILURE_TAG} & run.data.tags.keys()


@pytest.mark.parametrize("gone", ["deleted", "unknown"])
def test_a_training_whose_run_is_gone_continues_in_another(store, gone):
    first, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        state = record.state()
    if gone == "deleted":
        store.delete_run(first)
    else:
        state["mlflow"]["run_id"] = first = "0" * 32
    second, record = open_record(EXPERIMENT, MANIFEST, QUIET, state)
    with record:
        record.start({"batch_size": 64}, MANIFEST, {})
        record.epoch(2, FIGURES)
    assert second != first
    run = store.get_run(second)
    assert run.data.tags[tracking.CONTINUES_TAG] == first
    assert run.data.params["batch_size"] == "64"
    assert history_of(store, second, "train_loss") == [(2, 1.0)]


def test_a_resumed_training_does_not_need_the_server_at_its_start(store, database, monkeypatch):
    run_id, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.epoch(1, FIGURES)
        state = record.state()
    tracking.close_run(run_id, "FAILED")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # no server listens on the discard port
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="to open a run"):
        open_record(EXPERIMENT, MANIFEST, QUIET)
    resumed_id, record = open_record(EXPERIMENT, MANIFEST, QUIET, state)
    with record:
        record.start({"batch_size": 64}, MANIFEST, {})
        record.epoch(2, FIGURES)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    assert resumed_id == run_id
    assert [step for step, _ in history_of(store, run_id, "train_loss")] == [1, 2]
    assert store.get_run(run_id).info.status == "RUNNING"


def test_a_step_that_kubeflow_started_again_finds_its_run(store, monkeypatch):
    monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
    first, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.epoch(1, FIGURES)
    second, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.epoch(1, FIGURES)
        record.epoch(2, FIGURES)
    assert second == first
    assert [step for step, _ in history_of(store, first, "train_loss")] == [1, 2]


def test_figures_without_a_step_are_numbered_through(store):
    run_id, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        state = record.state()
    tracker = MlflowTracker(run_id)
    tracker.log_points([Point.now({"system/x": value}, None) for value in (1.0, 2.0)])
    tracker.log_points([Point.now({"system/x": 3.0}, None)])
    resumed = MlflowTracker(state["mlflow"]["run_id"], is_resumed=True)
    resumed.log_points([Point.now({"system/x": 4.0}, None)])
    assert history_of(store, run_id, "system/x") == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]


def test_a_name_that_mlflow_refuses_costs_no_other_figure(store, caplog):
    run_id, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.epoch(1, FIGURES)
        record.epoch(2, {"what?": 1.0})
        record.epoch(3, FIGURES)
    assert [step for step, _ in history_of(store, run_id, "train_loss")] == [1, 3]
    assert "MLflow rejects the figures of step 2" in caplog.text


def test_more_figures_than_mlflow_takes_at_once(store):
    run_id, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.epoch(1, {f"val_recall/{number}": number / 2500 for number in range(2500)})
    assert len(store.get_run(run_id).data.metrics) == 2500


def test_use_of_the_machine_is_tracked_under_mlflows_names(store):
    run_id, record = open_record(EXPERIMENT, MANIFEST, TrackingOptions(system_metrics_seconds=0.1))
    with record:
        wait_until(lambda: len(history_of(store, run_id, "system/cpu_utilization_percentage")) >= 2)
    found = store.get_run(run_id).data.metrics
    assert {"system/system_memory_usage_megabytes", "system/disk_usage_percentage"} <= found.keys()
    assert 0 <= found["system/cpu_utilization_percentage"] <= 100
    assert 0 < found["system/system_memory_usage_percentage"] <= 100


def test_results_are_files_and_a_model_that_mlflow_serves(store, tmp_path):
    import keras
    import mlflow

    tiles = keras.Input(MANIFEST.tile_shape)
    model = keras.Model(tiles, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(tiles)))
    run_id, record = open_record(EXPERIMENT, MANIFEST, QUIET)
    with record:
        record.finish(Results(MANIFEST, model, 2, {"history.json": "{}"}))
    run = store.get_run(run_id)
    assert run.data.tags["tilepipe.best_epoch"] == "2"
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/training/history.json") == "{}"
    served = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    assert served.predict(np.ones((2, 8, 8, 2), "uint16")).shape == (2, 3)


def test_a_file_goes_where_it_says(store):
    run_id, _ = open_record(EXPERIMENT, MANIFEST, QUIET)
    MlflowTracker(run_id).log_file(File("training/curves/epoch-001.npz", b"x"))
    assert [file.path for file in store.list_artifacts(run_id, "training/curves")] == ["training/curves/epoch-001.npz"]
