"""Client of the pipelines API, with short timeouts and readable errors."""

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tilepipe.components.shared.errors import ClusterError, ParameterError

DEFAULT_NAMESPACE = "kubeflow"
OLDEST_VERSION = (2, 16)
"""The first version whose API server knows the security contexts that all tasks of tilepipe have."""
NEWEST_VERSION = (2, 18)
"""The newest version with which tilepipe was tested, see manifests/README.md."""
RESTRICTS_ACCOUNTS = (2, 18)
"""The first version whose API server only runs pods as service accounts that its administrator has listed."""

_CONNECT_SECONDS = 4.0
_READ_SECONDS = 30.0
_GENERATED = ("run_", "recurring_", "experiment_", "pipeline_", "upload_", "healthz_")
"""Beginnings of the names of the generated client's methods, which take a timeout."""
_PORT_FORWARD = "kubectl port-forward -n kubeflow svc/ml-pipeline 8888:8888"
_TOO_OLD = (
    "The API server must be Kubeflow Pipelines 2.16 or later: older versions refuse the security contexts that all "
    "tasks have. Received: {received}. Upgrade Kubeflow Pipelines."
)


@dataclass(frozen=True)
class Kubeflow:
    """Connection to an API server that answered.

    Args:
        url: address of the API.
        namespace: namespace of the runs.
        multi_user: whether users have their own namespaces; a single-user server only uses its own.
        version: version such as `2.17.0`; empty if the server does not know it.
        client: `kfp.Client`.
        commit: start of the commit from which the server was built; empty if it does not know it.
    """

    url: str
    namespace: str
    multi_user: bool
    version: str
    client: Any
    commit: str = ""

    @property
    def release(self) -> tuple[int, ...]:
        """Major and minor version, such as (2, 17); empty if the server does not know its version."""
        numbers = tuple(int(number) for number in re.findall(r"\d+", self.version)[:2])
        return numbers if len(numbers) == len(OLDEST_VERSION) else ()

    @property
    def api_namespace(self) -> str | None:
        """The namespace that calls of the API take; None on a single-user server."""
        return self.namespace if self.multi_user else None

    def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401 - generated client
        """Call a method of the generated client, such as `kubeflow.client.runs.run_service_get_run`.

        Raises:
            ClusterError: the server cannot be reached or refuses.
        """
        return _call(self.url, method, *args, **options)

    def pages(self, method: Callable[..., Any], field: str, **options: Any) -> Iterator[Any]:  # noqa: ANN401
        """Yield the entries, in `field`, of all pages of a method that lists, such as `run_service_list_runs`.

        Raises:
            ClusterError: the server cannot be reached or refuses.
        """
        token = ""
        while True:
            page = self.call(method, page_size=100, page_token=token, **options)
            yield from getattr(page, field) or []
            token = page.next_page_token or ""
            if not token:
                return

    def check_version(self) -> None:
        """Check that the server accepts tilepipe's pipelines.

        Raises:
            ClusterError: it is older than 2.16.
        """
        if not takes_security_contexts(self):
            raise ClusterError(_TOO_OLD.format(received=self.version or f"the API server at {self.url}"))

    def run_page(self, run_id: str) -> str:
        """Return the address of a run in Kubeflow's UI; empty if it is not known."""
        pages = os.environ.get("KFP_UI_ENDPOINT") or os.environ.get("KF_PIPELINES_UI_ENDPOINT")
        if pages is None and _serves_pages(self.client):
            pages = self.url
        return f"{pages.rstrip('/')}/#/runs/details/{run_id}" if pages else ""


