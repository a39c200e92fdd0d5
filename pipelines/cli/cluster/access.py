"""Kubernetes, where this machine may ask it: pods, nodes, events and Workflows of one namespace."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilepipe.components.shared.errors import ClusterError
from tilepipe.components.shared.runtime.pod_logs import last_words

SERVICE_ACCOUNT = "pipeline-runner"
"""Whom the runs' pods act as in a single-user installation; `default-editor` in a profile of a multi-user one."""

_WORKFLOWS = ("argoproj.io", "v1alpha1", "workflows")
_TIMEOUT_SECONDS = (4, 15)
_LOG_LINES = 100


@dataclass(frozen=True)
class Cluster:
    """Kubernetes, as the current kubeconfig (or this pod's service account) may see it.

    Args:
        namespace: where runs go.
        server: address of the Kubernetes API.
        core: `kubernetes.client.CoreV1Api`.
    """

    namespace: str
    server: str
    core: Any

    def ask(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401 - untyped client
        """Call a method of the Kubernetes client.

        Returns:
            What it returns; None where there is no such object, or where this user may not see it.

        Raises:
            ClusterError: the API server does not answer.
        """
        from kubernetes.client import ApiException

        try:
            return self.demand(method, *args, **options)
        except ApiException as error:
            if error.status in {401, 403, 404}:
                return None
            raise ClusterError(
                f"Kubernetes refused. Received: HTTP {error.status} from {self.server}: {error.reason}. "
                "Try `kubectl get pods` with the same kubeconfig."
            ) from None

    def demand(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Call a method of the Kubernetes client, where a refusal matters.

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
                "Try `kubectl get pods` with the same kubeconfig; without a kubeconfig, tilepipe goes on without it."
            ) from None

    def pods(self, run_id: str) -> Sequence[Any]:
        """The pods of a run that still exist, as `V1Pod`."""
        found = self.ask(self.core.list_namespaced_pod, self.namespace, label_selector=f"pipeline/runid={run_id}")
        return list(found.items) if found else []

    def warnings_of(self, pod: Any) -> Sequence[Any]:  # noqa: ANN401
        """What went wrong around a pod, as `CoreV1Event`, oldest first."""
        selector = f"involvedObject.uid={pod.metadata.uid},type=Warning"
        found = self.ask(self.core.list_namespaced_event, self.namespace, field_selector=selector)
        return list(found.items) if found else []

    def workflow(self, run_id: str) -> dict[str, Any]:
        """The Argo Workflow of a run; empty where it is gone or not for us to see."""
        from kubernetes import client

        api = client.CustomObjectsApi(self.core.api_client)
        where = (*_WORKFLOWS[:2], self.namespace, _WORKFLOWS[2])
        found = self.ask(api.list_namespaced_custom_object, *where, label_selector=f"pipeline/runid={run_id}")
        items = found["items"] if found else []
        return dict(items[0]) if items else {}

    def where_it_runs(self, run_id: str) -> "Cluster":
        """This access, for the namespace that a run that was just started is in.

        A server for a single user puts all runs into its own namespace, whatever it is asked.
        """
        from kubernetes import client

        if self.workflow(run_id):
            return self
        api = client.CustomObjectsApi(self.core.api_client)
        found = self.ask(api.list_cluster_custom_object, *_WORKFLOWS, label_selector=f"pipeline/runid={run_id}")
        items = found["items"] if found else []
        return replace(self, namespace=items[0]["metadata"]["namespace"]) if items else self

    def end_of_log(self, pod: str, lines: int = 5) -> str:
        """The last lines that the step itself wrote in a pod; empty where its log is gone."""
        return last_words(self.log(pod, tail_lines=_LOG_LINES), lines)

    def log(self, pod: str, **options: Any) -> str:  # noqa: ANN401
        """The log of a pod's main container; empty where it is gone."""
        # Left to itself, the client parses a log that is JSON, and gives back Python's way of writing it.
        method = self.core.read_namespaced_pod_log
        answer = self.ask(method, pod, self.namespace, container="main", _preload_content=False, **options)
        return "" if answer is None else answer.data.decode("utf-8", "replace")

    def data_of(self, kind: str, name: str) -> set[str] | None:
        """The keys of a Secret or a ConfigMap, never their values; None where it is absent or not for us to see."""
        read = self.core.read_namespaced_secret if kind == "Secret" else self.core.read_namespaced_config_map
        found = self.ask(read, name, self.namespace)
        return None if found is None else set(found.data or {})

    def may(self, verb: str, resource: str, *, group: str = "", user: str = "") -> bool:
        """Whether this user, or a service account of the namespace, may do something there."""
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
        """Check that runs can live in the namespace.

        Raises:
            ClusterError: it does not exist, or nothing of Kubeflow Pipelines is in it.
        """
        from kubernetes.client import ApiException

        try:
            self.demand(self.core.read_namespace, self.namespace)
        except ApiException as error:
            if error.status != 404:
                return  # not for us to see
            raise ClusterError(
                f"--namespace must be where Kubeflow Pipelines runs. Received: {self.namespace}, which does not exist."
                f"{self._where_instead()}"
            ) from None
        accounts = self.ask(self.core.list_namespaced_service_account, self.namespace)
        names = {account.metadata.name for account in accounts.items} if accounts else {SERVICE_ACCOUNT}
        if not names & {SERVICE_ACCOUNT, "default-editor"}:
            raise ClusterError(
                f"--namespace must be where Kubeflow Pipelines runs. Received: {self.namespace}, which has no service "
                f"account {SERVICE_ACCOUNT} or default-editor.{self._where_instead()}"
            )

    def _where_instead(self) -> str:
        found = self.ask(self.core.list_service_account_for_all_namespaces)
        names = {SERVICE_ACCOUNT, "default-editor"}
        places = sorted({a.metadata.namespace for a in found.items if a.metadata.name in names}) if found else []
        return f" Give one of: {', '.join(places)}." if places else " Give the one that your administrator set up."


def find(namespace: str) -> Cluster | None:
    """Kubernetes, where a kubeconfig or a service account leads to it.

    Args:
        namespace: where runs go.

    Returns:
        The access, or None where there is no configuration; nothing has been asked yet.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        # Named here, since the client reads the variable once, when it is imported.
        config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    except (config.ConfigException, OSError):
        with contextlib.suppress(config.ConfigException):
            config.load_incluster_config(client_configuration=configuration)
        if not configuration.api_key:
            return None
    configuration.retries = 1
    return Cluster(namespace, configuration.host, client.CoreV1Api(client.ApiClient(configuration)))


def reachable(namespace: str) -> Cluster | None:
    """Kubernetes, where it also answers: for commands that do without it when they must."""
    cluster = find(namespace)
    if cluster is None:
        return None
    from kubernetes import client

    try:
        cluster.ask(client.VersionApi(cluster.core.api_client).get_code)
    except ClusterError:
        return None
    return cluster
