"""Read the Workflow of a step and its pods from Kubernetes."""

import base64
import contextlib
import gzip
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilepipe.components.shared.logs.pod_logs import last_words

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def workflow_name() -> str:
    """Return the name of the Argo Workflow that this pod belongs to; empty outside of a cluster."""
    return os.environ.get("KFP_WORKFLOW_NAME", "")


def namespace() -> str:
    """Return the namespace of this pod; empty outside of a cluster."""
    with contextlib.suppress(OSError):
        return (_SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    return ""


def read_workflow() -> dict[str, Any]:
    """Read the Workflow of this pod from the API server.

    Raises:
        kubernetes.client.ApiException: this pod's service account may not read it.
        urllib3.exceptions.HTTPError: the API server cannot be reached.
    """
    from kubernetes import client

    api = client.CustomObjectsApi(_api_client())
    found: dict[str, Any] = api.get_namespaced_custom_object(
        "argoproj.io", "v1alpha1", namespace(), "workflows", workflow_name(), _request_timeout=20
    )
    return found


def nodes_of(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes of a Workflow, which Argo compresses where it is larger than 1 MiB.

    https://github.com/argoproj/argo-workflows/blob/v4.0.5/workflow/packer/packer.go
    """
    status = workflow.get("status") or {}
    if packed := status.get("compressedNodes"):
        return list(json.loads(gzip.decompress(base64.b64decode(packed))).values())
    return list(status.get("nodes", {}).values())


def list_pods() -> list[Any]:
    """List the existing pods of this Workflow, as `kubernetes.client.V1Pod`."""
    from kubernetes import client

    api = client.CoreV1Api(_api_client())
    selector = f"workflows.argoproj.io/workflow={workflow_name()}"
    return list(api.list_namespaced_pod(namespace(), label_selector=selector, _request_timeout=20).items)


def end_of_log(pod: str) -> str:
    """Return the last log lines of the step in a pod, or the fatal error of KFP's driver; empty if it has no log."""
    from kubernetes import client

    api = client.CoreV1Api(_api_client())
    options = {"container": "main", "tail_lines": 100, "_request_timeout": 20}
    try:  # by default, the client parses a log that is JSON, and returns it as Python would write it
        answer = api.read_namespaced_pod_log(pod, namespace(), _preload_content=False, **options)
    except client.ApiException as error:
        if error.status in {400, 404}:  # 400: a container that has not started, as in an evicted pod
            return ""
        raise
    return last_words(answer.data.decode("utf-8", "replace"))


def _api_client() -> Any:  # noqa: ANN401 - kubernetes ships no types
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)
    configuration.retries = 3
    return client.ApiClient(configuration)