def connect(endpoint: str | None = None, namespace: str | None = None) -> Kubeflow:
    """Connect to the pipelines API.

    Credentials come from the variable KFP_TOKEN (a bearer token), from KF_PIPELINES_SA_TOKEN_PATH (in a Kubeflow
    notebook), or from kfp's own context file.

    Args:
        endpoint: address of the API; default: the variable KFP_ENDPOINT.
        namespace: namespace of the runs; default: the variable KFP_NAMESPACE, else `kubeflow`.

    Raises:
        ParameterError: no address was given.
        ClusterError: nothing answers, the server is not Kubeflow Pipelines, or it requires a login.
    """
    url = (endpoint or os.environ.get("KFP_ENDPOINT") or "").rstrip("/")
    namespace = namespace or os.environ.get("KFP_NAMESPACE") or DEFAULT_NAMESPACE
    if not url:
        raise ParameterError(
            "The address of Kubeflow Pipelines is required and was not given. Give --endpoint, or set KFP_ENDPOINT: "
            "an address such as https://kubeflow.example.org/pipeline, or http://127.0.0.1:8888 after "
            f"`{_PORT_FORWARD}`."
        )
    if "://" not in url:
        url = f"http://{url}"
    client = _call(url, _client, url, namespace)
    health = _call(url, client.get_kfp_healthz)
    if not isinstance(health.multi_user, bool):
        raise _not_kubeflow(url)
    version, commit = _build(client)
    return Kubeflow(url, namespace, health.multi_user, version, client, commit)


def takes_security_contexts(kubeflow: Kubeflow) -> bool:
    """Return whether the server is 2.16 or later.

    If the server does not know its version, this requests a run whose settings contain a security context and then a
    field that no version knows. The server refuses it, so nothing is started. If it calls the second field unknown, it
    knows security contexts; if the first one, it does not.
    """
    if kubeflow.release:
        return kubeflow.release >= OLDEST_VERSION
    try:
        kubeflow.call(kubeflow.client.runs.run_service_create_run, run=_probe())
    except ClusterError as error:
        return 'unknown field "securityContext"' not in str(error)
    return True


def _build(client: Any) -> tuple[str, str]:  # noqa: ANN401
    """Read version and commit from the server's health, which the generated client ignores; both may be `unknown`."""
    try:
        health = json.loads(client.healthzs.api_client.last_response.data)
        tag, commit = str(health.get("tag_name")), str(health.get("commit_sha"))
    except (AttributeError, TypeError, ValueError):
        return "", ""
    version = tag if re.match(r"v?\d+\.\d+", tag) else ""
    return version, commit[:10] if re.fullmatch(r"[0-9a-f]{7,}", commit) else ""


def _probe() -> dict[str, Any]:
    settings: dict[str, Any] = {"securityContext": {}, "tilepipe": {}}
    spec = {
        "pipelineInfo": {"name": "tilepipe-version-probe"},
        "schemaVersion": "2.1.0",
        "components": {"comp-probe": {"executorLabel": "exec-probe"}},
        "deploymentSpec": {"executors": {"exec-probe": {"container": {"image": "none"}}}},
        "root": {"dag": {"tasks": {"probe": {"componentRef": {"name": "comp-probe"}, "taskInfo": {"name": "probe"}}}}},
    }
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-probe": settings}}}}}
    run: dict[str, Any] = {"display_name": "version probe"}
    run["pipeline_spec"] = {"pipeline_spec": spec, "platform_spec": platform}
    return run


