"""Check of which nodes can run a task, and what the others lack."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.cluster.access import Cluster
from tilepipe.pipelines.cli.cluster.requirements import TaskNeeds

_GPU_RESOURCE = re.compile(r"(^|[./-])(gpu|mig|neuron|xpu|npu|dcu|mlu)", re.IGNORECASE)
_REPELLING = {"NoSchedule", "NoExecute"}
_LISTED_NODES = 6

Setting = Literal["cpu", "memory", "gpu", "node_selector", "tolerations", "node"]
"""The setting of a task that prevents it from running on a node; `node` if it is the state of the node."""


@dataclass(frozen=True)
class Node:
    """Scheduling properties of a node.

    Args:
        name: name of the node.
        allocatable: resource name -> total that pods may request.
        requested: resource name -> total that its pods have requested.
        labels: its labels.
        taints: its taints, each as `{key, value, effect}`.
        closed: why it accepts no pods: `cordoned`, `not ready`, or empty.
    """

    name: str
    allocatable: Mapping[str, Decimal]
    requested: Mapping[str, Decimal] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, Any]] = ()
    closed: str = ""

    @property
    def gpus(self) -> dict[str, tuple[int, int]]:
        """GPU resource -> (free, total)."""
        names = sorted(name for name, count in self.allocatable.items() if _GPU_RESOURCE.search(name) and count > 0)
        return {
            name: (int(self.allocatable[name] - self.requested.get(name, Decimal(0))), int(self.allocatable[name]))
            for name in names
        }

    def lacks(self, needs: TaskNeeds) -> list[tuple[Setting, str]]:
        """List why a task can never run on this node: the setting that would have to change, and a description."""
        reasons: list[tuple[Setting, str]] = [("node", self.closed)] if self.closed else []
        for label, value in needs.node_selector.items():
            if self.labels.get(label) != value:
                has = f"{label}={self.labels[label]}" if label in self.labels else "none"
                reasons.append(("node_selector", f"label {label}={value} wanted, has {has}"))
        repelling = (taint for taint in self.taints if taint.get("effect") in _REPELLING)
        repelled = [taint for taint in repelling if not any(_tolerates(one, taint) for one in needs.tolerations)]
        reasons += [("tolerations", f"taint {describe_taint(taint)} not tolerated") for taint in repelled]
        for resource, wanted in needs.requests.items():
            has_quantity = self.allocatable.get(resource, Decimal(0))
            if quantity(wanted) > has_quantity:
                setting: Setting = "cpu" if resource == "cpu" else "memory" if resource == "memory" else "gpu"
                reasons.append((setting, f"{resource}: {wanted} wanted, has {_short(resource, has_quantity)}"))
        return reasons


def check_feasible(tasks: Sequence[TaskNeeds], nodes: Sequence[Node]) -> None:
    """Check that each task can run on some node of the cluster.

    Raises:
        ParameterError: no node can ever run one of the tasks; the message lists what each node lacks.
    """
    problems = [_infeasible(needs, nodes) for needs in tasks]
    if any(problems):
        raise ParameterError("\n".join(filter(None, problems)))


def quantity(text: str) -> Decimal:
    """Convert a Kubernetes quantity such as `8Gi` or `500m` to a number.

    Raises:
        ParameterError: the text is not a quantity.
    """
    from kubernetes.utils import parse_quantity

    try:
        return Decimal(parse_quantity(text))
    except (ValueError, InvalidOperation) as error:
        raise ParameterError(
            f"A resource must be a Kubernetes quantity such as 8Gi, 500m or 1. Received: {text!r}. Correct it."
        ) from error


def describe_taint(taint: Mapping[str, Any]) -> str:
    """Format a taint as kubectl does: `key=value:effect`."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint.get('effect', '')}"


def read_nodes(cluster: Cluster) -> list[Node]:
    """Read the nodes of a cluster and their free resources; empty if this user may not see them."""
    nodes = cluster.items(cluster.core.list_node)
    if not nodes:
        return []
    requested: dict[str, dict[str, Decimal]] = {}
    for pod in cluster.items(cluster.core.list_pod_for_all_namespaces, field_selector="status.phase!=Succeeded"):
        if pod.spec.node_name and pod.status.phase != "Failed":
            _add(requested.setdefault(pod.spec.node_name, {}), pod)
    return [_node(node, requested.get(node.metadata.name, {})) for node in nodes]


