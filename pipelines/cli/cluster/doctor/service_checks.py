"""Checks of the object stores and of MLflow, from this machine or from a pod."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tilepipe.components.shared.tracking.tracking import TRACKING_CREDENTIALS
from tilepipe.pipelines.cli.cluster.access import Cluster
from tilepipe.pipelines.cli.cluster.doctor import services_probe
from tilepipe.pipelines.cli.cluster.doctor.finding import Finding, ok, skipped, warning
from tilepipe.pipelines.cli.cluster.doctor.pod_checks import Identity, Job, run
from tilepipe.pipelines.cli.cluster.pending import PULL_FAILURES

# KFP's defaults, for a namespace without its own configuration.
_KFP_ROOT = "minio://mlpipeline/v2/artifacts"
_KFP_SECRET = ("mlpipeline-minio-artifact", "accesskey", "secretkey")
_KFP_STORE = "http://minio-service.{namespace}:9000"
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class Service:
    """An object store with buckets to test, or a tracking server.

    Args:
        subject: name in the output.
        url: its address; empty for AWS.
        environment: variable -> its value, or the Secret and key that contain it.
        buckets: names of the buckets to test.
    """

    subject: str
    url: str
    environment: Mapping[str, str | tuple[str, str]] = field(default_factory=dict)
    buckets: Sequence[str] = ()


def tile_store(secret: str, config: Mapping[str, str], buckets: Sequence[str], url: str = "") -> Service:
    """Describe the object store that the steps read tiles from.

    Args:
        secret: the Secret with the access keys of the steps.
        config: data of the ConfigMap with its endpoint.
        buckets: names of the buckets to test.
        url: its address from this machine, if it differs from that inside the cluster.
    """
    place, region = url or config.get("AWS_ENDPOINT_URL", ""), config.get("AWS_REGION", "")
    return _store("tiles", place, region, (secret, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), buckets)


def artifact_store(launcher: Mapping[str, str], namespace: str, url: str = "") -> Service | None:
    """Describe the object store of KFP's artifacts, from the ConfigMap `kfp-launcher`.

    Args:
        launcher: data of that ConfigMap; empty if there is none.
        namespace: namespace of the runs.
        url: its address from this machine, if it differs from that inside the cluster.

    Returns:
        The store; None if it is not S3, or if its credentials are not in a Secret.
    """
    root = urlsplit(launcher.get("defaultPipelineRoot") or _KFP_ROOT)
    if root.scheme not in {"s3", "minio"}:
        return None
    provider = ((yaml.safe_load(launcher.get("providers", "")) or {}).get(root.scheme) or {}).get("default") or {}
    reference = (provider.get("credentials") or {}).get("secretRef") or {}
    if not reference and (provider or root.scheme == "s3"):
        return None
    keys = (reference["secretName"], reference["accessKeyKey"], reference["secretKeyKey"]) if reference else _KFP_SECRET
    place = str(provider.get("endpoint") or ("" if provider else _KFP_STORE.format(namespace=namespace)))
    if place and "://" not in place:
        place = f"{'http' if provider.get('disableSSL') else 'https'}://{place}"
    return _store("artifacts", url or place, str(provider.get("region") or ""), keys, [root.netloc])


def _store(subject: str, url: str, region: str, keys: tuple[str, str, str], buckets: Sequence[str]) -> Service:
    """Describe an object store by the name of a Secret and its keys of the access key and the secret key."""
    secret, access, hidden = keys
    environment: dict[str, str | tuple[str, str]] = {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": (secret, access),
        "AWS_SECRET_ACCESS_KEY": (secret, hidden),
    }
    return Service(subject, url, environment, buckets)


def tracking(uri: str, secret: str) -> Service:
    """Describe the tracking server, with the Secret that contains its credentials."""
    credentials = {name: (secret, name) for name in TRACKING_CREDENTIALS}
    return Service("MLflow", uri, {"MLFLOW_TRACKING_URI": uri, **credentials})


def check(
    cluster: Cluster,
    services: Sequence[Service],
    image: str,
    identity: Identity,
    seconds: int,
    no_pods: Finding | None = None,
) -> Iterator[Finding]:
    """Check services from this machine if it can resolve their names, else from a pod.

    Args:
        cluster: the access to Kubernetes.
        services: the services to check.
        image: image of the pod, which has an S3 client.
        identity: identity of the pod.
        seconds: timeout for the pods.
        no_pods: why no pod may be started, and the remedy; None if pods may be started.
    """
    inside = []
    for service in services:
        if resolves(service.url):
            yield from _ask_here(cluster, service)
        elif no_pods is None:
            inside.append(service)
        else:
            name = "--mlflow-uri" if service.subject == "MLflow" else "--s3-endpoint"
            advice = f"{no_pods.advice} Or give the address of a port-forward ({name})."
            yield skipped(service.subject, f"{service.url}, an address inside the cluster: {no_pods.detail}", advice)
    command = ["python", "-c", Path(services_probe.__file__).read_text(encoding="utf-8")]
    jobs = [Job(image, [*command, *service.buckets], service.environment) for service in inside]
    for service, result in zip(inside, run(cluster, jobs, identity, seconds) if jobs else [], strict=True):
        found = list(_read(result.log))
        yield from found
        if not found:
            pulled = "its image was not pulled" if result.reason in PULL_FAILURES else ""
            said = pulled or result.message or (result.log.strip().splitlines() or [result.reason])[-1]
            detail = f"{service.url}: the pod for this check failed: {said or result.state}"
            yield warning(service.subject, detail, "See the finding about the image, or raise --seconds.")


def resolves(url: str) -> bool:
    """Return whether this machine can resolve the host of an address; always true for AWS (no address)."""
    if not url:
        return True
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return True


def _ask_here(cluster: Cluster, service: Service) -> Iterator[Finding]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    for name, value in service.environment.items():
        text = value if isinstance(value, str) else _value(cluster, *value)
        if text:
            environment[name] = text
    # In a separate process, so that credentials stay out of the environment of this one.
    command = [sys.executable, services_probe.__file__, *service.buckets]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS)
    found = list(_read(done.stdout))
    yield from found
    if not found and done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield warning(service.subject, f"{service.url} could not be checked: {last}", "See the message.")
    elif not found:
        yield ok(service.subject, "nothing to check")


def _value(cluster: Cluster, secret: str, key: str) -> str:
    found = cluster.ask(cluster.core.read_namespaced_secret, secret, cluster.namespace)
    encoded = ((found.data if found else None) or {}).get(key, "")
    return base64.b64decode(encoded).decode("utf-8", "replace")


def _read(text: str) -> Iterator[Finding]:
    for line in text.splitlines():
        try:
            said: dict[str, Any] = json.loads(line)
            yield Finding(**said)
        except (ValueError, TypeError):  # a warning of a library
            continue
