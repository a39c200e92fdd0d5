"""Mistakes that are found without a cluster: one message, exit code 2, no traceback."""

import json

import pytest

from tests.pipelines.cli.cluster.test_endpoint import HEALTHY, serving


def test_submit_without_an_endpoint(tilepipe, pipeline):
    code, _, err = tilepipe("submit", pipeline.path)
    assert code == 2
    assert "KFP_ENDPOINT" in err


def test_parameters_are_checked_before_the_endpoint(tilepipe, pipeline):
    code, _, err = tilepipe("submit", pipeline.path, "train_gpu_cuont=1")
    assert code == 2
    assert "Did you mean train_gpu_count?" in err


def test_upload_where_nothing_listens(tilepipe, pipeline):
    code, _, err = tilepipe("upload", pipeline.path, "--endpoint", "http://127.0.0.1:9")
    assert code == 2
    assert "No Kubeflow Pipelines API answers" in err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nightly"],
        ["nightly", "--pause", "--resume"],
        ["nightly", "train_classifier", "--delete"],
    ],
)
def test_schedule_takes_one_thing_to_do(tilepipe, words):
    code, _, err = tilepipe("schedule", *words)
    assert code == 2
    assert "takes a name and either" in err


def test_schedule_refuses_paths_that_pods_cannot_reach(tilepipe):
    words = ["schedule", "nightly", "train_classifier", "--every-minutes", "60", "data_source=tiles/"]
    code, _, err = tilepipe(*words)
    assert code == 2
    assert "`data_source` must be an address that pods can reach. Received: data_source=tiles/" in err
    code, _, err = tilepipe(*words, "--no-checks")
    assert code == 2
    assert "KFP_ENDPOINT" in err


def test_schedule_needs_a_cron_expression(tilepipe, pipeline):
    code, _, err = tilepipe("schedule", "nightly", pipeline.path, "--cron", "0 3 * *")
    assert code == 2
    assert "--cron must have five or six fields. Received: '0 3 * *'" in err


def test_doctor_says_what_it_could_not_look_at(tilepipe):
    code, out, shown = tilepipe("doctor", "--endpoint", "http://127.0.0.1:9", "--output", "json")
    assert code == 1
    assert "No Kubeflow Pipelines API answers" in shown
    assert "no kubeconfig" in shown
    assert "0 ok, 1 warning, 1 problem, 0 not checked" in shown
    levels = [(one["subject"], one["level"]) for one in json.loads(out)]
    assert levels == [("Kubeflow", "problem"), ("Kubernetes", "warning")]


ANSWERS = {
    **HEALTHY,
    "/apis/v2beta1/runs": (200, {"run_id": "the-id", "display_name": "n"}),
    "/apis/v2beta1/experiments?page_token=&page_size=100&namespace=": (
        200,
        {"experiments": [{"experiment_id": "e1", "display_name": "mine", "storage_state": "AVAILABLE"}]},
    ),
}


def sent(seen):
    return json.loads([body for method, path, _, body in seen if method == "POST"][-1])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        (["--service-account", "mine"], "mine"),
        (["--settings", "{settings}"], "tile-runner"),
        (["--settings", "{settings}", "--service-account", "mine"], "mine"),
    ],
)
def test_the_service_account_of_a_run(tilepipe, pipeline, tmp_path, words, expected):
    settings = tmp_path / "platform.yaml"
    settings.write_text("service_account: tile-runner\n", encoding="utf-8")
    words = [word.format(settings=settings) for word in words]
    with serving(ANSWERS) as (url, seen):
        code, _, err = tilepipe("submit", pipeline.path, "--endpoint", url, "--experiment", "mine", "--no-wait", *words)
    assert (code, err) == (0, "")
    assert sent(seen).get("service_account") == expected


def test_submit_sends_what_was_checked_and_says_where_it_is(tilepipe, pipeline):
    """Check the requests to the pipelines API, without Kubernetes and without waiting."""
    words = ["train_gpu_count=1", "--experiment", "mine", "--run-name", "first", "--no-wait", "--no-cache"]
    with serving(ANSWERS) as (url, seen):
        code, out, err = tilepipe("submit", pipeline.path, "--endpoint", url, *words)
    assert (code, err) == (0, "")
    assert "run first: the-id" in out
    body = sent(seen)
    assert body["display_name"] == "first"
    assert body["experiment_id"] == "e1"
    assert body["runtime_config"] == {"parameters": {"train_gpu_count": "1"}}
    assert set(body["pipeline_spec"]) == {"pipeline_spec", "platform_spec"}
    tasks = body["pipeline_spec"]["pipeline_spec"]["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert [task["cachingOptions"] for task in tasks.values()] == [{}, {}]

    with serving(ANSWERS) as (url, _):
        code, out, err = tilepipe("submit", pipeline.path, "--endpoint", url, *words, "--output", "json")
    assert code == 0
    assert "run first: the-id" in err
    found = json.loads(out)
    assert (found["run_id"], found["name"], found["status"], found["failure"]) == ("the-id", "first", "started", None)
