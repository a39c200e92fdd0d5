"""A run with a platform's settings on a real Kubeflow: what its pods are, and what drivers are not.

E2E_WORK_FOLDER  a folder of the node that this machine sees too, for volumes; without it, no work space is tested
"""

import contextlib
import os
import uuid
from http import HTTPStatus
from pathlib import Path

import certifi
import pytest
import yaml

from tests.e2e.conftest import SMALL, node_name, submit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

SETTINGS = Path(__file__).with_name("platform.yaml")
ACCOUNT = "tilepipe-e2e-runner"
NETWORK = "tilepipe-e2e-network"
STORAGE_CLASS = "tilepipe-e2e"
_VOLUMES = 2  # one for a second try


@pytest.fixture(scope="module")
def work_folder():
    folder = os.environ.get("E2E_WORK_FOLDER")
    # New for each session: volumes of earlier runs disappear only with their pods.
    return Path(folder) / uuid.uuid4().hex[:8] if folder else None


def _remove(delete, name, namespace):
    """Delete what a session that was killed has left behind."""
    from kubernetes.client import ApiException

    try:
        delete(name, namespace)
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise


@pytest.fixture(scope="module")
def platform_objects(kubeflow, work_folder):
    """What the settings name: a service account with the runner's rights, a ConfigMap, and volumes."""
    from kubernetes import client

    rights = client.RbacAuthorizationV1Api()
    roles = {role.metadata.name for role in rights.list_namespaced_role(kubeflow.namespace).items}
    named = client.V1ObjectMeta(name=ACCOUNT)
    with contextlib.ExitStack() as stack:
        _remove(kubeflow.core.delete_namespaced_service_account, ACCOUNT, kubeflow.namespace)
        kubeflow.core.create_namespaced_service_account(kubeflow.namespace, client.V1ServiceAccount(metadata=named))
        stack.callback(kubeflow.core.delete_namespaced_service_account, ACCOUNT, kubeflow.namespace)
        for role in sorted(roles & {"pipeline-runner", "tilepipe-pipelines"}):
            name = f"{ACCOUNT}-{role}"
            binding = client.V1RoleBinding(
                metadata=client.V1ObjectMeta(name=name),
                role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name=role),
                subjects=[client.RbacV1Subject(kind="ServiceAccount", name=ACCOUNT, namespace=kubeflow.namespace)],
            )
            _remove(rights.delete_namespaced_role_binding, name, kubeflow.namespace)
            rights.create_namespaced_role_binding(kubeflow.namespace, binding)
            stack.callback(rights.delete_namespaced_role_binding, name, kubeflow.namespace)
        data = {
            "ca-bundle.crt": Path(certifi.where()).read_text(encoding="utf-8"),
            "NO_PROXY": "*",
            "SITE": "here",
        }
        _remove(kubeflow.core.delete_namespaced_config_map, NETWORK, kubeflow.namespace)
        kubeflow.core.create_namespaced_config_map(
            kubeflow.namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=NETWORK), data=data)
        )
        stack.callback(kubeflow.core.delete_namespaced_config_map, NETWORK, kubeflow.namespace)
        for volume in kubeflow.core.list_persistent_volume().items:
            if volume.spec.storage_class_name == STORAGE_CLASS:  # a claim would take it before a new one
                kubeflow.core.delete_persistent_volume(volume.metadata.name)
        for number in range(_VOLUMES if work_folder else 0):
            path = work_folder / str(number)
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
            spec = client.V1PersistentVolumeSpec(
                access_modes=["ReadWriteOnce"],
                capacity={"storage": "1Gi"},
                host_path=client.V1HostPathVolumeSource(path=str(path)),
                persistent_volume_reclaim_policy="Retain",
                storage_class_name=STORAGE_CLASS,
            )
            name = f"tilepipe-e2e-{work_folder.name}-{number}"
            volume = client.V1PersistentVolume(metadata=client.V1ObjectMeta(name=name), spec=spec)
            kubeflow.core.create_persistent_volume(volume)
            stack.callback(kubeflow.core.delete_persistent_volume, name)
        yield


