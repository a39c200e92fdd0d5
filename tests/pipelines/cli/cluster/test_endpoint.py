"""A pipelines API that is missing, is another server, or is too old is reported within seconds, with a remedy."""

import contextlib
import json
import socket
import time

import pytest

from tests.support.loopback_server import LoopbackServer, QuietHandler
from tilepipe.components.shared.errors import ClusterError, ParameterError
from tilepipe.pipelines.cli.cluster.endpoint import connect, takes_security_contexts
from tilepipe.pipelines.cli.cluster.submit import find_experiment

HEALTHY = {"/apis/v2beta1/healthz": (200, {"multi_user": False, "pipeline_store": "database", "tag_name": "unknown"})}


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """Hide variables and context files of the person who runs the tests."""
    for name in ("KFP_ENDPOINT", "KFP_NAMESPACE", "KFP_TOKEN", "KFP_UI_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))


@contextlib.contextmanager
def serving(answers):
    """An HTTP server; `answers` maps a path to (status, JSON or HTML)."""
    seen = []

    class Handler(QuietHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            login = self.headers.get("Authorization") or self.headers.get("Cookie")
            seen.append((self.command, self.path, login, self.rfile.read(length)))
            status, body = answers.get(self.path, (404, "<html>nothing here</html>"))
            content = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/login")
            self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = do_POST = do_DELETE = answer

    with LoopbackServer(Handler) as server:
        yield server.url, seen


def refused_within(seconds, url, error=ClusterError):
    began = time.monotonic()
    with pytest.raises(error) as caught:
        connect(url)
    assert time.monotonic() - began < seconds
    return str(caught.value)


def test_no_endpoint():
    message = refused_within(2, None, ParameterError)
    assert "Give --endpoint, or set KFP_ENDPOINT" in message
    assert "kubectl port-forward -n kubeflow svc/ml-pipeline" in message


def test_nothing_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        message = refused_within(5, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert "No Kubeflow Pipelines API answers" in message
    assert "Connection refused" in message
    assert "port-forward" in message


def test_something_listens_and_says_nothing():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        message = refused_within(9, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "timed out" in message.lower()


def test_https_where_http_is_spoken():
    with serving(HEALTHY) as (url, _):
        assert "SSL" in refused_within(5, url.replace("http", "https")).upper()


def test_no_address_at_all():
    assert "Received: http://:::" in refused_within(5, "http://:::", ParameterError)


@pytest.mark.parametrize("body", ["<html>hello</html>", {"status": "ok"}, [], ""])
def test_another_server(body):
    with serving({"/apis/v2beta1/healthz": (200, body)}) as (url, _):
        assert "must be a Kubeflow Pipelines 2 API" in refused_within(5, url)


def test_a_server_without_that_path():
    with serving({}) as (url, _):
        assert "another server answers" in refused_within(5, url)


@pytest.mark.parametrize("status", [302, 401, 403])
def test_a_login_is_wanted(status):
    with serving({"/apis/v2beta1/healthz": (status, "<html>log in</html>"), "/login": (200, "<html>")}) as (url, _):
        message = refused_within(5, url)
    assert "requires a login" in message
    assert "KFP_TOKEN" in message
    assert f"HTTP {status}" in message


def test_the_token_is_sent(monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "secret")
    with serving(HEALTHY) as (url, seen):
        kubeflow = connect(url)
    assert {authorization for _, _, authorization, _ in seen} == {"Bearer secret"}
    assert (kubeflow.namespace, kubeflow.multi_user, kubeflow.version) == ("kubeflow", False, "")
    assert kubeflow.api_namespace is None


def test_the_token_of_a_notebook_is_sent(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("of-the-notebook", encoding="utf-8")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    with serving(HEALTHY) as (url, seen):
        connect(url)
    assert seen[0][2] == "Bearer of-the-notebook"


@pytest.mark.parametrize(
    ("context", "sent"),
    [
        ({"client_authentication_cookie": "session=abc"}, "session=abc"),
        (
            {"client_authentication_header_name": "Authorization", "client_authentication_header_value": "Basic abc"},
            "Basic abc",
        ),
    ],
)
def test_the_login_in_kfps_context_file_is_sent(tmp_path, context, sent):
    """As manifests/README.md describes it."""
    (tmp_path / "context.json").write_text(json.dumps({"namespace": "", **context}), encoding="utf-8")
    with serving(HEALTHY) as (url, seen):
        connect(url)
    assert seen[0][2] == sent


def test_endpoint_and_namespace_from_the_environment(monkeypatch, capfd):
    monkeypatch.setenv("KFP_NAMESPACE", "team-a")
    multi_user = {"/apis/v2beta1/healthz": (200, {"multi_user": True, "tag_name": "2.16.1"})}
    with serving(multi_user) as (url, _):
        monkeypatch.setenv("KFP_ENDPOINT", url.removeprefix("http://") + "/")
        kubeflow = connect()
    assert (kubeflow.url, kubeflow.api_namespace, kubeflow.version) == (url, "team-a", "2.16.1")
    assert takes_security_contexts(kubeflow)
    assert capfd.readouterr() == ("", "")  # kfp.Client prints and warns


# Answers of API servers to the probe: 2.17 as recorded; 2.15 makes the same check, but does not know the first field.
ANSWERS = {
    "2.15": 'failed to unmarshal kubernetes config: proto: (line 1:2): unknown field "securityContext"',
    "2.17": 'failed to unmarshal kubernetes config: proto: (line 1:23): unknown field "tilepipe"',
}


@pytest.mark.parametrize("version", ANSWERS)
def test_the_age_of_a_server_that_does_not_know_it(version):
    said = {
        "code": 13,
        "message": f"Internal error: {ANSWERS[version]}\nFailed to compile job\ngithub.com/kubeflow/...",
    }
    with serving({**HEALTHY, "/apis/v2beta1/runs": (500, said)}) as (url, seen):
        kubeflow = connect(url)
        assert takes_security_contexts(kubeflow) is (version == "2.17")
        if version == "2.15":
            with pytest.raises(ClusterError, match=r"2\.16 or later"):
                kubeflow.check_version()
        else:
            kubeflow.check_version()
    sent = json.loads(next(body for method, _, _, body in seen if method == "POST"))
    settings = sent["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert list(settings["exec-probe"]) == ["securityContext", "tilepipe"]  # it names the first unknown field


@pytest.mark.parametrize(("tag", "fits"), [("2.15.0", False), ("v2.16.0", True), ("3.0.0", True), ("2.9.1", False)])
def test_a_server_that_knows_its_version(tag, fits):
    with serving({"/apis/v2beta1/healthz": (200, {"multi_user": False, "tag_name": tag})}) as (url, _):
        assert takes_security_contexts(connect(url)) is fits


def test_a_refusal_is_one_line():
    said = {"code": 5, "message": "Failed to get a run: Run nope not found\ngithub.com/kubeflow/pipelines/...\n\t..."}
    with serving({**HEALTHY, "/apis/v2beta1/runs/nope": (404, said)}) as (url, _):
        kubeflow = connect(url)
        with pytest.raises(ClusterError) as caught:
            kubeflow.call(kubeflow.client.runs.run_service_get_run, "nope")
    assert str(caught.value) == (
        "Kubeflow Pipelines refused. Received: HTTP 404: Failed to get a run: Run nope not found."
    )


def test_the_page_of_a_run(monkeypatch):
    with serving({**HEALTHY, "/": (200, "<html>")}) as (url, _):
        assert connect(url).run_page("id") == f"{url}/#/runs/details/id"
    with serving({**HEALTHY, "/": (404, {})}) as (url, _):
        kubeflow = connect(url)
        assert kubeflow.run_page("id") == ""
        monkeypatch.setenv("KFP_UI_ENDPOINT", "https://pages/")
        assert kubeflow.run_page("id") == "https://pages/#/runs/details/id"


def test_all_pages_of_a_listing_are_read():
    listing = "/apis/v2beta1/experiments?page_token={token}&page_size=100&namespace="
    first = {"experiments": [{"experiment_id": "1", "display_name": "forests"}], "next_page_token": "more"}
    last = {"experiments": [{"experiment_id": "2", "display_name": "lakes"}]}
    pages = {listing.format(token=""): (200, first), listing.format(token="more"): (200, last)}
    with serving(HEALTHY | pages) as (url, seen):
        assert find_experiment(connect(url), "lakes") == "2"
    assert [path for command, path, *_ in seen if "experiments" in path] == list(pages)