def with_admission(cluster: Cluster, tasks: Sequence[TaskNeeds]) -> list[TaskNeeds]:
    """Add the tolerations that the API server itself adds to pods that request a GPU.

    Some clusters, such as GKE, do so with the admission plugin ExtendedResourceToleration. A dry run of a pod reveals
    them; it creates no pod.
    """
    from kubernetes import client

    added: dict[str, list[dict[str, Any]]] = {}
    for name in {name for needs in tasks for name in needs.requests if _GPU_RESOURCE.search(name)}:
        resources = client.V1ResourceRequirements(limits={name: "1"}, requests={name: "1"})
        pod = client.V1Pod(
            metadata=client.V1ObjectMeta(generate_name="tilepipe-dry-run-"),
            spec=client.V1PodSpec(containers=[client.V1Container(name="main", image="none", resources=resources)]),
        )
        answer = cluster.ask(cluster.core.create_namespaced_pod, cluster.namespace, pod, dry_run="All")
        found = (answer.spec.tolerations or []) if answer else [client.V1Toleration(key=name, operator="Exists")]
        added[name] = [{"key": t.key, "operator": t.operator, "value": t.value, "effect": t.effect} for t in found]
    return [
        replace(needs, tolerations=[*needs.tolerations, *(t for name in needs.requests for t in added.get(name, []))])
        for needs in tasks
    ]


def _node(node: Any, requested: Mapping[str, Decimal]) -> Node:  # noqa: ANN401 - kubernetes ships no types
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or [])
    taints = [{"key": t.key, "value": t.value, "effect": t.effect} for t in node.spec.taints or []]
    return Node(
        name=node.metadata.name,
        allocatable={name: quantity(text) for name, text in (node.status.allocatable or {}).items()},
        requested=requested,
        labels=node.metadata.labels or {},
        # Taints of Kubernetes' own repeat what `closed` says.
        taints=[taint for taint in taints if not str(taint["key"]).startswith("node.kubernetes.io/")],
        closed="not ready" if not ready else "cordoned" if node.spec.unschedulable else "",
    )


def _add(total: dict[str, Decimal], pod: Any) -> None:  # noqa: ANN401
    for container in pod.spec.containers:
        for name, text in ((container.resources and container.resources.requests) or {}).items():
            total[name] = total.get(name, Decimal(0)) + quantity(text)


def _infeasible(needs: TaskNeeds, nodes: Sequence[Node]) -> str:
    lacking = {node.name: node.lacks(needs) for node in nodes}
    if not nodes or any(not reasons for reasons in lacking.values()):
        return ""
    lines = [
        f"  {name}: {'; '.join(text for _, text in reasons)}" for name, reasons in list(lacking.items())[:_LISTED_NODES]
    ]
    if len(lacking) > _LISTED_NODES:
        lines.append(f"  ... and {len(lacking) - _LISTED_NODES} more nodes")
    asked = ", ".join(f"{name}={wanted}" for name, wanted in needs.requests.items())
    blamed = dict.fromkeys(setting for reasons in lacking.values() for setting, _ in reasons)
    settings = [needs.parameters[key] for key in blamed if key in needs.parameters]
    change = f"Change {', '.join(settings)}, or add such a node" if settings else "Add such a node"
    return (
        f"At least one node must be able to run `{needs.task}`, and none is. Received: {asked}.\n"
        + "\n".join(lines)
        + f"\n{change}; --no-checks submits anyway, for a cluster with autoscaling."
    )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Match as Kubernetes' `ToleratesTaint`: an empty key with Exists matches any key, an empty effect any effect."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _short(resource: str, amount: Decimal) -> str:
    if resource in {"memory", "ephemeral-storage"}:
        return f"{amount / 2**30:.1f}Gi"
    return f"{amount.normalize():f}"