@pytest.fixture(scope="module")
def pods(kubeflow, platform_objects, work_folder, sample, tmp_path_factory):
    """Task -> pod of a run with the settings, and the list of the drivers' pods."""
    folder = tmp_path_factory.mktemp("platform")
    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    if work_folder is None:
        del settings["work_space"]
    path = folder / "platform.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    words = [word for word in SMALL if not word.startswith("tracking_experiment")]
    kubeflow.tilepipe("compile", "train_classifier", "--settings", str(path))
    run_id, done = submit(
        kubeflow, "train-classifier", f"data_source={sample}", *words, "export_enabled=false", "--no-cache",
        "--settings", str(path),
    )  # fmt: skip
    assert kubeflow.run(run_id).state == "SUCCEEDED", done.stdout
    executors, drivers = {}, []
    for pod in kubeflow.pods(run_id):
        name = node_name(pod)
        if ".executor" in name:
            executors[name.rpartition(".executor")[0].rpartition(".")[2]] = pod
        else:
            drivers.append(pod)
    return executors, drivers


def main(pod):
    return next(container for container in pod.spec.containers if container.name == "main")


def variables(pod):
    """Variable -> value, or the ConfigMap or Secret and the key."""
    found = {}
    for variable in main(pod).env:
        source = variable.value_from
        reference = source and (source.config_map_key_ref or source.secret_key_ref)
        found[variable.name] = (reference.name, reference.key) if reference else variable.value
    return found


def test_every_pod_that_works_is_as_the_settings_say(pods):
    executors, _ = pods
    assert {"ingest-tiles", "pack-tiles", "train-model", "evaluate-model"} <= set(executors)
    for task, pod in executors.items():
        queue = "training" if task == "train-model" else "tiles"
        assert pod.metadata.labels["example.org/queue"] == queue
        assert pod.metadata.annotations["example.org/note"] == "platform"
        assert "example.org/tiles" in {toleration.key for toleration in pod.spec.tolerations}
        selector = pod.spec.node_selector or {}
        if task == "train-model":
            (term,) = (
                pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms
            )
            assert [(rule.key, rule.values) for rule in term.match_expressions] == [("kubernetes.io/os", ["linux"])]
        else:
            assert selector["kubernetes.io/os"] == "linux"
        assert pod.spec.service_account_name == ACCOUNT
        assert main(pod).security_context.run_as_user is None
        assert main(pod).security_context.run_as_non_root is True


def test_drivers_do_not_have_the_labels(pods):
    _, drivers = pods
    assert drivers
    assert [pod for pod in drivers if "example.org/queue" in pod.metadata.labels] == []


def test_certificates_proxy_and_variables(pods):
    executors, _ = pods
    for pod in executors.values():
        found = variables(pod)
        assert found["SSL_CERT_FILE"] == found["AWS_CA_BUNDLE"] == "/etc/tilepipe/network/ca-bundle.crt"
        assert found["NO_PROXY"] == found["no_proxy"] == (NETWORK, "NO_PROXY")
        assert found["TILEPIPE_E2E"] == "platform"
        assert found["TILEPIPE_E2E_SITE"] == (NETWORK, "SITE")
    assert variables(executors["pack-tiles"])["AWS_SESSION_TOKEN"][1] == "AWS_SESSION_TOKEN"


def test_resources_deadline_and_shared_memory(pods):
    executors, _ = pods
    pack = executors["pack-tiles"]
    assert main(pack).resources.requests == {"cpu": "200m", "memory": "1Gi"}
    assert main(pack).resources.limits == {"cpu": "2", "memory": "1Gi"}
    assert pack.spec.active_deadline_seconds == 1800
    train = executors["train-model"]
    assert main(train).resources.limits["memory"] == "3Gi"
    (memory,) = [volume for volume in train.spec.volumes if volume.name == "shm"]
    assert (memory.empty_dir.medium, memory.empty_dir.size_limit) == ("Memory", "256Mi")


def test_artifacts_lie_on_the_volume_of_the_pod(pods, work_folder):
    if work_folder is None:
        pytest.skip("E2E_WORK_FOLDER is not set: there are no volumes")
    pack = pods[0]["pack-tiles"]
    assert [mount.name for mount in main(pack).volume_mounts if mount.mount_path == "/s3"] == ["tilepipe-work"]
    (volume,) = [volume for volume in pack.spec.volumes if volume.name == "tilepipe-work"]
    assert volume.ephemeral.volume_claim_template.spec.storage_class_name == STORAGE_CLASS
    assert [path for path in work_folder.rglob("*") if path.is_file() and path.stat().st_size]
