"""Pipelines that are compiled with a platform's settings: every setting arrives where Kubernetes reads it."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.cluster import requirements
from tilepipe.pipelines.cli.cluster.requirements import Reference
from tilepipe.pipelines.cli.compilation import compiled_pipeline, platform_spec, settings_file
from tilepipe.pipelines.cli.compilation.compiled_pipeline import step_name
from tilepipe.pipelines.cli.compilation.platform_settings import STEPS, PlatformSettings

EXAMPLE = ROOT / "manifests" / "platform" / "platform.yaml"


@pytest.fixture(scope="module")
def documents():
    return compiled_pipeline.load("train_classifier").documents


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """`train_classifier`, compiled by the command line with the example, in a fresh process as users do."""
    folder = tmp_path_factory.mktemp("platform")
    (folder / "platform.yaml").write_bytes(EXAMPLE.read_bytes())
    command = [sys.executable, "-m", "tilepipe.pipelines.cli.app", "compile", "train_classifier"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TILEPIPE_IMAGE", "TILEPIPE_SETTINGS"))}
    done = subprocess.run(
        [*command, "--settings", str(folder / "platform.yaml")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"export TILEPIPE_SETTINGS={folder / 'platform.yaml'}" in done.stdout
    compiled_pipeline.parse_strictly(folder / "compiled" / "train_classifier.yaml")
    return settings_file.platform(folder / "platform.yaml").load("train-classifier")


def pods(documents):
    """Step -> (container, KFP's settings of its pod)."""
    spec, platform = documents
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    containers = {label: found["container"] for label, found in spec["deploymentSpec"]["executors"].items()}
    return {step_name(label, found["command"]): (found, executors[label]) for label, found in containers.items()}


def applied(documents, **settings):
    return pods(platform_spec.apply(documents, PlatformSettings(**settings)))


def names(entries, kind):
    """Variable -> name of the Secret or ConfigMap, and its key."""
    parameter = f"{kind}NameParameter"
    return {
        pair["envVar"]: (entry[parameter].get("runtimeValue", {}).get("constant"), pair[f"{kind}Key"])
        for entry in entries
        for pair in entry["keyToEnv"]
    }


def test_steps_are_those_of_all_pipelines():
    loaded = map(compiled_pipeline.load, compiled_pipeline.names())
    assert sorted({task.step for pipeline in loaded for task in pipeline.tasks}) == list(STEPS)


def test_every_step_gets_labels_annotations_and_nodes(example):
    steps = pods(example.documents)
    assert len(steps) == 10
    for step, (_, pod) in steps.items():
        metadata = pod["podMetadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "tilepipe"
        assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == ("gpus" if step == "train" else "tiles")
        assert metadata["annotations"] == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
        taint = {"key": "dedicated", "operator": "Equal", "value": "batch", "effect": "NoSchedule"}
        assert taint in pod["tolerations"]
        if step != "train":
            assert pod["nodeSelector"] == {"labels": {"pool": "batch"}}
            assert "nodeAffinity" not in pod


def test_training_keeps_the_nodes_and_tolerations_of_a_run_beside_those_of_the_platform(example):
    _, pod = pods(example.documents)["train"]
    assert pod["nodeSelector"]["nodeSelectorJson"]["componentInputParameter"] == "pipelinechannel--train_node_selector"
    assert pod["nodeAffinity"] == [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}]}]
    assert pod["tolerations"][0]["tolerationJson"]["componentInputParameter"] == "pipelinechannel--train_tolerations"
    needs = {task.step: task for task in requirements.of_pipeline(example, {"train_node_selector": {"zone": "a"}})}
    assert needs["train"].node_selector == {"zone": "a", "pool": "gpu"}
    assert [t["key"] for t in needs["train"].tolerations] == ["nvidia.com/gpu", "dedicated"]
    assert needs["pack"].node_selector == {"pool": "batch"}


