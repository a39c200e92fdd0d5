"""Outcome of a run, from Workflows of the form that Argo 4.0.5 gives them under KFP 2.17."""

import base64
import gzip
import json
from types import SimpleNamespace

import pytest

from tilepipe.components.finish.outcome import Outcome, from_cluster, from_note


def node(name, kind="Pod", phase="Succeeded", finished="2026-11-21T10:00:00Z", **more):
    display = name.split(".")[-1]
    return {"id": f"id-{name}", "name": name, "displayName": display, "type": kind, "phase": phase,
            "finishedAt": finished, **more}  # fmt: skip


def workflow(*nodes, **spec):
    return {"spec": spec, "status": {"nodes": {n["id"]: n for n in nodes}}}


def pod(node_name, message=None, reason="Error", evicted=None):
    terminated = SimpleNamespace(message=message, reason=reason)
    status = SimpleNamespace(name="main", state=SimpleNamespace(terminated=terminated))
    metadata = SimpleNamespace(
        name=f"pod-{node_name}", labels={}, annotations={"workflows.argoproj.io/node-id": f"id-{node_name}"}
    )
    pod_status = SimpleNamespace(container_statuses=[status], reason=evicted and "Evicted", message=evicted)
    return SimpleNamespace(metadata=metadata, status=pod_status)


def no_log(name):
    raise AssertionError(f"the log of {name} was asked for")


def test_success():
    flow = workflow(node("w.root.ingest-tiles.executor"), node("w.root.ingest-tiles-driver"))
    assert from_cluster(flow, [], no_log) == Outcome("succeeded")


def test_a_failed_task_of_a_large_workflow_is_found_among_compressed_nodes():
    nodes = workflow(node("w.root.train-model.executor", phase="Failed", message="killed"))["status"]["nodes"]
    packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    found = from_cluster({"spec": {}, "status": {"compressedNodes": packed}}, [], no_log)
    assert found == Outcome("failed", "train-model", "killed")


def test_all_from_the_cache():
    flow = workflow(
        node("w.root.ingest-tiles-driver"), node("w.root.ingest-tiles.executor", kind="Skipped", phase="Skipped")
    )
    assert from_cluster(flow, [], no_log).state == "succeeded"


def test_container_failed_with_a_termination_message():
    name = "w.root.exit-handler-1.pack-tiles.executor"
    flow = workflow(node(name, phase="Failed", message="main: Error (exit code 2)"))
    found = from_cluster(flow, [pod(name, "pack: 3 tiles are corrupt.")], no_log)
    assert found == Outcome("failed", "pack-tiles", "3 tiles are corrupt.")


def test_container_that_took_too_much_memory():
    name = "w.root.exit-handler-1.train-model.executor"
    flow = workflow(node(name, phase="Failed", message="OOMKilled (exit code 137)"))
    found = from_cluster(flow, [pod(name, reason="OOMKilled")], no_log)
    assert found.failed_task == "train-model"
    assert "more memory than its limit" in found.reason


def test_container_failed_without_a_message_falls_back_on_its_log():
    name = "w.root.exit-handler-1.train-model.executor"
    flow = workflow(node(name, phase="Error", message="OOMKilled"))
    found = from_cluster(flow, [pod(name)], lambda pod_name: f"end of {pod_name}")
    assert found == Outcome("failed", "train-model", f"end of pod-{name}")


def test_pod_that_is_gone_falls_back_on_the_nodes_message():
    flow = workflow(node("w.root.train-model.executor", phase="Error", message="pod deleted"))
    found = from_cluster(flow, [], no_log)
    assert (found.state, found.failed_task) == ("failed", "train-model")
    assert found.reason.startswith("Its pod was deleted")
    assert "ARGO_POD_STATUS_CAPTURE_FINALIZER=true" in found.reason


def test_pod_deleted_while_it_started():
    name = "w.root.predict-part.executor(0)"
    said = "Pod failed before kfp-launcher container starts due to PodInitializing: "
    found = from_cluster(workflow(node(name, phase="Error", message=said)), [], no_log)
    assert (found.state, found.failed_task) == ("failed", "predict-part")
    assert found.reason.startswith("Its pod ended before the step began")
    assert found.reason.endswith("Argo said: Pod failed before kfp-launcher container starts due to PodInitializing.")


def test_evicted_pod():
    name = "w.root-driver"
    low = "The node was low on resource: memory. Threshold quantity: 25023737236, available: 2225164Ki. "
    lost = "The container could not be located when the pod was terminated"
    found = from_cluster(
        workflow(node(name, phase="Failed", message=low)), [pod(name, lost, "ContainerStatusUnknown", low)], no_log
    )
    assert found == Outcome(
        "failed", "root", f"KFP's driver failed before the step began: Its pod was evicted: {low.strip()}"
    )


def test_driver_failed():
    name = "w.root.exit-handler-1.train-model-driver"
    flow = workflow(node(name, phase="Failed", message="main: Error (exit code 1)"))
    found = from_cluster(flow, [pod(name)], lambda _: "parent DAG does not have input parameter")
    assert (found.state, found.failed_task) == ("failed", "train-model")
    assert found.reason.startswith("KFP's driver failed before the step began: parent DAG")


@pytest.mark.parametrize("spec", [{"shutdown": "Terminate"}, {"activeDeadlineSeconds": 0}])
def test_terminated_by_a_person(spec):
    flow = workflow(node("w.root.train-model.executor", phase="Failed"), **spec)
    assert from_cluster(flow, [], no_log).state == "terminated"


def test_the_first_of_several_failures():
    flow = workflow(
        node("w.root.b.executor", phase="Failed", finished="2026-11-21T10:05:00Z", message="later"),
        node("w.root.a.executor", phase="Failed", finished="2026-11-21T10:01:00Z", message="first"),
    )
    assert from_cluster(flow, [], no_log) == Outcome("failed", "a", "first")


def test_a_try_that_a_later_one_made_good_is_no_failure():
    tries = [node("w.root.pack-tiles.executor(0)", phase="Failed"), node("w.root.pack-tiles.executor(1)")]
    retry = node("w.root.pack-tiles.executor", kind="Retry", children=[n["id"] for n in tries])
    assert from_cluster(workflow(retry, *tries), [], no_log).state == "succeeded"
    retry["phase"] = "Failed"
    assert from_cluster(workflow(retry, *tries), [], no_log).failed_task == "pack-tiles"


def test_local_runs():
    assert from_note("SUCCEEDED", "") == Outcome("succeeded")
    assert from_note("FAILED", "ingest: no such folder: /x") == Outcome("failed", "ingest", "no such folder: /x")
    assert from_note("FAILED", "") == Outcome("failed", "", "")
