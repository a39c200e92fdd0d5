"""Access to Kubernetes: pods, nodes, events and Workflows of one namespace, as far as this user may read them."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tilepipe.components.shared.errors import ClusterError, ParameterError
from tilepipe.components.shared.logs.pod_logs import last_words

SERVICE_ACCOUNT = "pipeline-runner"
"""Service account of the pods of runs in a single-user installation."""
PROFILE_ACCOUNT = "default-editor"
"""The one in a profile of a multi-user installation."""

_WORKFLOWS = ("argoproj.io", "v1alpha1", "workflows")
_WORKLOADS = ("kueue.x-k8s.io", "v1beta2", "workloads")
_NO_QUOTA = ("QuotaReserved", "False")
_TIMEOUT_SECONDS = (4, 15)
_LOG_LINES = 100


@dataclass(frozen=True)
class Cluster:
    """Access to Kubernetes with the current kubeconfig, or with the service account of this pod.

    Args:
        namespace: namespace of the runs.
        server: address of the Kubernetes API.
        core: `kubernetes.client.CoreV1Api`.
        context: name of the kubeconfig's context; empty for the service account of this pod.
    """

    namespace: str
    server: str
    core: Any
    context: str = ""

    @property
    def described(self) -> str:
        """Context and address, for messages."""
        return f"context {self.context} ({self.server})" if self.context else f"this pod's cluster ({self.server})"

    def ask(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401 - untyped client
        """Call a method of the Kubernetes client.

        Returns:
            The result of the method; None if there is no such object, or if this user may not see it.

        Raises:
            ClusterError: the API server does not answer, or refuses for another reason.
        """
        from kubernetes.client import ApiException

        try:
            return self.demand(method, *args, **options)
        except ApiException as error:
            if error.status in {401, 403, 404} or (error.status, method) == (400, self.core.read_namespaced_pod_log):
                return None  # 400: the log of a container that has not started, as in an evicted pod
            raise ClusterError(
                f"Kubernetes refused. Received: HTTP {error.status} from {self.server}: {error.reason}. "
                "Try `kubectl get pods` with the same kubeconfig."
            ) from None

    def demand(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Call a method of the Kubernetes client and let refusals through.

        Raises:
            kubernetes.client.ApiException: the API server refuses.
            ClusterError: the API server does not answer.
        """
        from urllib3.exceptions import HTTPError

        try:
            return method(*args, _request_timeout=_TIMEOUT_SECONDS, **options)
        except HTTPError as error:
            raise ClusterError(
                f"Kubernetes does not answer. Received: {self.server}: {type(error).__name__}. "
                "Try `kubectl get pods` with the same kubeconfig; tilepipe also works without a kubeconfig."
            ) from None

    def items(self, method: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:  # noqa: ANN401
        """List what a method of the Kubernetes client returns; empty if this user may not see it."""
        found = self.ask(method, *args, **options)
        return list(found.items) if found else []

    def pods(self, run_id: str) -> Sequence[Any]:
        """List the pods of a run that still exist, as `V1Pod`."""
        return self.items(self.core.list_namespaced_pod, self.namespace, label_selector=f"pipeline/runid={run_id}")

    def warnings_of(self, pod: Any) -> Sequence[Any]:  # noqa: ANN401
        """List the warnings about a pod as `CoreV1Event`, oldest first."""
        selector = f"involvedObject.uid={pod.metadata.uid},type=Warning"
        return self.items(self.core.list_namespaced_event, self.namespace, field_selector=selector)

    def workflow(self, run_id: str) -> dict[str, Any]:
        """Return the Argo Workflow of a run; empty if it is gone or this user may not see it."""
        found = self._objects(_WORKFLOWS, label_selector=f"pipeline/runid={run_id}")
        return found[0] if found else {}

    def why_queued(self, pod: Any) -> str:  # noqa: ANN401
        """Return why Kueue does not admit a pod; empty if it does not say, or if this user may not see it."""
        for workload in self._objects(_WORKLOADS):
            if pod.metadata.uid in {owner["uid"] for owner in workload["metadata"].get("ownerReferences", ())}:
                conditions = workload.get("status", {}).get("conditions", ())
                return next((c["message"] for c in conditions if (c["type"], c["status"]) == _NO_QUOTA), "")
        return ""

    def run_ids(self, limit: int) -> list[str]:
        """List the ids of some runs whose Workflows are in the namespace."""
        found = self._objects(_WORKFLOWS, label_selector="pipeline/runid", limit=limit)
        return [item["metadata"]["labels"]["pipeline/runid"] for item in found]

    def where_it_runs(self, run_id: str) -> "Cluster":
        """Return this access for the namespace of a run that was just started.

        A single-user server puts all runs into its own namespace and ignores the namespace of the request.
        """
        from kubernetes import client

        if self.workflow(run_id):
            return self
        api = client.CustomObjectsApi(self.core.api_client)
        found = self.ask(api.list_cluster_custom_object, *_WORKFLOWS, label_selector=f"pipeline/runid={run_id}")
        items = found["items"] if found else []
        return replace(self, namespace=items[0]["metadata"]["namespace"]) if items else self

    def end_of_log(self, pod: str) -> str:
        """Return the last lines that the step itself wrote in a pod; empty if its log is gone."""
        return last_words(self.log(pod, tail_lines=_LOG_LINES))

    def log(self, pod: str, **options: Any) -> str:  # noqa: ANN401
        """Return the log of a pod's main container; empty if it is gone, or if the container never started."""
        # By default, the client parses a log that is JSON and returns the repr of the result.
        method = self.core.read_namespaced_pod_log
        answer = self.ask(method, pod, self.namespace, container="main", _preload_content=False, **options)
        return "" if answer is None else answer.data.decode("utf-8", "replace")

    def data_of(self, kind: str, name: str) -> set[str] | None:
        """Return the keys of a Secret or a ConfigMap, never the values; None if it is absent or not readable."""
        read = self.core.read_namespaced_secret if kind == "Secret" else self.core.read_namespaced_config_map
        found = self.ask(read, name, self.namespace)
        return None if found is None else set(found.data or {})

    def accounts(self) -> set[str]:
        """Return the service accounts of the namespace; KFP's own if this user may not list them."""
        found = self.ask(self.core.list_namespaced_service_account, self.namespace)
        return {account.metadata.name for account in found.items} if found else {SERVICE_ACCOUNT}

    def lacks_account(self, name: str) -> str:
        """Describe that a service account is missing, with the commands that create it; empty if it may be there."""
        from kubernetes.client import ApiException

        try:
            self.demand(self.core.read_namespaced_service_account, name, self.namespace)
        except ApiException as error:
            if error.status == 404:
                return (
                    f"The service account of a run must be in namespace {self.namespace}. Received: {name}, which is "
                    f"not. Create it with the rights of KFP's own:\n"
                    f"  kubectl -n {self.namespace} create serviceaccount {name}\n  {self.binding_of(name)}"
                )
        return ""

    def binding_of(self, account: str) -> str:
        """Return the command that gives a service account the rights of KFP's own for runs."""
        own = self.ask(self.core.read_namespaced_service_account, PROFILE_ACCOUNT, self.namespace)
        role = "--clusterrole=kubeflow-edit" if own else f"--role={SERVICE_ACCOUNT}"
        subject = f"--serviceaccount={self.namespace}:{account}"
        return f"kubectl -n {self.namespace} create rolebinding {account} {role} {subject}"

    def may(self, verb: str, resource: str, *, group: str = "", user: str = "") -> bool:
        """Return whether this user, or a service account of the namespace, may do something there."""
        from kubernetes import client

        attributes = client.V1ResourceAttributes(namespace=self.namespace, verb=verb, resource=resource, group=group)
        api = client.AuthorizationV1Api(self.core.api_client)
        if user:
            spec = client.V1SubjectAccessReviewSpec(
                user=f"system:serviceaccount:{self.namespace}:{user}", resource_attributes=attributes
            )
            review = self.ask(
                api.create_namespaced_local_subject_access_review,
                self.namespace,
                client.V1LocalSubjectAccessReview(metadata=client.V1ObjectMeta(namespace=self.namespace), spec=spec),
            )
        else:
            own = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
            review = self.ask(api.create_self_subject_access_review, client.V1SelfSubjectAccessReview(spec=own))
        return review is None or bool(review.status.allowed)

    def check_namespace(self) -> None:
        """Check that the namespace is one for runs.

        Raises:
            ClusterError: it does not exist, or has no service account of Kubeflow Pipelines.
        """
        from kubernetes.client import ApiException

        try:
            self.demand(self.core.read_namespace, self.namespace)
        except ApiException as error:
            if error.status != 404:
                return  # this user may not see it
            raise ClusterError(
                f"--namespace must be where Kubeflow Pipelines runs. Received: {self.namespace}, which does not exist."
                f"{self._where_instead()}"
            ) from None
        if not self.accounts() & {SERVICE_ACCOUNT, PROFILE_ACCOUNT}:
            raise ClusterError(
                f"--namespace must be where Kubeflow Pipelines runs. Received: {self.namespace}, which has no service "
                f"account {SERVICE_ACCOUNT} or {PROFILE_ACCOUNT}.{self._where_instead()}"
            )

    def _objects(self, kind: tuple[str, str, str], **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """List the custom objects of a kind in the namespace; empty if this user may not see them."""
        from kubernetes import client

        api = client.CustomObjectsApi(self.core.api_client)
        group, version, plural = kind
        found = self.ask(api.list_namespaced_custom_object, group, version, self.namespace, plural, **options)
        return list(found["items"]) if found else []

    def _where_instead(self) -> str:
        found = self.items(self.core.list_service_account_for_all_namespaces)
        places = sorted({a.metadata.namespace for a in found if a.metadata.name in {SERVICE_ACCOUNT, PROFILE_ACCOUNT}})
        return f" Use one of: {', '.join(places)}." if places else " Ask your administrator for the right one."


def find(namespace: str, context: str = "") -> Cluster | None:
    """Find Kubernetes through a kubeconfig or a service account; sends no request.

    Args:
        namespace: namespace of the runs.
        context: context of the kubeconfig; default: its current context.

    Returns:
        The access, or None if there is no configuration.

    Raises:
        ParameterError: the kubeconfig has no such context, or cannot be read.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    # Passed explicitly, since the client reads the variable only once, when it is imported.
    path = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    try:
        current = _current_context(path)
        config.load_kube_config(path, context=context or current or None, client_configuration=configuration)
        context = context or current
    except (config.ConfigException, OSError) as error:
        if context:
            raise ParameterError(
                f"--context must be a context of the kubeconfig. Received: {context}: {error} "
                "`kubectl config get-contexts` lists them."
            ) from None
        with contextlib.suppress(config.ConfigException):
            config.load_incluster_config(client_configuration=configuration)
        if not configuration.api_key:
            return None
    configuration.retries = 1
    return Cluster(namespace, configuration.host, client.CoreV1Api(client.ApiClient(configuration)), context)


def _current_context(paths: str) -> str:
    """Read the current context as kubectl does: from the first file that names one.

    The client takes it from the last, which would submit to another cluster than the one that kubectl shows.

    Args:
        paths: the kubeconfig's files, as in KUBECONFIG.

    Returns:
        The name; empty for none.

    Raises:
        ParameterError: a file is not a kubeconfig.
    """
    found = ""
    for path in filter(os.path.exists, paths.split(os.pathsep)):
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
            if not isinstance(content, dict):
                raise ValueError("it has no fields")
        except (yaml.YAMLError, ValueError) as error:
            raise ParameterError(
                f"KUBECONFIG must name configurations of kubectl. Received: {path}: {str(error).splitlines()[0]}. "
                "See what `kubectl config view` says of it."
            ) from None
        found = found or str(content.get("current-context") or "")
    return found


def reachable(namespace: str) -> Cluster | None:
    """Find Kubernetes, for commands that also work without it; None if it does not answer."""
    cluster = find(namespace)
    if cluster is None:
        return None
    from kubernetes import client

    try:
        cluster.ask(client.VersionApi(cluster.core.api_client).get_code)
    except ClusterError:
        return None
    return cluster