def test_images_user_and_pull_secrets(example):
    for step, (container, pod) in pods(example.documents).items():
        if step != "train":
            assert container["image"].startswith("registry.example.com/tilepipe/")
            assert container["image"].endswith(":0.1.0-site.1")
        (secret,) = pod["imagePullSecret"]
        assert secret["secretNameParameter"] == {"runtimeValue": {"constant": "registry-credentials"}}
        assert pod["securityContext"] == {"runAsNonRoot": True}  # the user is left to the cluster
    assert example.parameters["train_image"].default == "registry.example.com/tilepipe/train:0.1.0-site.1"
    needs = requirements.of_pipeline(example, {})
    assert {task.pull_secrets for task in needs} == {("registry-credentials",)}
    assert {task.run_as_user for task in needs} == {None}
    certificates = Reference("ConfigMap", "tilepipe-network", ("ca-bundle.crt",), optional=False)
    assert all(certificates in task.references for task in needs)


def test_resources_and_deadlines_of_steps(example):
    steps = pods(example.documents)
    pack, pod = steps["pack"]
    assert pack["resources"] == {
        "resourceCpuRequest": "2",
        "resourceCpuLimit": "8",
        "resourceMemoryRequest": "8Gi",
        "resourceMemoryLimit": "8Gi",
    }
    assert pod["activeDeadlineSeconds"] == "86400"
    evaluate, pod = steps["evaluate"]
    assert evaluate["resources"]["resourceMemoryRequest"] == "4Gi"
    assert evaluate["resources"]["resourceMemoryLimit"] == "8Gi"
    assert evaluate["resources"]["resourceCpuLimit"] == "4"  # as without settings
    assert pod["activeDeadlineSeconds"] == "14400"
    assert steps["train"][1]["activeDeadlineSeconds"] == "604800"


def test_retries_of_a_step(documents):
    spec, _ = platform_spec.apply(
        documents, PlatformSettings(steps={"train": {"retries": 5}, "prepare": {"retries": 1}})
    )
    before, after = _retry_policies(documents[0]), _retry_policies(spec)
    assert (before["train-model"]["maxRetryCount"], "prepare-model" in before) == (2, False)
    assert after["train-model"] == before["train-model"] | {"maxRetryCount": 5}
    assert after["prepare-model"] == before["train-model"] | {"maxRetryCount": 1}
    rest = before.keys() - {"train-model"}
    assert {name: after[name] for name in rest} == {name: before[name] for name in rest}


def _retry_policies(spec):
    groups = [spec["root"], *spec["components"].values()]
    tasks = {name: task for group in groups for name, task in group.get("dag", {}).get("tasks", {}).items()}
    return {name: task["retryPolicy"] for name, task in tasks.items() if "retryPolicy" in task}


def test_volumes(example):
    for step, (container, pod) in pods(example.documents).items():
        folders = [entry["value"] for entry in container["env"] if entry["name"] == "TMPDIR"]
        if step not in {"pack", "train", "evaluate"}:
            assert "genericEphemeralVolume" not in pod
            assert folders == []
            continue
        assert pod["genericEphemeralVolume"] == [
            {
                "volumeName": "tilepipe-work",
                "mountPath": "/s3",
                "accessModes": ["ReadWriteOnce"],
                "size": "200Gi",
                "storageClassName": "fast",
            }
        ]
        assert folders == ["/s3"]
    (memory,) = pods(example.documents)["train"][1]["emptyDirMounts"]
    assert memory == {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "8Gi"}


def test_certificates_proxy_and_variables_reach_every_step(example):
    for container, pod in pods(example.documents).values():
        values = {entry["name"]: entry["value"] for entry in container["env"]}
        file = "/etc/tilepipe/network/ca-bundle.crt"
        assert {values[name] for name in platform_spec.CERTIFICATE_VARIABLES} == {file}
        assert values["OMP_NUM_THREADS"] == "4"
        (volume,) = pod["configMapAsVolume"]
        assert volume["mountPath"] == "/etc/tilepipe/network"
        assert volume["configMapNameParameter"] == {"runtimeValue": {"constant": "tilepipe-network"}}
        assert volume["optional"] is False
        config_maps = names(pod["configMapAsEnv"], "configMap")
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
            assert config_maps[name] == config_maps[name.lower()] == ("tilepipe-network", name)
        assert config_maps["SITE_REGION"] == ("site", "region")
        secrets = names(pod["secretAsEnv"], "secret")
        assert secrets["SITE_TOKEN"] == ("site-credentials", "token")
        assert ("AWS_SESSION_TOKEN" in secrets) is ("AWS_ACCESS_KEY_ID" in secrets)


