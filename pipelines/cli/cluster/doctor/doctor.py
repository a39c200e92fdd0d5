"""Checks of everything that a run needs from a cluster, with a remedy for each problem."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tilepipe.components.shared.errors import ClusterError, TilepipeError
from tilepipe.pipelines.cli.cluster import access, requirements
from tilepipe.pipelines.cli.cluster.access import PROFILE_ACCOUNT, SERVICE_ACCOUNT, Cluster
from tilepipe.pipelines.cli.cluster.doctor import pod_checks, same_cluster, service_checks
from tilepipe.pipelines.cli.cluster.doctor.finding import Finding, ok, problem, skipped, warning
from tilepipe.pipelines.cli.cluster.doctor.pod_checks import Identity
from tilepipe.pipelines.cli.cluster.endpoint import (
    DEFAULT_NAMESPACE,
    NEWEST_VERSION,
    RESTRICTS_ACCOUNTS,
    Kubeflow,
    connect,
    takes_security_contexts,
)
from tilepipe.pipelines.cli.cluster.nodes import describe_taint, read_nodes
from tilepipe.pipelines.cli.cluster.requirements import Reference, TaskNeeds, merged_references
from tilepipe.pipelines.cli.compilation import settings_file
from tilepipe.pipelines.cli.compilation.settings_file import Platform

# Rights of a run: `finish` reads why the run failed, `snapshot` when it was scheduled.
_RIGHTS = (("get", "workflows", "argoproj.io"), ("list", "pods", ""), ("get", "pods/log", ""))
_LAUNCHER = "kfp-launcher"
# Effect of a missing Secret or ConfigMap of tilepipe; the steps start without any of them.
_WITHOUT = {
    "Secret tilepipe-s3": "absent: only tiles that need no credentials can be read",
    "ConfigMap tilepipe-s3": "absent: s3:// addresses are on AWS",
    "Secret tilepipe-tracking": "absent: only needed if MLflow requires authentication",
    "ConfigMap tilepipe-tracking": "absent: runs are not tracked",
}
_NEEDLESS = "Secret tilepipe-tracking"


@dataclass(frozen=True)
class Options:
    """Options of `tilepipe doctor`.

    Args:
        endpoint: address of the pipelines API.
        namespace: namespace of the runs.
        pipelines: the pipelines to check; default: all.
        buckets: buckets of tiles to test.
        s3_endpoint: address of the object store from this machine.
        mlflow_uri: address of MLflow from this machine.
        context: context of the kubeconfig; default: the current one.
        start_pods: whether short-lived pods may be started.
        pod_seconds: timeout for these pods.
        platform: settings of the platform, whose compiled pipelines are checked.
    """

    endpoint: str | None = None
    namespace: str | None = None
    pipelines: Sequence[str] = ()
    buckets: Sequence[str] = ()
    s3_endpoint: str = ""
    mlflow_uri: str = ""
    context: str = ""
    start_pods: bool = False
    pod_seconds: int = 20
    platform: Platform | None = None


def examine(options: Options) -> Iterator[Finding]:
    """Yield the results of all checks, in the order in which a run needs their subjects.

    Pods are only started if the options ask for it, the pipelines API answers, and Kubernetes is evidently the cluster
    of that API or was named explicitly.

    Raises:
        ParameterError: the kubeconfig has no such context.
    """
    tasks = _needs(options)
    kubeflow: Kubeflow | None = None
    try:
        kubeflow = connect(options.endpoint, options.namespace)
        yield from _kubeflow(kubeflow, options)
    except TilepipeError as error:
        yield _from_error("Kubeflow", error)
    namespace = kubeflow.namespace if kubeflow else options.namespace or DEFAULT_NAMESPACE
    cluster = access.find(namespace, options.context)
    if cluster is None:
        advice = (
            "Set KUBECONFIG, or a current context that it has (`kubectl config use-context`); nodes, Secrets, services "
            "and images can only be checked with it."
        )
        yield warning("Kubernetes", "no kubeconfig with a current context", advice)
        return
    yield ok("Kubernetes", cluster.described)
    try:
        cluster.check_namespace()
        yield ok("namespace", namespace)
        same = None
        if kubeflow:
            same = same_cluster.compare(kubeflow, cluster)
            yield same
        no_pods = _why_no_pods(options, cluster, same)
        account = _account(cluster, options)
        identity = _identity(account, tasks, options)
        yield from _rights(cluster, account)
        yield from _references(cluster, tasks)
        yield from _gpus(cluster)
        yield from _services(cluster, options, tasks, identity, no_pods)
        names = sorted({task.image for task in tasks})
        if no_pods:
            yield skipped("image", f"pull of {', '.join(names)}: {no_pods.detail}", no_pods.advice)
        else:
            yield from pod_checks.check_images(cluster, names, identity, options.pod_seconds)
    except ClusterError as error:
        yield _from_error("Kubernetes", error)


def _why_no_pods(options: Options, cluster: Cluster, same: Finding | None) -> Finding | None:
    """Return why no pod may be started, and the remedy; None if pods may be started."""
    subject = "pods"
    if not options.start_pods:
        return skipped(subject, "needs a pod", f"Add --start-pods: short-lived pods in {cluster.described}.")
    if same is None:
        return skipped(subject, "no pod without the pipelines API", "Correct the problem with Kubeflow above first.")
    if same.level == "problem":
        return skipped(subject, "no pod in a cluster of another pipelines API", same.advice)
    if same.level == "warning" and not options.context:
        advice = (
            f"If {cluster.described} is right, confirm it: --start-pods --context {cluster.context}."
            if cluster.context
            else "Use the address of the pipelines API inside this cluster (--endpoint)."
        )
        return skipped(subject, "no pod in a cluster that may be the wrong one", advice)
    return None


def _needs(options: Options) -> list[TaskNeeds]:
    names = options.pipelines or settings_file.names(options.platform)
    loaded = [settings_file.load(name, options.platform) for name in names]
    return [task for pipeline in loaded for task in requirements.of_pipeline(pipeline, {})]


def _from_error(subject: str, error: TilepipeError) -> Finding:
    return problem(subject, str(error), "")  # the message contains the remedy


def _kubeflow(kubeflow: Kubeflow, options: Options) -> Iterator[Finding]:
    where = f"at {kubeflow.url}, {'multi-user' if kubeflow.multi_user else 'single-user'}"
    if not takes_security_contexts(kubeflow):
        detail = f"Pipelines {kubeflow.version or '2.15 or earlier'} at {kubeflow.url} refuses security contexts"
        yield problem("Kubeflow", detail, "Upgrade Kubeflow Pipelines to 2.16 or later.")
        return
    newest = ".".join(map(str, NEWEST_VERSION))
    if not kubeflow.release:
        build = f" (commit {kubeflow.commit})" if kubeflow.commit else ""
        yield ok("Kubeflow", f"Pipelines 2.16 or later{build} {where}; the server does not state its version")
    elif kubeflow.release > NEWEST_VERSION:
        yield ok("Kubeflow", f"Pipelines {kubeflow.version} {where}; newer than {newest}, the newest tested version")
    else:
        yield ok("Kubeflow", f"Pipelines {kubeflow.version} {where}")
    account = options.platform.settings.service_account if options.platform else None
    if account and (not kubeflow.release or kubeflow.release >= RESTRICTS_ACCOUNTS):
        detail = f"Pipelines 2.18 or later refuses {account} unless its administrator has listed it"
        use = ", and you need the right to `use` the service account" if kubeflow.multi_user else ""
        advice = f"The variable ALLOWEDSERVICEACCOUNTS of ml-pipeline has the list{use}."
        yield warning("service account", detail, advice)


def _account(cluster: Cluster, options: Options) -> str:
    if options.platform and options.platform.settings.service_account:
        return options.platform.settings.service_account
    return SERVICE_ACCOUNT if SERVICE_ACCOUNT in cluster.accounts() else PROFILE_ACCOUNT


def _identity(account: str, tasks: Sequence[TaskNeeds], options: Options) -> Identity:
    """Return the identity of the tasks' pods."""
    from tilepipe.pipelines.settings import USER_ID

    settings = options.platform.settings if options.platform else None
    user = max((task.run_as_user for task in tasks if task.run_as_user), default=USER_ID)
    secrets = sorted({secret for task in tasks for secret in task.pull_secrets})
    return Identity(account, None if settings and settings.pods.run_as_user == "cluster" else user, secrets)


