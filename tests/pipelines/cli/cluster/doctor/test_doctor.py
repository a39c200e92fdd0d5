"""`tilepipe doctor` with fake servers for Kubernetes and KFP: the named clusters, and the start of pods."""

import json

import pytest
import yaml

from tests.pipelines.cli.cluster.test_endpoint import HEALTHY, serving
from tilepipe.pipelines.cli.cluster.pending import PULL_FAILURES

RUN = "0b1c"
PODS = "/api/v1/namespaces/kubeflow/pods"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows?labelSelector=pipeline%2Frunid&limit=5"
KUBERNETES = {
    "/api/v1/namespaces/kubeflow": (200, {"metadata": {"name": "kubeflow"}}),
    "/api/v1/namespaces/kubeflow/serviceaccounts": (200, {"items": [{"metadata": {"name": "pipeline-runner"}}]}),
    PODS: (201, {"metadata": {"name": "tilepipe-doctor-1"}}),
    f"{PODS}/tilepipe-doctor-1": (200, {"status": {"phase": "Succeeded"}}),
    f"{PODS}/tilepipe-doctor-1/log?container=main": (200, ""),
    f"{PODS}/tilepipe-doctor-1?gracePeriodSeconds=0": (200, {"metadata": {"name": "tilepipe-doctor-1"}}),
}
ONE_RUN = {WORKFLOWS: (200, {"items": [{"metadata": {"labels": {"pipeline/runid": RUN}}}]})}
KNOWN = {**HEALTHY, f"/apis/v2beta1/runs/{RUN}": (200, {"run_id": RUN})}
UNKNOWN = {**HEALTHY, f"/apis/v2beta1/runs/{RUN}": (404, {"code": 5, "message": f"Run {RUN} not found"})}


@pytest.fixture
def doctor(tilepipe, pipeline, monkeypatch, tmp_path):
    """Function that runs `doctor`; returns exit code, output, the requests that change pods, and both addresses."""

    def run(kubernetes, kubeflow, *words):
        with serving({**KUBERNETES, **kubernetes}) as (server, asked), serving(kubeflow) as (url, _):
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "mine",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "mine", "context": {"cluster": "c", "user": "u"}}],
            }
            (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
            monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
            code, out, err = tilepipe("doctor", pipeline.path, "--endpoint", url, *words)
            changes = [(method, path) for method, path, *_ in asked if path.startswith(PODS) and method != "GET"]
            run.pods = [json.loads(body) for method, path, _, body in asked if (method, path) == ("POST", PODS)]
            return code, " ".join((out + err).split()), changes, server, url

    return run


def test_both_clusters_are_named_and_nothing_is_started(doctor):
    code, out, changes, server, url = doctor(ONE_RUN, KNOWN)
    assert f"ok Kubernetes context mine ({server})" in out
    assert f"at {url}, single-user" in out
    assert f"ok same cluster context mine ({server}) and the pipelines API at {url} both have the run {RUN}" in out
    assert "skipped image pull of example.org/tidy:1, example.org/train:1: needs a pod -> Add --start-pods" in out
    assert "skipped artifacts http://minio-service.kubeflow:9000, an address inside the cluster: needs a pod" in out
    assert "2 not checked" in out
    assert changes == []
    assert code == 1  # a Secret is missing


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ({"tag_name": "2.17.0"}, "ok Kubeflow Pipelines 2.17.0 at {url}, single-user ok Kubernetes"),
        ({"tag_name": "v2.19.1"}, "at {url}, single-user; newer than 2.18, the newest tested version"),
        (
            {"tag_name": "master", "commit_sha": "7b70c7b95f6832772efd6fd0029a4024491a0f44"},
            "Pipelines 2.16 or later (commit 7b70c7b95f) at {url}, single-user; the server does not state its version",
        ),
        ({"tag_name": "2.15.2"}, "problem Kubeflow Pipelines 2.15.2 at {url} refuses security contexts"),
    ],
)
def test_the_version_and_its_meaning(doctor, health, said):
    health = {"/apis/v2beta1/healthz": (200, {"multi_user": False, **health})}
    _, out, _, _, url = doctor(ONE_RUN, {**KNOWN, **health})
    assert said.format(url=url) in out


@pytest.mark.parametrize(("version", "warns"), [("2.17.0", False), ("2.18.2", True), ("unknown", True)])
@pytest.mark.parametrize("multi_user", [False, True])
def test_versions_that_only_accept_listed_service_accounts(doctor, tmp_path, version, warns, multi_user):
    settings = tmp_path / "platform.yaml"
    settings.write_text("service_account: tile-runner", encoding="utf-8")
    health = {"/apis/v2beta1/healthz": (200, {"multi_user": multi_user, "tag_name": version})}
    _, out, *_ = doctor(ONE_RUN, {**KNOWN, **health}, "--settings", settings)
    assert ("refuses tile-runner unless its administrator has listed it" in out) is warns
    assert ("right to `use` the service account" in out) is (warns and multi_user)


def test_pods_start_in_the_same_cluster_when_asked_and_are_deleted(doctor):
    _, out, changes, _, _ = doctor(ONE_RUN, KNOWN, "--start-pods")
    assert "ok image example.org/train:1" in out
    created = [path for method, path in changes if method == "POST"]
    deleted = [path for method, path in changes if method == "DELETE"]
    assert created
    assert set(created) == {PODS}
    assert len(deleted) == len(created)


