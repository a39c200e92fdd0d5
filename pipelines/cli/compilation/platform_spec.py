"""Application of a platform's settings to a compiled pipeline: its containers, and KFP's settings of their pods."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.compilation.compiled_pipeline import TYPES, load, names, step_name
from tilepipe.pipelines.cli.compilation.platform_settings import Keys, PlatformSettings, StepPods, WorkSpace, suggest

_Message = Any  # classes of protocol buffers are made at run time

_ACCESS_KEY, _SESSION_TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"
_CERTIFICATES = "/etc/tilepipe/network"
CERTIFICATE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GDAL_CURL_CA_BUNDLE",
)
"""Variables with which all clients in the steps trust a bundle."""
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108
_WORK_VOLUME = "tilepipe-work"
_WORK_FOLDER = "/work"
_ARTIFACT_FOLDERS = {"s3": "/s3", "minio": "/minio", "gs": "/gcs"}
"""Scheme of the pipeline root -> folder in which KFP's launcher keeps artifacts (`LocalPathForURI`, KFP 2.16)."""


def apply(documents: Sequence[Mapping[str, Any]], settings: PlatformSettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Apply the settings to a compiled pipeline.

    Args:
        documents: the pipeline spec and the platform spec, if there is one; both stay as they are.
        settings: the settings of the platform.

    Returns:
        The changed pipeline spec and platform spec.

    Raises:
        ParameterError: the settings contradict the pipeline.
    """
    from google.protobuf import json_format
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

    spec, *platforms = (copy.deepcopy(dict(document)) for document in documents)
    platform = platforms[0] if platforms else {}
    executors = (
        platform.setdefault("platforms", {})
        .setdefault("kubernetes", {})
        .setdefault("deploymentSpec", {})
        .setdefault("executors", {})
    )
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor.get("container")
        if container is None:
            continue
        step = step_name(label, container.get("command", ()))
        pod = json_format.ParseDict(executors.get(label, {}), KubernetesExecutorConfig())
        _set_resources(container, step, settings.steps.get(step, StepPods()))
        _set_pod(pod, step, settings)
        _set_access(pod, settings)
        _set_variables(pod, container, step, settings)
        executors[label] = json_format.MessageToDict(pod)
    _set_retries(spec, settings)
    _set_defaults(spec, settings)
    return spec, platform


def check_parameters(settings: PlatformSettings) -> None:
    """Check that each parameter for which the settings have a default exists in a pipeline.

    Raises:
        ParameterError: a name is unknown.
    """
    if not settings.parameters:
        return
    known = sorted({name for pipeline in names() for name in load(pipeline).parameters})
    problems = [
        f"A default under `parameters` must be that of a pipeline's parameter. Received: {name}. {suggest(name, known)}"
        for name in settings.parameters
        if name not in known
    ]
    if problems:
        raise ParameterError("\n".join(problems))


def _set_defaults(spec: Mapping[str, Any], settings: PlatformSettings) -> None:
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in settings.parameters.items():
        if name not in parameters:
            continue
        kind = parameters[name]["parameterType"]
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise ParameterError(
                f"The default of {name} under `parameters` must be of type {kind}. Received: {value!r}. Correct it."
            )
        parameters[name] |= {"defaultValue": value, "isOptional": True}
    if settings.storage.credentials == "workload_identity" and "storage_secret_name" in parameters:
        parameters["storage_secret_name"]["description"] = (
            "Not used: the service account of the run gives access to buckets on this platform."
        )


def _set_resources(container: dict[str, Any], step: str, wanted: StepPods) -> None:
    resources = container.setdefault("resources", {})
    for kind, request, limit in (
        ("Cpu", wanted.cpu_request, wanted.cpu_limit),
        ("Memory", wanted.memory_request, wanted.memory_limit),
    ):
        if not request and not limit:
            continue
        lower = kind.lower()
        request_key, limit_key = f"resource{kind}Request", f"resource{kind}Limit"
        if "{{" in resources.get(limit_key, ""):
            raise ParameterError(
                f"The memory of {step} is the parameter train_memory_limit of a run. Received: {request or limit} for "
                f"the step {step}. Write:\n  parameters: {{train_memory_limit: {limit or request}}}"
            )
        if limit:
            resources[limit_key] = limit
        if request or (limit and kind == "Memory"):
            resources[request_key] = request or limit
        # The same as numbers, for versions of KFP that tilepipe does not support.
        for old in (f"{lower}Request", f"{lower}Limit"):
            resources.pop(old, None)
        stated, most = resources.get(request_key, "0"), resources.get(limit_key)
        if most and _amount(stated) > _amount(most):
            raise ParameterError(
                f"A request must not exceed the limit. Received: {lower} of {step}, request {stated}, limit {most}. "
                f"Write:\n  steps: {{{step}: {{{lower}_request: {stated}, {lower}_limit: {stated}}}}}"
            )


def _set_retries(spec: Mapping[str, Any], settings: PlatformSettings) -> None:
    from google.protobuf import json_format
    from kfp.dsl.structures import RetryPolicy

    from tilepipe.pipelines.settings import BACKOFF

    wanted = {step: pods.retries for step, pods in settings.steps.items() if pods.retries is not None}
    executors = spec["deploymentSpec"]["executors"]
    for group in (spec["root"], *spec["components"].values()):
        for task in group.get("dag", {}).get("tasks", {}).values():
            label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
            container = executors.get(label, {}).get("container")
            step = step_name(label, container.get("command", ())) if container else ""
            if step not in wanted:
                continue
            policy = RetryPolicy(max_retry_count=wanted[step], **BACKOFF)
            task["retryPolicy"] = json_format.MessageToDict(policy.to_proto())


def _amount(quantity: str) -> Any:  # noqa: ANN401 - a Decimal of an untyped library
    from kubernetes.utils import parse_quantity

    return parse_quantity(quantity)


def _set_pod(pod: _Message, step: str, settings: PlatformSettings) -> None:
    """Set labels, placement, user, images and volumes of a pod."""
    pods, own = settings.pods, settings.steps.get(step, StepPods())
    pod.pod_metadata.labels.update({**pods.labels, **own.labels})
    pod.pod_metadata.annotations.update({**pods.annotations, **own.annotations})
    _set_nodes(pod, pods.node_selector if own.node_selector is None else own.node_selector)
    for toleration in (*pods.tolerations, *own.tolerations):
        stated = toleration.model_dump(exclude_defaults=True) | {"operator": toleration.operator}
        pod.tolerations.add(**stated)
    if own.timeout_seconds:
        pod.active_deadline_seconds = own.timeout_seconds
    if pods.run_as_user == "cluster":
        pod.security_context.ClearField("run_as_user")
    elif pods.run_as_user:
        pod.security_context.run_as_user = pods.run_as_user
    for secret in settings.images.pull_secrets:
        # Both fields, as kfp writes them for older versions of KFP.
        entry = pod.image_pull_secret.add(secret_name=secret)
        entry.secret_name_parameter.runtime_value.constant.string_value = secret
    if "pull_policy" in settings.images.model_fields_set:
        pod.image_pull_policy = settings.images.pull_policy
    for mount in pod.empty_dir_mounts:
        if mount.mount_path == _SHARED_MEMORY and settings.shared_memory:
            mount.size_limit = settings.shared_memory
    if settings.work_space and step in (settings.work_space.steps or (step,)):
        _set_work_space(pod, settings.work_space)


def _set_nodes(pod: _Message, selector: Mapping[str, str] | None) -> None:
    """Require labels of the node.

    KFP takes either labels or a parameter as the selector. Beside a parameter, the labels become a required affinity,
    so that both apply.
    """
    if not selector:
        return
    if not pod.node_selector.HasField("node_selector_json"):
        pod.node_selector.labels.update(selector)
        return
    term = pod.node_affinity.add()
    for key, value in selector.items():
        term.match_expressions.add(key=key, operator="In", values=[value])


def _set_work_space(pod: _Message, work: WorkSpace) -> None:
    if work.claim:
        mount = pod.pvc_mount.add(constant=work.claim, mount_path=_WORK_FOLDER)
        mount.pvc_name_parameter.runtime_value.constant.string_value = work.claim
        return
    # In the place of the folder on the node's disk: Kubernetes merges the mounts of KFP and of this pod by their path.
    pod.generic_ephemeral_volume.add(
        volume_name=_WORK_VOLUME,
        mount_path=_ARTIFACT_FOLDERS[work.artifacts],
        access_modes=[work.access_mode],
        size=work.size,
        default_storage_class=not work.storage_class,
        storage_class_name=work.storage_class,
    )


def _set_access(pod: _Message, settings: PlatformSettings) -> None:
    """Set which credentials for the tiles' bucket a pod gets from a Secret."""
    for number, secret in reversed(list(enumerate(pod.secret_as_env))):
        if _ACCESS_KEY not in {pair.env_var for pair in secret.key_to_env}:
            continue
        if settings.storage.credentials == "workload_identity":
            del pod.secret_as_env[number]
        elif settings.storage.session_token:
            secret.key_to_env.add(secret_key=_SESSION_TOKEN, env_var=_SESSION_TOKEN)


def _set_variables(pod: _Message, container: dict[str, Any], step: str, settings: PlatformSettings) -> None:
    """Set the variables of a pod; a variable that is set twice would make the pod invalid."""
    taken = dict.fromkeys(_variables(pod, container), "tilepipe")
    for source, variables in _further_variables(settings):
        for variable in variables:
            if variable in taken:
                raise ParameterError(
                    f"A variable must have one source. Received: {variable} in {source}, which {taken[variable]} sets "
                    f"for {step}. Remove it, or choose another name."
                )
            taken[variable] = source
    values = dict(settings.environment.values)
    for keys in settings.environment.secrets:
        entry = pod.secret_as_env.add(secret_name=keys.name, optional=keys.optional)
        entry.secret_name_parameter.runtime_value.constant.string_value = keys.name
        for key, variable in keys.keys.items():
            entry.key_to_env.add(secret_key=key, env_var=variable)
    for keys in settings.environment.config_maps:
        _use_config_map(pod, keys)
    if settings.network and settings.network.proxy:
        for variables in (_PROXY_VARIABLES, tuple(name.lower() for name in _PROXY_VARIABLES)):
            pairs = dict(zip(_PROXY_VARIABLES, variables, strict=True))
            _use_config_map(pod, Keys(name=settings.network.config_map, keys=pairs, optional=True))
    if settings.network and settings.network.ca_bundle:
        volume = pod.config_map_as_volume.add(
            config_map_name=settings.network.config_map, mount_path=_CERTIFICATES, optional=False
        )
        volume.config_map_name_parameter.runtime_value.constant.string_value = settings.network.config_map
        values |= dict.fromkeys(CERTIFICATE_VARIABLES, f"{_CERTIFICATES}/{settings.network.ca_bundle}")
    if (work := settings.work_space) and step in (work.steps or (step,)):
        values["TMPDIR"] = _WORK_FOLDER if work.claim else _ARTIFACT_FOLDERS[work.artifacts]
    if values:
        container.setdefault("env", []).extend({"name": name, "value": text} for name, text in sorted(values.items()))


def _variables(pod: _Message, container: Mapping[str, Any]) -> Iterator[str]:
    for source in (*pod.secret_as_env, *pod.config_map_as_env):
        yield from (pair.env_var for pair in source.key_to_env)
    yield from (field.name for field in pod.field_path_as_env)
    yield from (entry["name"] for entry in container.get("env", ()))


def _further_variables(settings: PlatformSettings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each part of the settings that sets variables, and these."""
    environment, network = settings.environment, settings.network
    yield "environment.values", tuple(environment.values)
    yield from ((f"environment.secrets, {keys.name}", tuple(keys.keys.values())) for keys in environment.secrets)
    yield from (
        (f"environment.config_maps, {keys.name}", tuple(keys.keys.values())) for keys in environment.config_maps
    )
    if network and network.proxy:
        yield "network", (*_PROXY_VARIABLES, *(name.lower() for name in _PROXY_VARIABLES))
    if network and network.ca_bundle:
        yield "network", CERTIFICATE_VARIABLES
    if settings.work_space:
        yield "work_space", ("TMPDIR",)


def _use_config_map(pod: _Message, keys: Keys) -> None:
    entry = pod.config_map_as_env.add(config_map_name=keys.name, optional=keys.optional)
    entry.config_map_name_parameter.runtime_value.constant.string_value = keys.name
    for key, variable in keys.keys.items():
        entry.key_to_env.add(config_map_key=key, env_var=variable)
