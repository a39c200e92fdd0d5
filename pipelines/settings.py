"""Settings of all tasks of all pipelines: environment, security, resources and timeouts.

Names of Secrets and ConfigMaps are those in `manifests/`.
"""

from typing import Any, TypeAlias

from kfp import dsl, kubernetes
from kfp.dsl.pipeline_channel import PipelineParameterChannel

from tilepipe.components.shared.storage import web_tokens
from tilepipe.components.shared.tracking.tracking import PREFIX, TRACKING_ADDRESS, TRACKING_CREDENTIALS
from tilepipe.components.shared.version import VERSION

CATALOG_SECRET = "tilepipe-stac"  # noqa: S105 - a Secret's name
STORAGE_SECRET = "tilepipe-s3"  # noqa: S105 - a Secret's name
STORAGE_CONFIG = "tilepipe-s3"
TRACKING_CONFIG = "tilepipe-tracking"
TRACKING_SECRET = "tilepipe-tracking"  # noqa: S105

USER_ID = 65532
"""Numeric user of the images; a cluster that assigns user ids overrides it."""

# The factor must be a whole number: 1.5 compiles, but ends the run at its first failure (KFP 2.17). The longest backoff
# limits no single wait: counted from the creation of the first pod, Argo neither starts a retry after it nor lets one
# run past it. A queue or a full cluster may hold that pod back for weeks; without a value, kfp writes an hour.
BACKOFF: dict[str, Any] = {
    "backoff_duration": "30s",
    "backoff_factor": 2,
    "backoff_max_duration": f"{365 * 24 * 3600}s",
}
"""Waits before the retries of a step, as arguments of `PipelineTask.set_retry`."""

Text: TypeAlias = str | PipelineParameterChannel


def configure(
    task: dsl.PipelineTask,
    *,
    cpu: str,
    memory: Text,
    timeout_seconds: int,
    memory_request: str = "",
    retries: int = 0,
) -> None:
    """Set the resources, limits and security settings of a task.

    Args:
        task: the task.
        cpu: CPU limit; an eighth of it is requested, so that the pod also fits on a small node.
        memory: memory limit.
        timeout_seconds: timeout from the start of the pod.
        memory_request: memory that a node must have free, at least 1.4 times the peak with 2,000 tiles. A pod that
            exceeds it may be evicted if its node runs short. Defaults to "": the limit.
        retries: number of retries, for steps that depend on a service that may be unavailable.
    """
    task.set_cpu_request(f"{int(float(cpu) * 125)}m").set_cpu_limit(cpu)
    task.set_memory_request(memory_request or memory).set_memory_limit(memory)
    if retries:
        task.set_retry(num_retries=retries, **BACKOFF)
    kubernetes.set_timeout(task, timeout_seconds)
    kubernetes.set_security_context(task, run_as_user=USER_ID, run_as_non_root=True)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "tilepipe")
    kubernetes.add_pod_label(task, "app.kubernetes.io/version", VERSION)
    kubernetes.use_field_path_as_env(task, "KFP_RUN_ID", "metadata.labels['pipeline/runid']")
    kubernetes.use_field_path_as_env(task, "KFP_WORKFLOW_NAME", "metadata.labels['workflows.argoproj.io/workflow']")


def configure_packing(task: dsl.PipelineTask, storage_secret_name: Text, data_secret_name: Text) -> None:
    """Set resources and access of a task that packs tiles."""
    configure(task, cpu="4", memory="2Gi", memory_request="512Mi", timeout_seconds=12 * 3600, retries=1)
    use_storage(task, storage_secret_name)
    use_web(task, data_secret_name)


def configure_training(
    task: dsl.PipelineTask,
    *,
    gpu_count: Text,
    gpu_resource: Text,
    image: Text,
    memory: Text,
    node_selector: dict[str, str],
    storage_secret_name: Text,
    timeout_seconds: int,
    tolerations: list[dict[str, Any]],
    tracking_secret_name: Text,
) -> None:
    """Set image, resources, placement and access of a task that trains."""
    configure(task, cpu="8", memory=memory, timeout_seconds=timeout_seconds, retries=2)
    use_tracking(task, tracking_secret_name)
    use_storage(task, storage_secret_name)
    task.set_container_image(image)
    task.set_accelerator_type(gpu_resource).set_accelerator_limit(gpu_count)
    kubernetes.add_node_selector_json(task, node_selector)
    kubernetes.add_toleration_json(task, tolerations)
    kubernetes.empty_dir_mount(task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit="2Gi")  # noqa: S108


def use_storage(task: dsl.PipelineTask, secret: Text) -> None:
    """Give a task access to the tiles' bucket: credentials from a Secret, the endpoint from a ConfigMap."""
    keys = {name: name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    kubernetes.use_secret_as_env(task, secret, keys, optional=True)
    places = {name: name for name in ("AWS_ENDPOINT_URL", "AWS_REGION")}
    kubernetes.use_config_map_as_env(task, STORAGE_CONFIG, places, optional=True)


def use_catalog(task: dsl.PipelineTask, secret: Text) -> None:
    """Give a task credentials from a Secret: for a STAC API a token or a user and password, and tokens for hosts."""
    names = ("TILEPIPE_STAC_TOKEN", "TILEPIPE_STAC_USERNAME", "TILEPIPE_STAC_PASSWORD", web_tokens.TOKENS)
    kubernetes.use_secret_as_env(task, secret, {name: name for name in names}, optional=True)


def use_web(task: dsl.PipelineTask, secret: Text) -> None:
    """Give a task the tokens for hosts on the web from the same Secret."""
    kubernetes.use_secret_as_env(task, secret, {web_tokens.TOKENS: web_tokens.TOKENS}, optional=True)


def use_tracking(task: dsl.PipelineTask, secret: Text) -> None:
    """Give a task access to MLflow: address and workspace from a ConfigMap, a password or token from a Secret.

    The variables have names of tilepipe's own, which `tracking.take_settings` reads: if KFP's native MLflow support
    sets `MLFLOW_TRACKING_URI`, a second one from a ConfigMap makes the pod invalid (KFP 2.17).
    """
    address, credentials = ({name: PREFIX + name for name in n} for n in (TRACKING_ADDRESS, TRACKING_CREDENTIALS))
    kubernetes.use_config_map_as_env(task, TRACKING_CONFIG, address, optional=True)
    kubernetes.use_secret_as_env(task, secret, credentials, optional=True)
