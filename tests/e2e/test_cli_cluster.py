"""`tilepipe submit`, `upload`, `schedule` and `doctor` on a real Kubeflow, with pipelines of a few seconds.

They need KFP_ENDPOINT, KUBECONFIG, and an image with Python that the nodes have or can pull (E2E_PYTHON_IMAGE
[localhost/python:3.11]), but no bucket and no MLflow.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid

import pytest
from kfp import compiler, dsl, kubernetes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

IMAGE = os.environ.get("E2E_PYTHON_IMAGE", "localhost/python:3.11")
ENDED = {"SUCCEEDED", "FAILED", "CANCELED"}


@dsl.container_component
def say(text: str):
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", "import sys; print('hello', sys.argv[1])", text])


@dsl.container_component
def refuse(text: str):
    program = "import sys; print('error: the rule. Received:', sys.argv[1], file=sys.stderr); sys.exit(2)"
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", program, text])


@dsl.container_component
def train(gpu_count: str, gpu_resource: str):
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", "print('trained')", gpu_count, gpu_resource])


@dsl.container_component
def grow(train_memory_limit: str):
    program = "import time; held = bytearray(600 << 20); time.sleep(600)"
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", program, train_memory_limit])


def configured(task):
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.set_security_context(task, run_as_user=65532, run_as_non_root=True)
    return task


def greetings(name):
    @dsl.pipeline(name=name, description="Greets.")
    def pipeline(text: str = "world"):
        configured(say(text=text))

    return pipeline


@dsl.pipeline(name="e2e-refusing")
def refusing(text: str = "x"):
    with dsl.ExitHandler(configured(say(text="bye")).set_caching_options(False), name="all"):
        first = configured(refuse(text=text)).set_caching_options(False)
        configured(say(text="never")).after(first)


@dsl.pipeline(name="e2e-training")
def training(
    train_gpu_count: str = "0",
    train_gpu_resource: str = "nvidia.com/gpu",
    train_image: str = IMAGE,
    train_node_selector: dict = {},  # noqa: B006 - KFP reads it
    storage_secret_name: str = "tilepipe-s3",
):
    task = configured(train(gpu_count=train_gpu_count, gpu_resource=train_gpu_resource)).set_caching_options(False)
    task.set_container_image(train_image)
    task.set_accelerator_type(train_gpu_resource).set_accelerator_limit(train_gpu_count)
    kubernetes.add_node_selector_json(task, train_node_selector)
    kubernetes.use_secret_as_env(task, storage_secret_name, {"AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID"}, optional=True)


@dsl.pipeline(name="e2e-growing")
def growing(train_memory_limit: str = "1Gi"):
    task = configured(grow(train_memory_limit=train_memory_limit)).set_caching_options(False)
    task.set_cpu_request("100m").set_memory_request(train_memory_limit).set_memory_limit(train_memory_limit)


@pytest.fixture(scope="module")
def endpoint():
    address = os.environ.get("KFP_ENDPOINT")
    if not address:
        pytest.skip("KFP_ENDPOINT is not set: there is no Kubeflow to test against")
    return address


@pytest.fixture(scope="module")
def core(endpoint):
    from kubernetes import client, config

    config.load_kube_config()
    return client.CoreV1Api()


@pytest.fixture(scope="module")
def api(endpoint):
    import kfp_server_api

    return kfp_server_api.ApiClient(kfp_server_api.Configuration(host=endpoint))


@pytest.fixture(scope="module")
def runs(api):
    import kfp_server_api

    return kfp_server_api.RunServiceApi(api)


@pytest.fixture(scope="module")
def namespace():
    return os.environ.get("KFP_NAMESPACE", "kubeflow")


@pytest.fixture
def write(tmp_path):
    """Function that compiles a pipeline and returns the path of the YAML."""

    def compiled(pipeline, name="pipeline"):
        path = tmp_path / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path

    return compiled


COMMAND = [sys.executable, "-W", "ignore", "-m", "tilepipe.pipelines.cli.app"]


def tilepipe(*words, code=0, seconds=600, **environment):
    done = subprocess.run(
        [*COMMAND, *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def run_id_in(text):
    return re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)[0]


def watching(*words):
    """Start `tilepipe` in the background, with its output in a pipe."""
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell that runs the tests in the background makes them ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


@contextlib.contextmanager
def terminated(runs, said):
    """Function that terminates the run that an output names, even if the test fails."""
    run_id = run_id_in(said)
    try:
        yield run_id
    finally:
        runs.run_service_terminate_run(run_id)


# submit


def test_a_run_that_succeeds_and_then_comes_from_the_cache(write, runs):
    path = write(greetings("e2e-greetings"))
    text = uuid.uuid4().hex
    said = tilepipe("submit", path, f"text={text}", "--run-name", "the first")
    assert runs.run_service_get_run(run_id_in(said)).display_name == "the first"
    assert re.search(r"say +started", said)
    assert re.search(r"say +ok +\d+ s", said)
    assert "run succeeded" in said
    said = tilepipe("submit", path, f"text={text}")
    assert re.search(r"say +cached", said)
    again = tilepipe("submit", path, f"text={text}", "--no-cache")
    assert re.search(r"say +ok +\d+ s", again)


def test_a_run_that_fails_says_which_task_why_and_where_its_log_is(write):
    said = tilepipe("submit", write(refusing), "text=moon", "--namespace", "kubeflow", code=1)
    assert re.search(r"refuse +FAILED", said)
    assert re.search(r"say-2 +not run|say +not run", said)
    assert "refuse failed: error: the rule. Received: moon" in said
    (log,) = re.findall(r"log: (kubectl logs .*)", said)
    shown = subprocess.run(log.split(), capture_output=True, text=True, check=True).stdout
    assert "Received: moon" in shown


def test_without_kubernetes_only_the_states_are_known(write):
    said = tilepipe("submit", write(refusing), code=1, KUBECONFIG="/nonexistent")
    assert re.search(r"refuse +FAILED", said)
    assert "in Kubeflow's UI" in said


def test_an_image_that_cannot_be_pulled_is_reported_at_once(write, runs):
    with watching("submit", write(training), "train_image=registry.invalid/none:1") as process:
        said = ""
        for line in process.stdout:
            said += line
            if "waiting ErrImagePull" in line:
                break
        time.sleep(20)  # the kubelet tries again, with another reason
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()  # communicate() would lose lines that came together with the last one
    with terminated(runs, said) as run_id:
        assert said.count("waiting ErrImagePull") == 1
        assert "(train_image)" in said
        assert f"/runs/{run_id}:terminate" in said


def test_a_gpu_request_that_no_node_can_meet(write, runs):
    path = write(training)
    said = tilepipe("submit", path, "train_gpu_count=99", code=2, seconds=60)
    assert "At least one node must be able to run `train`, and none is" in said
    assert "nvidia.com/gpu: 99 wanted" in said
    assert "Change train_gpu_count" in said
    # As in a cluster with autoscaling: the run starts, and the state of the pod shows what it waits for.
    said = tilepipe("submit", path, "train_gpu_count=99", "--no-checks", "--timeout-minutes", "0.7", code=3)
    with terminated(runs, said):
        assert said.count("waiting Unschedulable") == 1
        assert "lower train_gpu_count" in said


def test_a_secret_that_the_user_names_must_be_there(write):
    said = tilepipe("submit", write(training), "storage_secret_name=no-such-secret", code=2, seconds=60)
    assert "storage_secret_name=no-such-secret, which is not" in said
    assert "kubectl create secret generic no-such-secret" in said


@pytest.mark.parametrize("wrong", ["no-such-namespace", "kube-public"])
def test_a_wrong_namespace(write, wrong):
    said = tilepipe("submit", write(greetings("e2e-greetings")), "--namespace", wrong, code=2, seconds=60)
    assert f"Received: {wrong}" in said
    assert "kubeflow" in said


def test_a_person_who_stops_watching_leaves_the_run_going(write, runs):
    with watching("submit", write(greetings("e2e-greetings")), f"text={uuid.uuid4()}") as process:
        first = process.stdout.readline()
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    with terminated(runs, first) as run_id:
        assert "the run continues" in rest
        assert f"/runs/{run_id}:terminate" in rest
        assert runs.run_service_get_run(run_id).state not in {"FAILED", "CANCELED"}


def test_a_task_that_is_killed_for_its_memory(write):
    said = tilepipe("submit", write(growing), "train_memory_limit=128Mi", code=1)
    assert "grow failed: It used more memory than its limit, and was killed. Raise train_memory_limit." in said


def test_a_run_that_a_person_terminates(write, runs):
    process = subprocess.Popen(
        [*COMMAND, "submit", str(write(growing))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:
        lines = [process.stdout.readline()]
        while "started" not in lines[-1] and process.poll() is None:
            lines.append(process.stdout.readline())
        runs.run_service_terminate_run(run_id_in(lines[0]))
        rest = process.stdout.read()
    assert process.returncode == 1
    assert "run canceled" in rest
    assert "terminated by a person" in rest


def test_the_namespace_of_a_server_for_one_user_is_its_own(write, core, runs):
    """Another plausible namespace is accepted, and the actual namespace of the run is printed."""
    from kubernetes import client

    name = f"e2e-{uuid.uuid4().hex[:8]}"
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    try:
        account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="pipeline-runner"))
        core.create_namespaced_service_account(name, account)
        said = tilepipe("submit", write(greetings("e2e-greetings")), "--namespace", name, "--no-wait")
    finally:
        core.delete_namespace(name)
    with terminated(runs, said):
        assert f"the run is in namespace kubeflow: this Kubeflow is single-user, so --namespace {name}" in said


# upload


@pytest.fixture
def pipelines(api):
    import kfp_server_api

    return kfp_server_api.PipelineServiceApi(api)


@pytest.fixture
def uploadable(write, pipelines):
    """A pipeline with a unique name, which is removed after the test."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    yield name, write(greetings(name), name)
    found = [p for p in pipelines.pipeline_service_list_pipelines(page_size=200).pipelines or [] if p.name == name]
    for pipeline in found:
        pipelines.pipeline_service_delete_pipeline(pipeline.pipeline_id, cascade=True)