def test_an_image_is_reported_whose_container_has_no_log(doctor):
    waits = {"kind": "Status", "message": 'container "main" is waiting to start: ContainerCreating', "code": 400}
    failed = {"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}}
    pod = f"{PODS}/tilepipe-doctor-1"
    kubernetes = {**ONE_RUN, pod: (200, failed), f"{pod}/log?container=main": (400, waits)}
    _, out, *_ = doctor(kubernetes, KNOWN, "--start-pods")
    assert "image example.org/train:1" in out
    assert "Kubernetes refused" not in out


@pytest.mark.parametrize("reason", sorted(PULL_FAILURES))
def test_an_image_that_cannot_be_pulled_is_a_problem_at_once(doctor, reason):
    waiting = {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    waiting["state"] = {"waiting": {"reason": reason, "message": "no such host"}}
    pod = {f"{PODS}/tilepipe-doctor-1": (200, {"status": {"phase": "Pending", "containerStatuses": [waiting]}})}
    _, out, *_ = doctor({**ONE_RUN, **pod}, KNOWN, "--start-pods")
    assert "problem image example.org/train:1: no such host -> Check the image's name and tag" in out
    assert "not started after" not in out


def test_no_pod_starts_in_another_cluster(doctor):
    for words in (["--start-pods"], ["--start-pods", "--context", "mine"]):
        code, out, changes, _, _ = doctor(ONE_RUN, UNKNOWN, *words)
        assert code == 1
        assert "problem same cluster" in out
        assert "the API knows none of 1 runs in namespace kubeflow" in out
        assert "no pod in a cluster of another pipelines API" in out
        assert changes == []


def test_no_pod_starts_in_a_cluster_that_may_be_another_unless_it_is_named(doctor):
    _, out, changes, server, _ = doctor({}, HEALTHY, "--start-pods")
    assert "warning same cluster" in out
    assert "are not evidently the same cluster" in out
    assert f"If context mine ({server}) is right, confirm it: --start-pods --context mine." in out
    assert changes == []
    _, out, changes, _, _ = doctor({}, HEALTHY, "--start-pods", "--context", "mine")
    assert "ok image example.org/tidy:1" in out
    assert changes


def test_no_pod_starts_without_the_pipelines_api(doctor):
    code, out, changes, _, _ = doctor(ONE_RUN, {}, "--start-pods", "--context", "mine")
    assert code == 1
    assert "no pod without the pipelines API" in out
    assert changes == []


def test_a_context_that_is_absent(doctor):
    code, out, changes, _, _ = doctor({}, HEALTHY, "--context", "yours")
    assert code == 2
    assert "--context must be a context of the kubeconfig. Received: yours" in out
    assert changes == []


def test_pods_have_the_identity_that_the_settings_of_the_platform_give_to_tasks(doctor, tmp_path):
    settings = tmp_path / "platform.yaml"
    settings.write_text("{service_account: tile-runner, pods: {run_as_user: cluster}}", encoding="utf-8")
    doctor(ONE_RUN, KNOWN, "--start-pods", "--settings", settings)
    assert {pod["spec"]["serviceAccountName"] for pod in doctor.pods} == {"tile-runner"}
    assert [pod["spec"]["securityContext"].get("runAsUser") for pod in doctor.pods] == [None] * len(doctor.pods)
    doctor(ONE_RUN, KNOWN, "--start-pods")
    assert {pod["spec"]["serviceAccountName"] for pod in doctor.pods} == {"pipeline-runner"}
    assert {pod["spec"]["securityContext"]["runAsUser"] for pod in doctor.pods} == {65532}


ACCOUNTS = "/api/v1/namespaces/kubeflow/serviceaccounts"
REVIEWS = "/apis/authorization.k8s.io/v1/namespaces/kubeflow/localsubjectaccessreviews"


@pytest.mark.parametrize(
    ("kubernetes", "said"),
    [
        ({}, "must be in namespace kubeflow. Received: tile-runner, which is not."),
        (
            {
                f"{ACCOUNTS}/tile-runner": (200, {"metadata": {"name": "tile-runner"}}),
                REVIEWS: (201, {"spec": {}, "status": {"allowed": False}}),
            },
            "tile-runner may not create workflowtaskresults",
        ),
        (
            {
                f"{ACCOUNTS}/tile-runner": (200, {"metadata": {"name": "tile-runner"}}),
                REVIEWS: (201, {"spec": {}, "status": {"allowed": True}}),
            },
            "ok service account tile-runner may read its own runs",
        ),
    ],
    ids=["absent", "without rights", "with rights"],
)
def test_a_service_account_of_the_platform_is_checked(doctor, tmp_path, kubernetes, said):
    settings = tmp_path / "platform.yaml"
    settings.write_text("service_account: tile-runner", encoding="utf-8")
    _, out, *_ = doctor({**ONE_RUN, **kubernetes}, KNOWN, "--settings", settings)
    assert said in out
    bind = "create rolebinding tile-runner --role=pipeline-runner --serviceaccount=kubeflow:tile-runner"
    assert (bind in out) is not said.startswith("ok")


def test_a_pipeline_by_name_must_be_compiled_with_the_settings(doctor, tmp_path):
    settings = tmp_path / "platform.yaml"
    settings.write_text("pods: {node_selector: {pool: batch}}", encoding="utf-8")
    code, out, *_ = doctor(ONE_RUN, KNOWN, "promote", "--settings", settings)
    assert code == 2
    assert f"tilepipe compile promote --settings {settings}" in out
