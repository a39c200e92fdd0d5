"""Settings of a Kubernetes platform, with which the pipelines are compiled.

What a pipeline of KFP 2.16 cannot state is refused with the reason.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tilepipe.components.shared.errors import suggestion

STEPS = (
    "collect",
    "evaluate",
    "export",
    "finish",
    "gate",
    "ingest",
    "merge",
    "pack",
    "plan",
    "predict_scenes",
    "predict_tiles",
    "prepare",
    "promote",
    "propose",
    "refit",
    "register",
    "select",
    "snapshot",
    "train",
    "tune",
)
"""The steps of all pipelines."""

_PATCH = "An administrator can set it for all pods of all runs: variable COMPILED_PIPELINE_SPEC_PATCH of ml-pipeline, "
_ACCOUNT = "a run has one service account. Write `service_account: NAME` at the top level, or give --service-account."
_CANNOT = {
    "priorityclass": f'{_PATCH}{{"podPriorityClassName": "NAME"}}. With Kueue: pods.labels, '
    "kueue.x-k8s.io/priority-class.",
    "fsgroup": f'{_PATCH}{{"securityContext": {{"fsGroup": 65532}}}}.',
    "schedulername": f'{_PATCH}{{"schedulerName": "NAME"}}.',
    "hostaliases": f'{_PATCH}{{"hostAliases": [...]}}.',
    "dnsconfig": f'{_PATCH}{{"dnsConfig": {{...}}}}.',
    "runtimeclass": f'{_PATCH}{{"podSpecPatch": "{{\\"runtimeClassName\\": \\"NAME\\"}}"}}.',
    "ephemeralstorage": "Its resources are CPU, memory and GPUs. Give pods a volume of their own: work_space.",
    "initcontainers": "They came with KFP 2.18. Build an image that contains what they would do: images.registry.",
    "sidecars": "Let a webhook add them, such as Istio's: pods.annotations.",
    "affinity": "State pods.node_selector, or node_selector of a step.",
    "topologyspread": f'{_PATCH}{{"podSpecPatch": "{{\\"topologySpreadConstraints\\": [...]}}"}}.',
    "readonlyrootfilesystem": "A policy engine can set it; the images support it.",
    "terminationgraceperiod": "KFP's launcher ends with the signal, whatever the period.",
}
"""Setting in lower case, without separators -> remedy."""

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_OWNED_LABELS = re.compile(
    r"^(pipelines\.kubeflow\.org|workflows\.argoproj\.io|pipeline)/|^app\.kubernetes\.io/(part-of|version)$"
)


def _to_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _matching(pattern: str, rule: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(rule)
        return text

    return AfterValidator(check)


_KEY_PREFIX = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?"
_NAME_RULE = "must be a name in Kubernetes: lower-case letters, digits and -"

Name: TypeAlias = Annotated[str, _matching(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", _NAME_RULE)]
VolumeName: TypeAlias = Annotated[str, _matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", _NAME_RULE)]
Quantity: TypeAlias = Annotated[
    str,
    BeforeValidator(_to_text),
    _matching(r"\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", "must be a quantity in Kubernetes, such as 500m or 8Gi"),
]
Variable: TypeAlias = Annotated[str, _matching(r"[A-Za-z_]\w*", "must be the name of a variable, such as MY_TOKEN")]
LabelKey: TypeAlias = Annotated[
    str, _matching(_KEY_PREFIX + _LABEL, "must be the key of a label, such as pool or example.org/pool")
]
LabelValue: TypeAlias = Annotated[
    str,
    BeforeValidator(_to_text),
    _matching(f"({_LABEL})?", "must be the value of a label: letters, digits, -, _ and ."),
]


def suggest(name: str, known: Sequence[str]) -> str:
    """Return which of the known names was probably meant."""
    return suggestion(name, known, f"Use one of: {', '.join(sorted(known))}.")


class Section(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_kfp_cannot_state(cls, given: Any) -> Any:  # noqa: ANN401 - unchecked input
        for name in given if isinstance(given, dict) else ():
            plain = re.sub(r"[^a-z]", "", str(name).lower())
            known = next((key for key in _CANNOT if plain.startswith(key)), "")
            if known and name not in cls.model_fields:
                raise ValueError(f"A pipeline of KFP cannot state `{name}`. {_CANNOT[known]}")
            if plain.startswith("serviceaccount") and name not in cls.model_fields:
                raise ValueError(f"A pipeline of KFP cannot state `{name}` of a pod: {_ACCOUNT}")
        return given


class Images(Section):
    """The images of the steps."""

    registry: str = Field(
        default="",
        description="Registry of the images; default: ghcr.io/tilepipe.",
        examples=["registry.example.org/tilepipe"],
    )
    tag: str = Field(
        default="",
        description="Tag of the images, which must never be reused; default: the version.",
        examples=["0.1.0-4f1e2d3"],
    )
    pull_secrets: tuple[Name, ...] = Field(default=(), description="Secrets for the registry.", examples=[["registry"]])
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(default="IfNotPresent", description="Pull policy.")

    @field_validator("registry")
    @classmethod
    def _is_a_registry(cls, registry: str) -> str:
        check_registry(registry)
        return registry

    @field_validator("tag")
    @classmethod
    def _is_a_tag(cls, tag: str) -> str:
        check_tag(tag)
        return tag


def check_registry(registry: str) -> None:
    """Check the part of the images' names before the last slash; empty stands for the default.

    Raises:
        ValueError: container runtimes refuse such a name.
    """
    if registry and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", registry):
        host = re.sub(r"^[a-z]+://", "", registry.lower()).rstrip("/")
        raise ValueError(
            "must be a host, which may have a port and a path, in small letters, without https:// and without a slash "
            f"at the end, such as {host if host != registry else 'registry.example.org/tilepipe'}"
        )


def check_tag(tag: str) -> None:
    """Check a tag; empty stands for the default.

    Raises:
        ValueError: container runtimes refuse it.
    """
    if tag and not re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII):
        raise ValueError("must have up to 128 letters, digits, dots, hyphens and underscores")


class Toleration(Section):
    """A toleration, as in Kubernetes."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = Field(default=None, alias="tolerationSeconds")

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if not self.key and self.operator == "Equal":
            raise ValueError("A toleration without a key needs operator: Exists, and then tolerates all taints.")
        return self