def test_defaults_of_parameters(example):
    assert example.parameters["train_memory_limit"].default == "16Gi"
    assert example.parameters["train_tolerations"].default[0]["key"] == "nvidia.com/gpu"
    assert example.parameters["train_epochs"].default == 10


def test_no_settings_change_nothing(documents):
    spec, platform = platform_spec.apply(documents, PlatformSettings())
    assert spec == documents[0]
    assert platform == documents[1]


def test_workload_identity_takes_the_keys_away_but_not_the_endpoint(documents):
    steps = applied(documents, storage={"credentials": "workload_identity"})
    before = pods(documents)
    with_keys = [
        step for step, (_, pod) in before.items() if "AWS_ACCESS_KEY_ID" in names(pod.get("secretAsEnv", ()), "secret")
    ]
    assert {"ingest", "pack", "train"} <= set(with_keys)
    for step in with_keys:
        pod = steps[step][1]
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(names(pod.get("secretAsEnv", ()), "secret"))
        assert names(pod["configMapAsEnv"], "configMap")["AWS_ENDPOINT_URL"] == ("tilepipe-s3", "AWS_ENDPOINT_URL")
    assert "TILEPIPE_STAC_TOKEN" in names(steps["ingest"][1]["secretAsEnv"], "secret")


def test_a_claim_holds_temporary_files_only(documents):
    container, pod = applied(documents, work_space={"claim": "scratch"})["pack"]
    assert pod["pvcMount"] == [
        {
            "constant": "scratch",
            "mountPath": "/work",
            "pvcNameParameter": {"runtimeValue": {"constant": "scratch"}},
        }
    ]
    assert container["env"] == [{"name": "TMPDIR", "value": "/work"}]


@pytest.mark.parametrize(("artifacts", "folder"), [("minio", "/minio"), ("gs", "/gcs")])
def test_artifacts_are_where_the_launcher_keeps_them(documents, artifacts, folder):
    _, pod = applied(documents, work_space={"size": "5Gi", "artifacts": artifacts})["ingest"]
    (volume,) = pod["genericEphemeralVolume"]
    assert volume["mountPath"] == folder
    assert volume["defaultStorageClass"] is True
    assert "storageClassName" not in volume


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": {"train": {"memory_limit": "16Gi"}}}, r"parameters: \{train_memory_limit: 16Gi\}"),
        (
            {"steps": {"pack": {"memory_request": "4Gi"}}},
            r"steps: \{pack: \{memory_request: 4Gi, memory_limit: 4Gi\}\}",
        ),
        ({"steps": {"pack": {"cpu_limit": "100m"}}}, "request 500m, limit 100m"),
        ({"environment": {"values": {"AWS_REGION": "x"}}}, "AWS_REGION in environment.values, which tilepipe sets"),
        (
            {
                "environment": {"values": {"HTTP_PROXY": "x"}},
                "network": {"proxy": True},
            },
            "HTTP_PROXY in network, which environment.values sets",
        ),
        ({"parameters": {"train_epochs": "ten"}}, "train_epochs under `parameters` must be of type NUMBER_INTEGER"),
    ],
)
def test_contradictions_are_refused(documents, settings, message):
    with pytest.raises(ParameterError, match=message):
        platform_spec.apply(documents, PlatformSettings(**settings))


def test_defaults_of_unknown_parameters_are_refused():
    with pytest.raises(ParameterError, match=r"Received: train_epoch\. Did you mean train_epochs\?"):
        platform_spec.check_parameters(PlatformSettings(parameters={"train_epoch": 3}))