def test_upload_twice_changes_nothing(uploadable, pipelines):
    name, path = uploadable
    assert f"{name}: 0." in tilepipe("upload", path)
    (pipeline,) = [p for p in pipelines.pipeline_service_list_pipelines(page_size=200).pipelines if p.name == name]
    assert pipeline.description == "Greets."
    assert "unchanged" in tilepipe("upload", path)
    path.write_text(path.read_text().replace("world", "moon"))
    assert "new version" in tilepipe("upload", path)
    versions = pipelines.pipeline_service_list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    assert len(versions) == 2
    assert {version.description for version in versions} == {"Greets."}


def test_what_kfp_refuses_leaves_nothing_behind(uploadable, pipelines):
    name, path = uploadable
    path.write_text(path.read_text().replace("schemaVersion: 2.1.0", "schemaVersion: 9.9.9"))
    assert "Kubeflow Pipelines refused" in tilepipe("upload", path, code=2)
    found = pipelines.pipeline_service_list_pipelines(page_size=200).pipelines or []
    assert name not in {pipeline.name for pipeline in found}


# schedule


@pytest.fixture
def schedule(uploadable):
    """Function that runs `tilepipe schedule` for a recurring run that is removed after the test."""
    name, path = uploadable
    tilepipe("upload", path)
    yield lambda *words, **more: tilepipe("schedule", name, *words, **more)
    with contextlib.suppress(AssertionError):
        tilepipe("schedule", name, "--delete")