def _rights(cluster: Cluster, account: str) -> Iterator[Finding]:
    if account not in {SERVICE_ACCOUNT, PROFILE_ACCOUNT}:
        if missing := cluster.lacks_account(account):
            yield problem("service account", missing, "")
            return
        if not cluster.may("create", "workflowtaskresults", group="argoproj.io", user=account):
            detail = f"{account} may not create workflowtaskresults, without which its pods fail"
            yield problem("service account", detail, f"`{cluster.binding_of(account)}`")
    lacking = [
        f"{verb} {resource}"
        for verb, resource, group in _RIGHTS
        if not cluster.may(verb, resource, group=group, user=account)
    ]
    if lacking:
        advice = "Apply tilepipe's manifests (base/pipelines); otherwise runs cannot record why they failed."
        yield warning("service account", f"{account} may not {', '.join(lacking)}", advice)
    else:
        yield ok("service account", f"{account} may read its own runs")


def _references(cluster: Cluster, tasks: Sequence[TaskNeeds]) -> Iterator[Finding]:
    for reference in merged_references(tasks):
        yield _reference(cluster, reference)
    if not cluster.may("get", "configmaps"):
        return
    root = _config(cluster, _LAUNCHER).get("defaultPipelineRoot", "")
    yield ok("pipeline root", root or "KFP's default (no defaultPipelineRoot in the ConfigMap kfp-launcher)")


