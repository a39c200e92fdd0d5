"""Manifest of a KServe `InferenceService` for a registered version.

https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/mlflow: the model format `mlflow`
with the Open Inference Protocol (`v2`), which MLServer speaks.
"""

import re
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.shared.version import VERSION

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tilepipe.components.shared.registry.registered_version import RegisteredVersion

ARTIFACTS_URI = "s3://tilepipe-mlflow"
"""Where MLflow keeps the artifacts that it proxies (`MLFLOW_ARTIFACTS_DESTINATION` in manifests/base/mlflow)."""
SERVICE_ACCOUNT = "tilepipe-serving"
"""Service account of manifests/options/serving, which may read that bucket."""

_PROXIED = "mlflow-artifacts:"
_READABLE = ("s3://", "gs://", "https://", "http://", "pvc://", "hdfs://", "webhdfs://")
"""Addresses that KServe's storage initializer reads."""
_LONGEST_NAME = 50


def storage_uri(client: "MlflowClient", version: "RegisteredVersion", artifacts_uri: str) -> str:
    """Find the address of the MLflow model of a version, as KServe can read it.

    Args:
        client: client of the registry.
        version: the version.
        artifacts_uri: where the server keeps the artifacts that it proxies.

    Raises:
        ParameterError: KServe cannot read the address, such as a folder of this machine.
        TrackingError: the registry cannot be reached or denies access.
    """
    with tracking.reported(f"find the files of {version.address}"):
        uri = str(client.get_model_version_download_uri(version.name, str(version.version)))
    if uri.startswith(_PROXIED):
        path = re.sub(r"^mlflow-artifacts:(//[^/]*)?/*", "", uri)
        uri = f"{artifacts_uri.rstrip('/')}/{path}"
    if not uri.startswith(_READABLE):
        raise ParameterError(
            f"KServe reads models from {', '.join(_READABLE)}. Received: {version.address} at {uri}. Register it with "
            "an MLflow server that keeps its artifacts in a bucket, or give --storage-uri."
        )
    return uri


def inference_service(
    version: "RegisteredVersion",
    uri: str,
    *,
    name: str = "",
    namespace: str = "",
    service_account: str = SERVICE_ACCOUNT,
) -> dict[str, Any]:
    """Build the manifest.

    Args:
        version: the version to serve.
        uri: address of its MLflow model.
        name: name of the service. Defaults to that of the model, as far as Kubernetes permits.
        namespace: namespace of the service. Defaults to none.
        service_account: service account of its pods, which may read the model; empty for the namespace's default.

    Raises:
        ParameterError: Kubernetes does not permit the name.
    """
    metadata = {
        "name": _check_name(name) if name else kubernetes_name(version.name),
        **({"namespace": namespace} if namespace else {}),
        "labels": {"app.kubernetes.io/part-of": "tilepipe", "app.kubernetes.io/version": VERSION},
        "annotations": {
            "tilepipe/model": version.name,
            "tilepipe/version": str(version.version),
            "tilepipe/bundle-sha256": version.tags[BUNDLE_SHA256],
        },
    }
    predictor = {
        **({"serviceAccountName": service_account} if service_account else {}),
        "model": {
            "modelFormat": {"name": "mlflow"},
            "protocolVersion": "v2",
            "storageUri": uri,
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
        },
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": predictor},
    }


def kubernetes_name(model: str) -> str:
    """Derive the name of a service from that of a model: lower-case letters, digits and hyphens."""
    kept = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    return kept if kept[:1].isalpha() else f"model-{kept}".rstrip("-")


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > _LONGEST_NAME:
        raise ParameterError(
            f"The name of a service is a lower-case letter, then letters, digits and hyphens, at most {_LONGEST_NAME}. "
            f"Received: --service-name {name}. Shorten or correct it."
        )
    return name