def _client(url: str, namespace: str) -> Any:  # noqa: ANN401 - kfp ships no types
    """Create a `kfp.Client` without warnings, which asks for the server's health once instead of five times."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a FutureWarning on every construction, kfp 2.17
        import kfp
        from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials
        from urllib3.util import Retry

        class Client(kfp.Client):  # type: ignore[misc] # kfp ships no types
            def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:  # noqa: ANN401, ARG002
                # By default, urllib3 tries four times, so that a host that drops packets costs four timeouts.
                pool = self._healthz_api.api_client.rest_client.pool_manager
                pool.connection_pool_kw["retries"] = Retry(total=0, raise_on_redirect=False)
                timeout = (_CONNECT_SECONDS, _CONNECT_SECONDS)
                return self._healthz_api.healthz_service_get_healthz(_request_timeout=timeout)

        token = os.environ.get("KFP_TOKEN")
        in_notebook = not token and os.environ.get("KF_PIPELINES_SA_TOKEN_PATH")
        return Client(
            host=url,
            namespace=namespace,
            existing_token=token,
            credentials=ServiceAccountTokenVolumeCredentials() if in_notebook else None,
            ssl_ca_cert=os.environ.get("SSL_CERT_FILE"),
        )


def _call(url: str, method: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError

    if getattr(method, "__name__", "").startswith(_GENERATED):
        options.setdefault("_request_timeout", (_CONNECT_SECONDS, _READ_SECONDS))
    try:
        return method(*args, **options)
    except ApiException as error:
        raise _refusal(url, error) from None
    except LocationParseError as error:
        raise ParameterError(
            f"--endpoint must be an address such as http://127.0.0.1:8888. Received: {url}. Correct it."
        ) from error
    except HTTPError as error:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        raise ClusterError(
            f"No Kubeflow Pipelines API answers. Received: {url}: {_cause(reason)}. Check the address and that "
            f"the port-forward still runs (`{_PORT_FORWARD}`)."
        ) from None


def _cause(reason: object) -> str:
    """Return the end of urllib3's message: `Connection refused`, `Name or service not known`, `timed out`."""
    text = str(reason)
    return re.sub(r"^.*?(\[Errno -?\d+\] |: )", "", text).strip() or text


def _refusal(url: str, error: Any) -> ClusterError:  # noqa: ANN401
    """Convert an error of the API to one with a remedy."""
    try:
        said = json.loads(error.body)
        message = str(said.get("message") or said["error_message"])  # the latter from uploads
    except (AttributeError, TypeError, ValueError, KeyError):
        if error.status in {401, 403} or 300 <= error.status < 400:
            where = f" to {error.headers['Location']}" if (error.headers or {}).get("Location") else ""
            return ClusterError(
                f"The endpoint requires a login. Received: {url}: HTTP {error.status}{where}. Set KFP_TOKEN to a valid "
                f"token, or use `{_PORT_FORWARD}` and --endpoint http://127.0.0.1:8888."
            )
        return _not_kubeflow(url)
    if error.status in {401, 403}:
        return ClusterError(
            f"Kubeflow Pipelines must permit the request. Received: HTTP {error.status}: {_first_line(message)}. "
            "Use a token with the necessary rights (variable KFP_TOKEN), or your own namespace (--namespace)."
        )
    if 'unknown field "securityContext"' in message:
        return ClusterError(f"{_TOO_OLD.format(received=url)} It said: {_first_line(message)}.")
    return ClusterError(f"Kubeflow Pipelines refused. Received: HTTP {error.status}: {_first_line(message)}.")


def _first_line(message: str) -> str:
    """Return the first line of a message without KFP's prefix; a Go stack trace follows it."""
    return message.splitlines()[0].removeprefix("Internal error: ").rstrip(". ") if message else "no reason given"


def _not_kubeflow(url: str) -> ClusterError:
    return ClusterError(
        f"--endpoint must be a Kubeflow Pipelines 2 API. Received: {url}, where another server answers. Try "
        f"`{_PORT_FORWARD}` and --endpoint http://127.0.0.1:8888; behind Kubeflow's gateway, the address ends with "
        "/pipeline."
    )


def _serves_pages(client: Any) -> bool:  # noqa: ANN401
    """Return whether the endpoint also serves Kubeflow's UI, which forwards API calls."""
    from urllib3.exceptions import HTTPError

    api = client.healthzs.api_client
    try:
        answer = api.rest_client.pool_manager.request("GET", f"{api.configuration.host}/", timeout=_CONNECT_SECONDS)
    except HTTPError:
        return False
    return answer.status == 200 and "text/html" in answer.headers.get("Content-Type", "")
