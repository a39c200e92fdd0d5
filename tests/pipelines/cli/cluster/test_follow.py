from datetime import UTC, datetime, timedelta

from kfp_server_api import V2beta1PipelineTaskDetail as Detail
from kfp_server_api import V2beta1Run as Run
from kfp_server_api import V2beta1RuntimeStatus as Status

from tilepipe.pipelines.cli.cluster.follow import TaskState, _end, task_states

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = {"ingest-tiles", "train-model", "finish-run"}


def detail(name, state, began=0, seconds=None):
    start = NOON + timedelta(seconds=began)
    end = NEVER if seconds is None else start + timedelta(seconds=seconds)
    return Detail(task_id=f"{name}-{began}", display_name=name, state=state, start_time=start, end_time=end)


def states(*details, ended=False):
    return [(state.task, state.state, state.seconds) for state in task_states(details, NAMES, ended=ended)]


def test_tasks_are_reported_in_the_order_of_their_start():
    assert states(
        detail("train-model", "RUNNING", 30),
        detail("root-driver", "SUCCEEDED", 0, 3),
        detail("root", "RUNNING", 3),
        detail("all", "RUNNING", 5),
        detail("ingest-tiles-driver", "SUCCEEDED", 6, 4),
        detail("executor", "SUCCEEDED", 10, 18),
        detail("ingest-tiles", "SUCCEEDED", 10, 20),
        detail("all.onExit", "PENDING", 40),
        Detail(task_id="x", display_name=None, state=None),
    ) == [("ingest-tiles", "ok", 20.0), ("train-model", "started", 0.0)]


def test_a_cached_task_takes_no_time():
    assert states(detail("ingest-tiles", "SUCCEEDED", 10, 0)) == [("ingest-tiles", "cached", 0.0)]


def test_what_is_left_of_a_failed_run():
    details = [
        detail("ingest-tiles", "FAILED", 10, 20),
        Detail(task_id="t", display_name="train-model", state=None, start_time=NOON, end_time=NOON),
        detail("finish-run", "SUCCEEDED", 40, 5),
    ]
    assert ("train-model", "not run", 0.0) not in states(*details)
    assert set(states(*details, ended=True)) == {
        ("ingest-tiles", "failed", 20.0),
        ("train-model", "not run", 0.0),
        ("finish-run", "ok", 5.0),
    }


def test_a_driver_that_fails_is_its_tasks_failure():
    assert states(detail("train-model-driver", "FAILED", 10, 2)) == [("train-model", "failed", 2.0)]
    assert states(detail("root-driver", "FAILED", 10, 2)) == []


def test_each_iteration_of_a_loop_is_reported():
    found = list(task_states([detail("train-model", "RUNNING", at) for at in (1, 2)], NAMES, ended=False))
    assert found == [TaskState(f"train-model-{at}", "train-model", "started") for at in (1, 2)]


def test_a_run_that_a_person_terminated_is_not_called_failed():
    def run(state, *before):
        return Run(state=state, state_history=[Status(state=one) for one in before])

    assert _end(run("RUNNING", "PENDING")) is None
    assert _end(run("RUNNING", "PENDING", "CANCELING")) is None
    assert _end(run("FAILED", "PENDING", "RUNNING", "CANCELING", "FAILED")) == "canceled"  # as in KFP 2.17
    assert _end(run("FAILED", "PENDING", "RUNNING", "FAILED")) == "failed"
    assert _end(run("SUCCEEDED", "RUNNING")) == "succeeded"
    assert _end(Run(state="CANCELED")) == "canceled"