class Pods(Section):
    """Settings of pods; those of all steps, to which those of one step are added."""

    labels: dict[LabelKey, LabelValue] = Field(
        default={},
        description="Labels of the pods that work. KFP's drivers do not get them.",
        examples=[{"kueue.x-k8s.io/queue-name": "tiles"}],
    )
    annotations: dict[LabelKey, str] = Field(
        default={}, description="Annotations of these pods.", examples=[{"sidecar.istio.io/inject": "false"}]
    )
    node_selector: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        description="Labels that a node must have. That of a step replaces that of all steps; {} is any node. For "
        "training, it applies together with train_node_selector.",
        examples=[{"pool": "batch"}],
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(),
        description="Tolerations. For training, together with train_tolerations.",
        examples=[[{"key": "dedicated", "operator": "Exists"}]],
    )

    @field_validator("labels", mode="after")
    @classmethod
    def _are_free(cls, labels: dict[str, str]) -> dict[str, str]:
        for label in labels:
            if _OWNED_LABELS.search(label):
                raise ValueError(f"KFP and tilepipe set labels of their own. Received: {label}. Use another prefix.")
        return labels


class AllPods(Pods):
    """Settings of the pods of all steps."""

    run_as_user: Annotated[int, Field(ge=1)] | Literal["cluster"] | None = Field(
        default=None,
        description="Numeric user; `cluster` leaves it to the cluster, as OpenShift requires. Default: 65532.",
        examples=["cluster"],
    )


class StepPods(Pods):
    """Settings of the pods of one step."""

    cpu_request: Quantity = Field(default="", description="CPU that a node must have free.", examples=["500m"])
    cpu_limit: Quantity = Field(default="", description="Most CPU that a pod gets.", examples=["8"])
    memory_request: Quantity = Field(default="", description="Memory that a node must have free.", examples=["8Gi"])
    memory_limit: Quantity = Field(
        default="", description="Most memory that a pod gets; alone, it is also the request.", examples=["8Gi"]
    )
    timeout_seconds: int | None = Field(
        default=None, gt=0, description="Deadline, from the start of the pod.", examples=[86400]
    )
    retries: int | None = Field(
        default=None, ge=0, description="Retries after a failure, an eviction or a preemption.", examples=[5]
    )


class Storage(Section):
    """Access to the tiles' bucket."""

    credentials: Literal["secret", "workload_identity"] = Field(
        default="secret",
        description="`secret`: keys from the Secret storage_secret_name. `workload_identity`: no keys; the service "
        "account of the run gives access, such as with IRSA or EKS Pod Identity.",
    )
    session_token: bool = Field(
        default=False, description="Also take AWS_SESSION_TOKEN from the Secret, for temporary keys."
    )

    @model_validator(mode="after")
    def _have_a_secret(self) -> Self:
        if self.session_token and self.credentials != "secret":
            raise ValueError(
                "`session_token` belongs to `credentials: secret`. Received: credentials=workload_identity."
            )
        return self


