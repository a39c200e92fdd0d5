"""A real STAC API for tests, and a proxy in front of it that can require credentials, fail and change answers.

The API is stac-fastapi over GeoParquet with the items of tilepipe's sample. Its requirements conflict with those of
MLflow, so it has a virtual environment of its own, which is created once and kept in the user's cache.
"""

import http.client
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.environments import EnvironmentFailedError, python_with
from tests.support.loopback_server import LoopbackServer, QuietHandler
from tests.support.servers import free_ports, running

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "stac_server_requirements.txt"
SAMPLE, OTHER = "tilepipe-synthetic-sample", "other"
TILES_PER_CLASS = 12
TILES = "https://tiles.test/"
"""Stated address of the items' assets."""


@dataclass
class Gate:
    """A proxy between ingest and the API that records all requests."""

    url: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path with query, and headers in lower case."""
    demanded: str = ""
    """Required value of Authorization; other requests are refused."""
    failures: list[int | str] = field(default_factory=list)
    """Outcome of each of the next requests: a status, `reset`, or `cut` for half an answer."""
    refuse: Callable[[str, str], int | None] | None = None
    """Function of path and body that returns the status with which a request is refused."""
    change: Callable[[str, dict], object] | None = None
    """Function of the path and the JSON of an answer that changes it in place, or returns a replacement."""

    def searches(self):
        return [path for method, path, _ in self.requests if path.startswith("/search")]


@pytest.fixture(scope="session")
def stac_api(tmp_path_factory):
    """Address of a real STAC API, for the whole session."""
    python = _environment()
    folder = tmp_path_factory.mktemp("stac-api")
    collections = _fill(folder)
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [python, HERE / "stac_server_app.py", collections, str(port)]
    with running(command, f"{address}/collections", folder, "the STAC API", cwd=folder):
        yield address


@pytest.fixture
def gate(stac_api):
    """A proxy in front of the API, which forwards all requests unless the test configures it."""
    gate = Gate()
    with LoopbackServer(_handler(gate, urlsplit(stac_api).port)) as server:
        gate.url = server.url
        yield gate


def sample_items(folder):
    """Return the sample's items as the API has them: with assets on the web, a group, and a number for queries."""
    from tilepipe.pipelines.cli.sample.sample import write_sample

    write_sample(folder, tiles_per_class=TILES_PER_CLASS, processes=1)
    items = []
    for path in sorted((folder / "items").rglob("*.json")):
        item = json.loads(path.read_text())
        asset = item["assets"]["image"]
        asset["href"] = TILES + asset["href"].removeprefix("../../")
        item["assets"]["preview"] = {"href": asset["href"] + ".png", "type": "image/png", "roles": ["thumbnail"]}
        item["links"] = []
        number = int(item["id"].rpartition("_")[2])
        item["properties"] |= {"scene": f"scene-{number % 5}", "cloud": number * 2}
        items.append(item)
    return items, json.loads((folder / "collection.json").read_text())


def _fill(folder: Path) -> Path:
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    items, collection = sample_items(folder / "sample")
    others = [{**item, "id": f"other-{item['id']}", "collection": OTHER} for item in items[:20]]
    listed = []
    for name, content in ((SAMPLE, items), (OTHER, others)):
        path = folder / f"{name}.parquet"
        to_parquet(parse_stac_items_to_arrow(content), path)
        asset = {"href": str(path), "type": "application/vnd.apache.parquet"}
        listed.append({**collection, "id": name, "links": [], "assets": {"data": asset}})
    (folder / "collections.json").write_text(json.dumps(listed))
    return folder / "collections.json"


def _environment() -> Path:
    """Return the Python of the API's environment, which is created if it is missing."""
    try:
        return python_with("stac-api", REQUIREMENTS, "--no-deps")
    except EnvironmentFailedError as error:
        pytest.skip(f"no STAC API: its environment cannot be made here: {error}")


def _handler(gate: Gate, port: int) -> type[QuietHandler]:
    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._pass("GET")

        def do_POST(self):
            self._pass("POST")

        def _pass(self, method):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            gate.requests.append((method, self.path, {name.lower(): value for name, value in self.headers.items()}))
            failure = gate.failures.pop(0) if gate.failures else None
            if gate.refuse and not failure:
                failure = gate.refuse(self.path, body.decode())
            if failure == "reset":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if isinstance(failure, int):
                self._answer(failure, b'{"description": "the gate is closed"}')
                return
            sent = self.headers.get("authorization", "")
            if gate.demanded and sent != gate.demanded:
                self._answer(403 if sent else 401, f"not with {sent!r}".encode())
                return
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
            upstream.request(method, self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if gate.change and answer.status == 200:
                document = json.loads(content)
                instead = gate.change(self.path, document)
                if isinstance(instead, tuple):  # a redirect
                    self._answer(instead[0], b"", {"Location": instead[1]})
                    return
                content = instead if isinstance(instead, bytes) else json.dumps(document).encode()
            self._answer(answer.status, content, half=failure == "cut")

        def _answer(self, status, content, headers=None, half=False):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if half else content)
            self.close_connection = half

    return Handler
