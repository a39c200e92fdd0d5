"""The job that creates missing Secrets, with an API server that answers like Kubernetes."""

import http.client
import importlib.util
import json

import pytest
import yaml

from tests.manifests.kustomize import MANIFESTS
from tests.support.loopback_server import LoopbackServer, QuietHandler

INDEX = MANIFESTS / "base" / "secrets" / "secrets.yaml"


@pytest.fixture
def generate():
    path = MANIFESTS / "options" / "generated-secrets" / "generate.py"
    specification = importlib.util.spec_from_file_location("generate_secrets", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def api(generate, tmp_path, monkeypatch):
    """An API server; `api.secrets` are its Secrets, `api.refuse` is the status with which it refuses requests."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = body["metadata"]["name"]
            assert self.path == "/api/v1/namespaces/tiles/secrets"
            assert self.headers["Authorization"] == "Bearer a-token"
            status = server.refuse or (409 if name in server.secrets else 201)
            if status == 201:
                server.secrets[name] = body["stringData"]
            self.send_response(status)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b'{"a": 12}')

    server = LoopbackServer(Handler)
    server.secrets, server.refuse = {}, None
    for name, text in {"token": "a-token", "namespace": "tiles", "ca.crt": ""}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(generate, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(generate.ssl, "create_default_context", lambda cafile: None)
    monkeypatch.setattr(
        generate.http.client, "HTTPSConnection", lambda host, port, timeout, context: plain(host, port, timeout)
    )
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    yield server
    server.close()


def plain(host, port, timeout):
    return http.client.HTTPConnection(host, port, timeout=timeout)


def test_missing_secrets_are_made_with_random_values(generate, api):
    generate.main(INDEX)
    index = yaml.safe_load(INDEX.read_text())
    assert set(api.secrets) == {name for name, entry in index.items() if not entry.get("optional")}
    values = [value for secret in api.secrets.values() for value in secret.values()]
    assert len(set(values)) == len(values)
    for name, secret in api.secrets.items():
        assert {key: len(value) for key, value in secret.items()} == {
            key: settings["length"] for key, settings in index[name]["keys"].items()
        }


def test_what_is_there_stays(generate, api, caplog):
    api.secrets["tilepipe-s3"] = {"AWS_ACCESS_KEY_ID": "mine"}
    caplog.set_level("INFO")
    generate.main(INDEX)
    assert api.secrets["tilepipe-s3"] == {"AWS_ACCESS_KEY_ID": "mine"}
    assert "Secret tilepipe-s3 already exists." in caplog.text


def test_a_refusal_says_where_to_look(generate, api):
    api.refuse = 403
    with pytest.raises(PermissionError, match=r"Received: 403 .* See the Role tilepipe-generate-secrets"):
        generate.main(INDEX)
