"""Check that the kubeconfig and the pipelines API belong to one cluster, before anything is started in it."""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from tilepipe.components.shared.errors import ClusterError
from tilepipe.pipelines.cli.cluster.access import Cluster
from tilepipe.pipelines.cli.cluster.doctor.finding import Finding, ok, problem, warning
from tilepipe.pipelines.cli.cluster.endpoint import Kubeflow

SUBJECT = "same cluster"

_RUNS = 5


def compare(kubeflow: Kubeflow, cluster: Cluster) -> Finding:
    """Compare the cluster of the kubeconfig with that of the pipelines API.

    Two addresses of one cluster usually differ, and those of two clusters may be equal behind port-forwards. The best
    evidence is therefore a run: its Workflow is in the cluster, and the pipelines API knows its id.

    Returns:
        `ok` if they are evidently the same, `problem` if they evidently differ, else `warning`.
    """
    both = f"{cluster.described} and the pipelines API at {kubeflow.url}"
    run_ids = cluster.run_ids(_RUNS)
    known = _known(kubeflow, run_ids)
    if known:
        return ok(SUBJECT, f"{both} both have the run {known}")
    if known is not None and run_ids:
        return problem(
            SUBJECT,
            f"{both} differ: the API knows none of {len(run_ids)} runs in namespace {cluster.namespace}",
            "Select the context of the cluster that runs this API (--context), or the API's address (--endpoint).",
        )
    host = urlsplit(kubeflow.url).hostname or ""
    if _is_public(host) and host == urlsplit(cluster.server).hostname:
        return ok(SUBJECT, f"{both} have the same host")
    if not cluster.context and _is_inside(host, cluster.namespace):
        return ok(SUBJECT, f"{kubeflow.url} is an address inside this cluster")
    return warning(
        SUBJECT,
        f"{both} are not evidently the same cluster: their hosts differ or are local, and no run is in both",
        "Compare the two addresses.",
    )


def _known(kubeflow: Kubeflow, run_ids: Sequence[str]) -> str | None:
    """Return the first run that the pipelines API knows; empty if it knows none, None if it does not say."""
    for run_id in run_ids:
        try:
            kubeflow.call(kubeflow.client.runs.run_service_get_run, run_id)
        except ClusterError as error:
            if "HTTP 404" not in str(error):
                return None
        else:
            return run_id
    return ""


def _is_public(host: str) -> bool:
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host not in {"", "localhost"}


def _is_inside(host: str, namespace: str) -> bool:
    return "." not in host or host.endswith((".svc", ".svc.cluster.local", f".{namespace}"))