@pytest.fixture
def recurring(api):
    import kfp_server_api

    service = kfp_server_api.RecurringRunServiceApi(api)

    def of(name):
        found = service.recurring_run_service_list_recurring_runs(page_size=200).recurring_runs or []
        return [run for run in found if run.display_name == name]

    return of


def test_a_recurring_run_from_creation_to_deletion(uploadable, schedule, recurring):
    name, path = uploadable
    nightly = ("--cron", "0 3 * * *")
    assert "created" in schedule(path, *nightly, "text=a")
    (first,) = recurring(name)
    assert first.trigger.cron_schedule.cron == "0 0 3 * * *"
    assert first.runtime_config.parameters == {"text": "a"}
    assert (first.status, first.no_catchup, first.max_concurrency) == ("ENABLED", True, "1")
    assert not first.pipeline_version_reference.pipeline_version_id  # each start uses the newest version
    assert "unchanged" in schedule(path, *nightly, "text=a")
    assert recurring(name)[0].recurring_run_id == first.recurring_run_id
    assert "changed (text: a -> b)" in schedule(path, *nightly, "text=b")
    (second,) = recurring(name)
    assert second.recurring_run_id != first.recurring_run_id
    assert second.runtime_config.parameters == {"text": "b"}
    schedule("--pause")
    assert recurring(name)[0].status == "DISABLED"
    assert "it stays paused" in schedule(path, "--every-minutes", "90", "text=b")
    (third,) = recurring(name)
    assert (third.status, third.trigger.periodic_schedule.interval_second) == ("DISABLED", "5400")
    schedule("--resume")
    assert recurring(name)[0].status == "ENABLED"
    assert name in tilepipe("schedule", "--list")
    schedule("--delete")
    assert recurring(name) == []
    assert "There must be a recurring run of that name" in schedule("--delete", code=2)