def _reference(cluster: Cluster, reference: Reference) -> Finding:
    subject = f"{reference.kind} {reference.name}"
    if not cluster.may("get", reference.plural):
        ask = f"Ask for `get` on {reference.plural} in {cluster.namespace}."
        return warning(subject, "not checked: you may not read it", ask)
    there = cluster.data_of(reference.kind, reference.name)
    make = reference.creation(cluster.namespace)
    say = warning if reference.optional else problem
    if there is None and subject == _NEEDLESS:
        return ok(subject, _WITHOUT[subject])
    if there is None:
        detail = _WITHOUT.get(subject, "absent: tasks start without it") if reference.optional else "absent"
        return say(subject, detail, f"If it is needed: `{make}`." if reference.optional else f"`{make}`")
    if lacking := reference.lacking(there):
        return say(subject, f"lacks {', '.join(lacking)}", f"Add them: `{reference.edit(cluster.namespace)}`.")
    return ok(subject, ", ".join(sorted(there & set(reference.keys))))


def _config(cluster: Cluster, name: str) -> dict[str, str]:
    found = cluster.ask(cluster.core.read_namespaced_config_map, name, cluster.namespace)
    return dict((found.data if found else None) or {})


def _gpus(cluster: Cluster) -> Iterator[Finding]:
    nodes = read_nodes(cluster)
    with_gpus = [node for node in nodes if node.gpus]
    for node in with_gpus:
        gpus = ", ".join(f"{free} of {count} {name} free" for name, (free, count) in node.gpus.items())
        taints = ", ".join(describe_taint(taint) for taint in node.taints) or "none"
        detail = f"{node.name}: {gpus}; taints: {taints}"
        if node.closed:
            yield warning("GPU node", f"{detail}; {node.closed}", f"See `kubectl describe node {node.name}`.")
        else:
            yield ok("GPU node", detail)
    if nodes and not with_gpus:
        advice = "Train with train_gpu_count=0, or install the GPU vendor's device plugin on a node that has one."
        yield warning("GPU node", f"none of {len(nodes)} nodes has GPUs", advice)
    elif not nodes:
        yield warning("GPU node", "not checked: you may not list nodes", "Ask for the right to list nodes.")


def _services(
    cluster: Cluster, options: Options, tasks: Sequence[TaskNeeds], identity: Identity, no_pods: Finding | None
) -> Iterator[Finding]:
    from tilepipe.pipelines import settings

    services = []
    if options.buckets:
        config = _config(cluster, settings.STORAGE_CONFIG)
        services.append(
            service_checks.tile_store(settings.STORAGE_SECRET, config, options.buckets, options.s3_endpoint)
        )
    artifacts = service_checks.artifact_store(_config(cluster, _LAUNCHER), cluster.namespace, options.s3_endpoint)
    if artifacts:
        services.append(artifacts)
    uri = options.mlflow_uri or _config(cluster, settings.TRACKING_CONFIG).get("MLFLOW_TRACKING_URI", "")
    if uri:
        services.append(service_checks.tracking(uri, settings.TRACKING_SECRET))
    # The image of ingest has what the probe needs; the images of another pipeline may have it.
    data_images = {task.image for task in tasks if task.step == "ingest"} or {task.image for task in tasks}
    yield from service_checks.check(cluster, services, min(data_images), identity, options.pod_seconds, no_pods)
