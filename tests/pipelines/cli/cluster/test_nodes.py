from decimal import Decimal

import pytest

from tests.support.checks import assert_accepted
from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.cluster.nodes import Node, check_feasible, describe_taint, quantity
from tilepipe.pipelines.cli.cluster.requirements import TaskNeeds

GPU = "nvidia.com/gpu"
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
PARAMETERS = {
    "gpu": "train_gpu_count",
    "memory": "train_memory_limit",
    "node_selector": "train_node_selector",
    "tolerations": "train_tolerations",
}


def node(name="node1", gpus=2, memory="64Gi", **more):
    allocatable = {"cpu": Decimal(8), "memory": quantity(memory), GPU: Decimal(gpus)}
    return Node(name, allocatable, **more)


def needs(requests=None, **more):
    requests = {"cpu": "1", "memory": "8Gi", GPU: "1"} if requests is None else requests
    return TaskNeeds("train-model", "train", "image", requests, parameters=PARAMETERS, **more)


def refusal(task, *nodes):
    with pytest.raises(ParameterError) as caught:
        check_feasible([task], nodes)
    return str(caught.value)


def test_one_node_that_can_is_enough():
    assert_accepted(check_feasible, [needs()], [node(gpus=0), node("node2", gpus=1)])
    assert_accepted(check_feasible, [needs({})], [node(gpus=0)])
    assert_accepted(check_feasible, [needs({"cpu": "500m", "memory": "8G"})], [node()])


def test_busy_is_not_unable():
    assert_accepted(check_feasible, [needs()], [node(requested={GPU: Decimal(2)})])


def test_nodes_that_may_not_be_seen_say_nothing():
    assert_accepted(check_feasible, [needs()], [])


def test_the_shortage_of_each_node_is_reported_with_the_parameters_to_change():
    message = refusal(needs({"memory": "80Gi", GPU: "4"}), node(), node("node2", gpus=8, closed="cordoned"))
    assert "node1: memory: 80Gi wanted, has 64.0Gi; nvidia.com/gpu: 4 wanted, has 2" in message
    assert "node2: cordoned; memory: 80Gi wanted, has 64.0Gi" in message
    assert "Change train_memory_limit, train_gpu_count, or add such a node" in message
    assert "train_node_selector" not in message


def test_labels():
    task = needs(node_selector={"accelerator": "gpu"})
    check_feasible([task], [node(labels={"accelerator": "gpu"})])
    assert "label accelerator=gpu wanted, has accelerator=tpu" in refusal(task, node(labels={"accelerator": "tpu"}))
    assert "label accelerator=gpu wanted, has none" in refusal(task, node())


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": GPU, "operator": "Exists"},
        {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
        {"key": GPU, "operator": "Equal", "value": "present"},
        {"key": GPU, "value": "present", "effect": "NoSchedule"},
        {"operator": "Exists"},
        {"key": None, "operator": "Exists", "value": None, "effect": None},
    ],
)
def test_taints_that_are_tolerated(toleration):
    assert_accepted(check_feasible, [needs(tolerations=[toleration])], [node(taints=[TAINT])])


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": GPU},
        {"key": GPU, "value": "other"},
        {"key": GPU, "operator": "Exists", "effect": "NoExecute"},
        {"key": "other", "operator": "Exists"},
        {"value": "present"},
    ],
)
def test_taints_that_are_not(toleration):
    message = refusal(needs(tolerations=[toleration]), node(taints=[TAINT]))
    assert "taint nvidia.com/gpu=present:NoSchedule not tolerated" in message
    assert "Change train_tolerations" in message


def test_a_preference_does_not_repel():
    assert_accepted(check_feasible, [needs()], [node(taints=[{**TAINT, "effect": "PreferNoSchedule"}])])


def test_many_nodes_are_counted():
    message = refusal(needs({GPU: "9"}), *(node(f"node{number}") for number in range(10)))
    assert "node5" in message
    assert "node6" not in message
    assert "and 4 more nodes" in message


def test_gpus_in_all_and_free():
    found = node(requested={GPU: Decimal(1)}).gpus
    assert found == {GPU: (1, 2)}
    assert node(gpus=0).gpus == {}
    shared = Node("n", {"nvidia.com/mig-1g.5gb": Decimal(7), "amd.com/gpu": Decimal(1), "hugepages-1Gi": Decimal(4)})
    assert set(shared.gpus) == {"nvidia.com/mig-1g.5gb", "amd.com/gpu"}


def test_quantities():
    assert quantity("8Gi") == 8 * 2**30
    assert quantity("500m") == Decimal("0.5")
    with pytest.raises(ParameterError, match="Received: 'two'"):
        quantity("two")


def test_taints_are_written_as_kubectl_does():
    assert describe_taint(TAINT) == "nvidia.com/gpu=present:NoSchedule"
    assert describe_taint({"key": "a", "effect": "NoExecute"}) == "a:NoExecute"
