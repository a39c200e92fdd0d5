"""Checks with short-lived pods: image pulls, and services that only answer inside the cluster."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tilepipe.components.shared.errors import ClusterError
from tilepipe.pipelines.cli.cluster.access import Cluster
from tilepipe.pipelines.cli.cluster.doctor.finding import Finding, ok, problem, warning
from tilepipe.pipelines.cli.cluster.pending import PULL_FAILURES, advice

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 10


@dataclass(frozen=True)
class Job:
    """A pod that runs one short command.

    Args:
        image: image of the pod.
        command: command of its container.
        environment: variable -> its value, or the Secret and key that contain it.
    """

    image: str
    command: Sequence[str]
    environment: Mapping[str, str | tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """Identity of a pod, which is that of the tasks.

    Args:
        account: its service account.
        run_as_user: its numeric user; None leaves it to the cluster.
        pull_secrets: Secrets for the registry, beside those of the service account.
    """

    account: str
    run_as_user: int | None
    pull_secrets: Sequence[str] = ()


@dataclass
class Result:
    """Outcome of a job.

    Args:
        state: `refused` if the pod was not created; `pending` if it has not started in time.
        reason: reason of Kubernetes, such as `ErrImagePull`.
        message: message of Kubernetes.
        log: output of the command.
    """

    state: Literal["done", "failed", "refused", "pending"] = "pending"
    reason: str = ""
    message: str = ""
    log: str = field(default="", repr=False)


def check_images(cluster: Cluster, images: Sequence[str], identity: Identity, seconds: int) -> Iterator[Finding]:
    """Check that nodes can pull images, with one pod per image under the restricted Pod Security profile."""
    jobs = [Job(image, ["python", "-c", "pass"]) for image in images]
    for job, result in zip(jobs, run(cluster, jobs, identity, seconds), strict=True):
        if result.state in {"done", "failed"}:
            yield ok("image", job.image)
        elif result.state == "refused":
            yield problem("image", f"{job.image}: {result.message}", advice("Forbidden", result.message))
        elif result.reason in PULL_FAILURES:
            yield problem("image", f"{job.image}: {result.message}", advice(result.reason, result.message))
        else:
            detail = f"{job.image}: not started after {seconds} s ({result.message or result.reason or 'pulling'})"
            yield warning("image", detail, "Repeat in a few minutes (the pull continues), or raise --seconds.")


def run(cluster: Cluster, jobs: Sequence[Job], identity: Identity, seconds: int) -> list[Result]:
    """Run pods in parallel, with a timeout for all together, and delete them in any case; return a result per job."""
    from kubernetes.client import ApiException

    results = [Result() for _ in jobs]
    names: dict[int, str] = {}
    try:
        for number, job in enumerate(jobs):
            try:
                made = cluster.demand(
                    cluster.core.create_namespaced_pod, cluster.namespace, _pod(job, identity, seconds)
                )
                names[number] = made.metadata.name
            except ApiException as error:
                results[number] = Result("refused", error.reason or "", _message(error))
        _watch(cluster, names, results, time.monotonic() + seconds)
    finally:
        for name in names.values():
            try:
                cluster.ask(cluster.core.delete_namespaced_pod, name, cluster.namespace, grace_period_seconds=0)
            except ClusterError:  # Kubernetes ends the pod at its deadline
                continue
    return results


def _watch(cluster: Cluster, names: dict[int, str], results: list[Result], until: float) -> None:
    open_ = dict(names)
    while open_ and time.monotonic() < until:
        for number, name in list(open_.items()):
            pod = cluster.ask(cluster.core.read_namespaced_pod, name, cluster.namespace)
            if pod is None:
                continue
            results[number] = _result(pod)
            if results[number].state != "pending":
                results[number].log = cluster.log(name)
            if results[number].state != "pending" or results[number].reason in PULL_FAILURES:
                del open_[number]
        time.sleep(_POLL_SECONDS)


def _result(pod: Any) -> Result:  # noqa: ANN401 - kubernetes ships no types
    if pod.status.phase in {"Succeeded", "Failed"}:
        return Result("done" if pod.status.phase == "Succeeded" else "failed", message=pod.status.message or "")
    for status in pod.status.container_statuses or []:
        if status.state.waiting:
            return Result(
                "pending", status.state.waiting.reason or "", " ".join((status.state.waiting.message or "").split())
            )
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return Result("pending", condition.reason or "", condition.message or "")
    return Result("pending")


def _message(error: Any) -> str:  # noqa: ANN401
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _pod(job: Job, identity: Identity, seconds: int) -> Any:  # noqa: ANN401
    """Build a pod like those of the tasks: restricted profile, same user, same labels (network policies match them)."""
    from kubernetes import client

    small = {"cpu": "50m", "memory": "128Mi"}
    container = client.V1Container(
        name="main",
        image=job.image,
        image_pull_policy="IfNotPresent",
        command=list(job.command),
        env=[_variable(name, value) for name, value in job.environment.items()],
        resources=client.V1ResourceRequirements(requests=small, limits={"cpu": "1", "memory": "256Mi"}),
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False, capabilities=client.V1Capabilities(drop=["ALL"])
        ),
    )
    return client.V1Pod(
        metadata=client.V1ObjectMeta(
            generate_name="tilepipe-doctor-",
            labels={"app.kubernetes.io/part-of": "tilepipe", "pipelines.kubeflow.org/v2_component": "true"},
            annotations={"sidecar.istio.io/inject": "false"},
        ),
        spec=client.V1PodSpec(
            containers=[container],
            restart_policy="Never",
            active_deadline_seconds=seconds + _GRACE_SECONDS,
            service_account_name=identity.account,
            image_pull_secrets=[client.V1LocalObjectReference(name=name) for name in identity.pull_secrets],
            automount_service_account_token=False,
            security_context=client.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=identity.run_as_user,
                seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
            ),
            # GPU nodes pull the GPU image, so their taints must not repel this pod.
            tolerations=[client.V1Toleration(operator="Exists")],
        ),
    )


def _variable(name: str, value: str | tuple[str, str]) -> Any:  # noqa: ANN401
    from kubernetes import client

    if isinstance(value, str):
        return client.V1EnvVar(name=name, value=value)
    secret, key = value
    source = client.V1SecretKeySelector(name=secret, key=key, optional=True)
    return client.V1EnvVar(name=name, value_from=client.V1EnvVarSource(secret_key_ref=source))