class Network(Section):
    """The platform's certificates and proxy, from one ConfigMap that each step gets."""

    config_map: VolumeName = Field(default="tilepipe-network", description="Name of the ConfigMap.")
    ca_bundle: str = Field(
        default="",
        pattern=r"^[-._a-zA-Z0-9]*$",
        description="Key of the certificates of all trusted authorities, public ones too; empty: those of the images.",
        examples=["ca-bundle.crt"],
    )
    proxy: bool = Field(
        default=False,
        description="Take HTTP_PROXY, HTTPS_PROXY and NO_PROXY from the ConfigMap. Not with a KFP that has a proxy "
        "itself, since it sets them too.",
    )

    @model_validator(mode="after")
    def _has_a_purpose(self) -> Self:
        if not self.ca_bundle and not self.proxy:
            raise ValueError("`network` must state ca_bundle, proxy or both.")
        return self


class WorkSpace(Section):
    """A volume for the artifacts and temporary files of a pod, instead of its node's disk."""

    size: Quantity = Field(default="", description="Size of a volume that each pod gets and that ends with it.")
    storage_class: str = Field(default="", description="StorageClass of this volume; default: the cluster's default.")
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] = "ReadWriteOnce"
    artifacts: Literal["s3", "minio", "gs"] = Field(
        default="s3", description="Scheme of the pipeline root, which decides where KFP keeps artifacts in a pod."
    )
    claim: VolumeName | Literal[""] = Field(
        default="",
        description="Instead of size: an existing PersistentVolumeClaim for temporary files. Artifacts stay on the "
        "node's disk, since pods that share a volume would overwrite each other's.",
    )
    steps: tuple[Literal[STEPS], ...] = Field(  # type: ignore[valid-type] # mypy wants the names here
        default=(), description="Only these steps; default: all.", examples=[["pack", "train"]]
    )

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if bool(self.size) == bool(self.claim):
            raise ValueError("`work_space` takes either size or claim.")
        return self


class Keys(Section):
    """A Secret or ConfigMap whose keys become variables."""

    name: Name = Field(description="Name of the Secret or ConfigMap.")
    keys: dict[str, Variable] = Field(description="Key -> variable.", min_length=1, examples=[{"token": "MY_TOKEN"}])
    optional: bool = Field(default=False, description="Whether pods also start without it.")


class Environment(Section):
    """Further variables of all steps."""

    values: dict[Variable, Annotated[str, BeforeValidator(_to_text)]] = Field(
        default={}, description="Variable -> text.", examples=[{"OMP_NUM_THREADS": "4"}]
    )
    secrets: tuple[Keys, ...] = Field(
        default=(), description="From Secrets.", examples=[[{"name": "vault", "keys": {"token": "MY_TOKEN"}}]]
    )
    config_maps: tuple[Keys, ...] = Field(
        default=(), description="From ConfigMaps.", examples=[[{"name": "site", "keys": {"region": "MY_REGION"}}]]
    )


class PlatformSettings(Section):
    """The whole file."""

    images: Images = Images()
    compiled: str = Field(
        default="compiled", min_length=1, description="Folder of the compiled pipelines, relative to the file."
    )
    service_account: Name | Literal[""] = Field(
        default="", description="Service account of the runs that submit and schedule start; default: KFP's."
    )
    pods: AllPods = AllPods()
    steps: dict[str, StepPods] = Field(default={}, examples=[{"pack": {"memory_limit": "8Gi"}}])
    parameters: dict[str, Any] = Field(
        default={},
        description="Other defaults of the parameters of runs.",
        examples=[{"train_memory_limit": "16Gi"}],
    )
    storage: Storage = Storage()
    network: Network | None = None
    work_space: WorkSpace | None = None
    shared_memory: Quantity = Field(
        default="", description="Size of /dev/shm of training; default: 2Gi.", examples=["8Gi"]
    )
    environment: Environment = Environment()

    @field_validator("steps", mode="after")
    @classmethod
    def _exist(cls, steps: dict[str, StepPods]) -> dict[str, StepPods]:
        for step in steps:
            if step not in STEPS:
                raise ValueError(f"A step must exist. Received: {step}. {suggest(step, STEPS)}")
        return steps