def test_a_change_that_kfp_refuses_leaves_the_old_one_at_work(uploadable, schedule, recurring):
    name, path = uploadable
    schedule(path, "--cron", "0 3 * * *", "text=a")
    path.write_text(path.read_text().replace("world", "moon"))  # not what was uploaded
    assert "tilepipe upload" in schedule(path, "--cron", "0 3 * * *", "text=b", code=2)
    (still,) = recurring(name)
    assert (still.status, still.runtime_config.parameters) == ("ENABLED", {"text": "a"})


def test_a_change_neither_misses_nor_doubles_a_run_and_lets_the_running_one_finish(uploadable, schedule, runs):
    """A schedule is changed while its first run is in progress: one run starts per minute, and none is terminated."""
    name, path = uploadable

    def started():
        page = runs.run_service_list_runs(page_size=50, sort_by="created_at desc").runs or []
        return sorted((run for run in page if run.display_name.startswith(name)), key=lambda r: r.created_at)

    schedule(path, "--every-minutes", "1", "text=a")
    first = waiting_for(lambda: started()[:1], 150)[0]
    schedule(path, "--every-minutes", "1", f"text={uuid.uuid4()}")
    second = waiting_for(lambda: started()[1:2], 150)[0]
    schedule("--pause")
    assert 45 <= (second.created_at - first.created_at).total_seconds() <= 125
    ended = waiting_for(lambda: all(run.state in ENDED for run in started()), 240)
    assert ended
    assert [run.state for run in started()] == ["SUCCEEDED"] * len(started())
    assert len(started()) == 2
    assert {run.recurring_run_id for run in started()} == {first.recurring_run_id, second.recurring_run_id}
    assert first.recurring_run_id != second.recurring_run_id


def waiting_for(ask, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = ask()
        if found:
            return found
        time.sleep(2)
    pytest.fail(f"nothing in {seconds} s")


# doctor


def test_doctor_finds_what_is_wrong_and_cleans_up(write, core, namespace):
    @dsl.pipeline(name="e2e-doctor")
    def pipeline():
        task = configured(say(text="x"))
        kubernetes.use_secret_as_env(task, "no-such-secret", {"KEY": "KEY"})
        configured(say(text="y")).set_container_image("registry.invalid/none:1")

    from kubernetes import config

    context = config.list_kube_config_contexts()[1]["name"]
    began = time.monotonic()
    said = tilepipe("doctor", write(pipeline), "--start-pods", "--context", context, code=1)
    assert time.monotonic() - began < 120
    assert f"context {context}" in said
    assert re.search(r"ok +Kubeflow", said)
    assert re.search(rf"ok +namespace +{namespace}", said)
    assert re.search(r"problem +Secret no-such-secret", said)
    assert f"kubectl create secret generic no-such-secret -n {namespace} --from-literal=KEY=..." in said
    assert re.search(rf"ok +image +{re.escape(IMAGE)}", said)
    assert re.search(r"problem +image +registry.invalid/none:1", said)
    assert re.search(r"GPU node +", said)
    left = [p.metadata.name for p in core.list_namespaced_pod(namespace).items if not p.metadata.deletion_timestamp]
    assert not [name for name in left if name.startswith("tilepipe-doctor-")]


def test_doctor_starts_nothing_unless_it_may(write):
    said = tilepipe("doctor", write(greetings("e2e-greetings")), "--s3-endpoint", "http://127.0.0.1:9", code=1)
    assert re.search(r"^skipped +image ", said, re.MULTILINE)
    assert "Add --start-pods" in said
    assert "http://127.0.0.1:9 does not answer" in said


def test_doctor_never_shows_a_secret(write, core, namespace):
    from kubernetes import client

    name = f"e2e-{uuid.uuid4().hex[:8]}"
    body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data={"KEY": "do-not-show"})
    core.create_namespaced_secret(namespace, body)

    @dsl.pipeline(name="e2e-secret")
    def pipeline():
        kubernetes.use_secret_as_env(configured(say(text="x")), name, {"KEY": "KEY"})

    try:
        said = tilepipe("doctor", write(pipeline), "--s3-endpoint", "http://127.0.0.1:9", code=1)
    finally:
        core.delete_namespaced_secret(name, namespace)
    assert re.search(rf"ok +Secret {name} +KEY", said)
    assert "do-not-show" not in said
