from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.pipelines.cli.cluster.test_endpoint import HEALTHY, serving
from tilepipe.components.shared.errors import ClusterError, ParameterError
from tilepipe.pipelines.cli.cluster.endpoint import connect
from tilepipe.pipelines.cli.cluster.schedule import RecurringRun, Trigger, Wanted, anchor, put

MADE = datetime(2026, 3, 1, tzinfo=UTC)
FIRED = MADE + timedelta(days=3)
NIGHTLY = Trigger.of("0 3 * * *", None)
RUN = RecurringRun(
    recurring_run_id="id",
    name="nightly",
    pipeline_id="p",
    version_id="",
    trigger=NIGHTLY,
    arguments={"train_epochs": 5},
    catchup=False,
    experiment_id="e",
    enabled=True,
    begins=MADE,
)
WANTED = Wanted("nightly", "p", NIGHTLY, {"train_epochs": 5})


def test_triggers():
    assert Trigger(cron="0 0 3 * * *") == NIGHTLY
    assert Trigger.of("", 90) == Trigger(interval_seconds=5400)
    assert str(Trigger.of("", 90)) == "every 90 minutes"
    assert str(NIGHTLY) == "cron 0 0 3 * * *"


@pytest.mark.parametrize(("cron", "minutes"), [("", None), ("0 3 * * *", 5)])
def test_one_trigger_exactly(cron, minutes):
    with pytest.raises(ParameterError, match="either --cron or --every-minutes"):
        Trigger.of(cron, minutes)


def test_the_same_is_no_change():
    assert RUN.differs_from(WANTED, "e") == []


def test_changes_are_named():
    wanted = Wanted("nightly", "q", Trigger.of("", 60), {"seed": 1}, catchup=True, experiment="other")
    assert RUN.differs_from(wanted, "f") == [
        "cron 0 0 3 * * * -> every 60 minutes",
        "another pipeline",
        "seed: default -> 1",
        "train_epochs: 5 -> default",
        "catchup: False -> True",
        "experiment other",
    ]
    assert replace(RUN, version_id="v1").differs_from(WANTED, "e") == ["follows the newest version"]


def test_the_servers_own_service_account_is_no_difference():
    existing = replace(RUN, service_account="pipeline-runner")
    assert existing.differs_from(WANTED, "e") == []
    assert existing.differs_from(replace(WANTED, service_account="mine"), "e") == ["service account mine"]


def test_with_the_same_times_the_new_one_continues_the_old_one():
    assert anchor([RUN], FIRED, NIGHTLY) == FIRED
    assert anchor([RUN], None, NIGHTLY) == MADE  # no run yet: those due since its creation are still due


def test_a_replacement_of_a_replacement_keeps_its_place():
    # Its schedule starts at the last run of its predecessor, and it has not started a run itself.
    assert anchor([replace(RUN, begins=FIRED)], None, NIGHTLY) == FIRED


def test_other_times_count_from_the_change():
    assert anchor([RUN], FIRED, Trigger.of("0 4 * * *", None)) is None


def test_a_pause_is_not_made_up_for():
    assert anchor([replace(RUN, enabled=False)], FIRED, NIGHTLY) is None


def test_a_change_that_was_cut_off_half_way_goes_by_the_one_at_work():
    half = replace(RUN, recurring_run_id="new", enabled=False, begins=FIRED)
    assert anchor([half, RUN], FIRED, NIGHTLY) == FIRED


# The answer to an hour of 25, as in the source of KFP's API server.
REFUSED = (
    "Failed to create a recurring run: Invalid input error: Schedule cron is not a supported "
    "format(https://godoc.org/github.com/robfig/cron). Error: End of range (25) above maximum (23): 25\ngithub.com/..."
)


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        (
            REFUSED,
            ParameterError,
            "--cron must be a cron expression that KFP accepts. Received: '0 0 25 * * *': End of range (25) above "
            'maximum (23): 25. Give "0 3 * * *" (minute hour day month weekday), with seconds in front, or a word '
            "such as @daily.",
        ),
        ("Another reason", ClusterError, "Kubeflow Pipelines refused. Received: HTTP 400: Another reason."),
    ],
)
def test_what_kfp_refuses_is_one_error(said, error, message):
    experiments = {"experiments": [{"experiment_id": "e", "display_name": "Default", "storage_state": "AVAILABLE"}]}
    answers = {
        **HEALTHY,
        "/apis/v2beta1/experiments?page_token=&page_size=100&namespace=": (200, experiments),
        "/apis/v2beta1/recurringruns?page_token=&page_size=100&sort_by=created_at+desc&namespace=": (200, {}),
        "/apis/v2beta1/recurringruns": (400, {"code": 3, "message": said}),
    }
    with serving(answers) as (url, _), pytest.raises(error) as caught:
        put(connect(url), Wanted("nightly", "p", Trigger.of("0 25 * * *", None), {}))
    assert str(caught.value) == message
