"""Start of a run, after checks of the cluster."""

import copy
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.cluster.access import Cluster
from tilepipe.pipelines.cli.cluster.endpoint import Kubeflow
from tilepipe.pipelines.cli.cluster.nodes import check_feasible, read_nodes, with_admission
from tilepipe.pipelines.cli.cluster.requirements import TaskNeeds, merged_references
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline

DEFAULT_EXPERIMENT = "Default"


@dataclass(frozen=True)
class Run:
    """A run that was started."""

    run_id: str
    name: str
    page: str


def check(
    cluster: Cluster, tasks: Sequence[TaskNeeds], arguments: Mapping[str, Any], service_account: str = ""
) -> None:
    """Check a run against the cluster, as far as this user may see it.

    Args:
        cluster: the access to Kubernetes.
        tasks: requirements of the tasks.
        arguments: arguments of the user; a Secret named there must exist, even if it is optional for the pipeline.
        service_account: service account of the pods; default: KFP's.

    Raises:
        ClusterError: the namespace is not one for runs.
        ParameterError: a node, a Secret, a key or the service account that the run needs is missing; the message lists
            all problems.
    """
    cluster.check_namespace()
    problems = list(_missing(cluster, tasks, arguments))
    if service_account and (problem := cluster.lacks_account(service_account)):
        problems.append(problem)
    nodes = read_nodes(cluster)
    try:
        check_feasible(with_admission(cluster, tasks), nodes)
    except ParameterError as error:
        problems.append(str(error))
    if problems:
        raise ParameterError("\n".join(problems))


def start(
    kubeflow: Kubeflow,
    pipeline: CompiledPipeline,
    arguments: Mapping[str, Any],
    *,
    name: str | None = None,
    experiment: str = DEFAULT_EXPERIMENT,
    cache: bool = True,
    service_account: str = "",
) -> Run:
    """Start a run of a compiled pipeline.

    Args:
        kubeflow: the pipelines API.
        pipeline: the pipeline; its YAML is sent with the run.
        arguments: checked arguments, parameter -> value.
        name: name of the run; default: the name of the pipeline and the time.
        experiment: KFP experiment, which groups runs; created if it does not exist.
        cache: whether results of tasks may come from KFP's cache.
        service_account: service account of the pods; default: KFP's.

    Raises:
        ClusterError: KFP refuses.
    """
    kubeflow.check_version()
    name = name or f"{pipeline.kfp_name} {datetime.datetime.now().astimezone():%Y-%m-%d %H-%M-%S}"
    body = {
        "display_name": name,
        "experiment_id": find_experiment(kubeflow, experiment),
        "pipeline_spec": _spec(pipeline, cache=cache),
        "runtime_config": {"parameters": dict(arguments)},
        **({"service_account": service_account} if service_account else {}),
    }
    made = kubeflow.call(kubeflow.client.runs.run_service_create_run, run=body)
    return Run(made.run_id, name, kubeflow.run_page(made.run_id))


def find_experiment(kubeflow: Kubeflow, name: str) -> str:
    """Return the id of the KFP experiment of that name; creates it if there is none."""
    experiments = kubeflow.client.experiments
    method, namespace = experiments.experiment_service_list_experiments, kubeflow.api_namespace or ""
    for found in kubeflow.pages(method, "experiments", namespace=namespace):
        if found.display_name == name and found.storage_state != "ARCHIVED":
            return str(found.experiment_id)
    body = {"display_name": name, **({"namespace": kubeflow.api_namespace} if kubeflow.api_namespace else {})}
    made = kubeflow.call(experiments.experiment_service_create_experiment, experiment=body)
    return str(made.experiment_id)


def _spec(pipeline: CompiledPipeline, *, cache: bool) -> dict[str, Any]:
    spec, *platforms = (copy.deepcopy(document) for document in pipeline.documents)
    if not cache:
        for dag in [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]:
            for task in dag["tasks"].values():
                task["cachingOptions"] = {}
    return {"pipeline_spec": spec, "platform_spec": platforms[0]} if platforms else spec


def _missing(cluster: Cluster, tasks: Sequence[TaskNeeds], arguments: Mapping[str, Any]) -> dict[str, None]:
    """Describe each Secret, ConfigMap and key that the tasks need and the namespace lacks, once."""
    problems: dict[str, None] = {}
    for reference in merged_references(tasks):
        is_needed = not reference.optional or reference.parameter in arguments
        if not is_needed or not cluster.may("get", reference.plural):
            continue
        keys = cluster.data_of(reference.kind, reference.name)
        where = f"{reference.parameter}={reference.name}" if reference.parameter else reference.name
        if keys is None:
            problems[
                f"A {reference.kind} that a run names must be in namespace {cluster.namespace}. Received: {where}, "
                f"which is not. Create it: `{reference.creation(cluster.namespace)}`."
            ] = None
        elif lacking := reference.lacking(keys):
            problems[
                f"The {reference.kind} {where} must have the keys {', '.join(reference.keys)}. It lacks "
                f"{', '.join(lacking)}. Add them: `{reference.edit(cluster.namespace)}`."
            ] = None
    return problems
