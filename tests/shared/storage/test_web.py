"""Reads from real servers on this machine, each with the answers of the test."""

import logging

import pytest

from tests.support.loopback_server import LoopbackServer, QuietHandler
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage import web as web_module

SECRET = "a-secret-that-must-not-show"
BODY = bytes(range(256)) * 40


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def status(code, body=b"", **headers):
    return lambda handler: handler.answer(code, body, **headers)


def whole(handler):
    """As a server that knows no ranges."""
    handler.answer(200, BODY)


def ranged(handler):
    stated = handler.headers.get("Range")
    if stated is None:
        whole(handler)
        return
    first, last = (int(part) for part in stated.removeprefix("bytes=").split("-"))
    part = BODY[first : last + 1]
    if not part:
        handler.answer(416, Content_Range=f"bytes */{len(BODY)}")
        return
    handler.answer(206, part, Content_Range=f"bytes {first}-{first + len(part) - 1}/{len(BODY)}")


def another_range(handler):
    handler.answer(206, BODY[:10], Content_Range=f"bytes 0-9/{len(BODY)}")


def cut_off(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(BODY)))
    handler.end_headers()
    handler.wfile.write(BODY[:100])
    handler.close_connection = True


def without_length(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(BODY)
    handler.close_connection = True


@pytest.fixture
def web():
    """Function that starts servers; each gives its answers in turn, and repeats the last one."""
    servers = []

    def start(*answers):
        server = LoopbackServer(_Handler)
        server.answers, server.requests = list(answers), []
        servers.append(server)
        return server

    yield start
    web_module._pool("").clear()
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(web_module, "_FIRST_PAUSE_SECONDS", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://Example.ORG", "https://example.org"),
        ("HTTPS://example.org:443/", "https://example.org"),
        ("http://example.org:8080/a/./b/../c.tif", "http://example.org:8080/a/c.tif"),
        ("https://example.org/a b%2Fc%7e%zz.tif#part", "https://example.org/a%20b%2Fc~%25zz.tif"),
        ("https://example.org/x.tif?sig=a%2Bb&se=1 2", "https://example.org/x.tif?sig=a%2Bb&se=1%202"),
        ("https://example.org/a//b/%c3%bc/ü", "https://example.org/a//b/%C3%BC/%C3%BC"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
    ],
)
def test_normalize(address, expected):
    assert storage.normalize(address) == expected
    assert storage.normalize(expected) == expected
    assert storage.is_remote(expected)
    assert storage.is_web(expected)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://", "must be https://host/path"),
        ("https:///x", "must be https://host/path"),
        ("https://example.org:port/x", "must be https://host/path"),
        ("https://exa mple.org/x", "must be https://host/path"),
        ("https://[::1/x", "must be https://host/path"),
        (f"https://user:{SECRET}@example.org/x", "without a user or a password"),
        ("https://example.org\\@evil.org/x", "backslashes"),
        ("https://example.org/x\r\nHost: y", "control characters"),
        ("https://example.org/../x", "lead out of its host"),
        ("https://example.org/%2e%2E/x", "lead out of its host"),
        ("https://example.org/a/..%2f..%2fx", "hide `..`"),
        ("https://example.org/a/..%5cx", "hide `..`"),
    ],
)
def test_addresses_that_are_refused(address, message):
    with pytest.raises(SourceError, match=message) as caught:
        storage.normalize(address)
    assert SECRET not in str(caught.value)


def test_parent_and_join():
    assert storage.parent("https://example.org/a/catalog.json?token=x") == "https://example.org/a"
    assert storage.parent("https://example.org") == "https://example.org"
    folder = "https://example.org/a/b"
    assert storage.join(folder, "../x.tif?sig=1") == "https://example.org/a/x.tif?sig=1"
    assert storage.join(folder, "/x.tif") == "https://example.org/x.tif"
    assert storage.join(folder, "//other.org/x.tif") == "https://other.org/x.tif"
    with pytest.raises(SourceError, match="lead out of its host"):
        storage.join(folder, "../../../x")


def test_reading(web, tmp_path):
    url = f"{web(ranged).url}/a%20b/x.tif"
    assert storage.is_file(url)
    assert storage.size(url) == len(BODY)
    assert storage.read_bytes(url) == BODY
    assert storage.read_range(url, 300, 500) == BODY[300:800]
    assert storage.read_range(url, len(BODY) - 1, 1) == BODY[-1:]
    with storage.staged(f"{url}?sig={SECRET}") as path:
        assert path.name == "x.tif"
        assert path.read_bytes() == BODY
    assert not path.exists()
    with pytest.raises(SourceError, match="web servers list nothing"):
        list(storage.list_files(url))


def test_nothing_but_the_request_is_sent(web, monkeypatch, tmp_path):
    """Neither credentials of S3 are sent, nor those that requests and curl would take from a .netrc."""
    (tmp_path / ".netrc").write_text(f"default login somebody password {SECRET}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    server = web(ranged)
    storage.read_bytes(f"{server.url}/x.tif?sig=1")
    ((path, headers),) = server.requests
    assert path == "/x.tif?sig=1"
    assert set(headers) == {"host", "user-agent", "accept-encoding"}


@pytest.mark.parametrize(("offset", "length"), [(len(BODY) - 2, 3), (len(BODY), 1), (len(BODY) + 5, 1)])
@pytest.mark.parametrize("answer", [ranged, whole])
def test_a_range_that_leads_out_of_its_file(web, answer, offset, length):
    with pytest.raises(SourceError, match="must lie within its file"):
        storage.read_range(f"{web(answer).url}/x", offset, length)


def test_a_server_without_ranges(web, monkeypatch):
    url = f"{web(whole).url}/x"
    assert storage.size(url) == len(BODY)
    assert storage.read_range(url, 300, 500) == BODY[300:800]
    monkeypatch.setattr(web_module, "_MAX_SKIPPED_BYTES", 799)
    with pytest.raises(StorageError, match="must send ranges of large files"):
        storage.read_range(url, 300, 500)


def test_a_server_that_sends_another_range(web):
    with pytest.raises(StorageError, match=r"must send the requested range. Received: .*bytes 0-9/"):
        storage.read_range(f"{web(another_range).url}/x", 300, 10)


def test_a_server_that_states_no_length(web):
    url = f"{web(without_length).url}/x"
    assert storage.read_bytes(url) == BODY
    with pytest.raises(StorageError, match="must state a file's size"):
        storage.size(url)


@pytest.mark.parametrize("code", [404, 410])
def test_what_is_not_there(web, code):
    url = f"{web(status(code)).url}/x"
    assert not storage.is_file(url)
    with pytest.raises(SourceError, match=f"must exist.*{code}"):
        storage.read_bytes(url)
    with pytest.raises(SourceError, match="must exist"), storage.staged(url):
        pass


@pytest.mark.parametrize("code", [401, 403])
def test_what_is_refused(web, code, caplog):
    caplog.set_level(logging.INFO)
    server = web(status(code, f"{SECRET} is wrong".encode()))
    with pytest.raises(
        StorageError, match=rf"without credentials, or with a token. Received: .*/x\?\.\.\., .*{code}"
    ) as caught:
        storage.read_bytes(f"{server.url}/x?sig={SECRET}")
    assert SECRET not in str(caught.value) + caplog.text
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [403, 409])
def test_the_reason_of_a_signed_store_is_shown(web, code):
    body = f"<Error><Code>AuthenticationFailed</Code><Message>sig={SECRET} has expired</Message></Error>".encode()
    server = web(status(code, body))
    with pytest.raises(StorageError, match=rf"{code}.*: AuthenticationFailed sig=\*\*\* has expired\.") as caught:
        storage.read_bytes(f"{server.url}/x?sig={SECRET}")
    assert SECRET not in str(caught.value)


def test_a_token_goes_to_its_own_host_alone(web, monkeypatch):
    other = web(whole)
    home = web(status(302, Location=f"{other.url}/x"))
    host = home.url.removeprefix("http://")
    monkeypatch.setenv("TILEPIPE_WEB_TOKENS", f"data.example.org=other {host}={SECRET}")
    assert storage.read_bytes(f"{home.url}/x") == BODY
    assert home.requests[0][1]["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in other.requests[0][1]


def test_a_refused_token_is_not_shown(web, monkeypatch):
    server = web(status(403, f"the bearer {SECRET} has expired".encode()))
    monkeypatch.setenv("TILEPIPE_WEB_TOKENS", f"{server.url.removeprefix('http://')}={SECRET}")
    with pytest.raises(StorageError, match=r"the bearer \*\*\* has expired.*TILEPIPE_WEB_TOKENS") as caught:
        storage.read_bytes(f"{server.url}/x")
    assert SECRET not in str(caught.value)


def test_a_server_that_recovers_is_asked_again(web, tmp_path):
    server = web(status(500), cut_off, status(429, Retry_After="0"), ranged)
    with storage.staged(f"{server.url}/x.bin") as path:
        assert path.read_bytes() == BODY  # and not 100 bytes more
    assert len(server.requests) == 4


def test_a_server_that_does_not_recover_is_given_up(web, monkeypatch):
    monkeypatch.setattr(web_module, "MAX_RETRIES", 2)
    server = web(status(503))
    with pytest.raises(StorageError, match=r"reachable. Received: .* after 2 retries: status 503"):
        storage.read_bytes(f"{server.url}/x")
    assert len(server.requests) == 3
    patient = web(status(503, Retry_After="3600"))
    with pytest.raises(StorageError, match="after 0 retries"):
        storage.read_bytes(f"{patient.url}/x")


def test_no_server_at_all(monkeypatch):
    monkeypatch.setattr(web_module, "MAX_RETRIES", 1)
    with pytest.raises(StorageError, match=r"must be reachable.*NewConnectionError") as caught:
        storage.read_bytes(f"http://127.0.0.1:1/x?sig={SECRET}")
    assert SECRET not in str(caught.value)


def test_a_redirect_forwards_no_secrets(web):
    other = web(ranged)
    first = web(status(302, Location=f"{other.url}/moved", Set_Cookie=f"session={SECRET}"))
    assert storage.read_range(f"{first.url}/x?sig={SECRET}", 10, 5) == BODY[10:15]
    ((path, headers),) = other.requests
    assert path == "/moved"
    assert headers.pop("range") == "bytes=10-14"
    assert set(headers) == {"host", "user-agent", "accept-encoding"}
    assert SECRET not in str(headers)


def test_redirects_that_lead_nowhere(web):
    with pytest.raises(StorageError, match="within 5 redirects"):
        storage.read_bytes(f"{web(status(301, Location='/again')).url}/x")
    with pytest.raises(StorageError, match="must lead to the web"):
        storage.read_bytes(f"{web(status(301, Location='file:///etc/passwd')).url}/x")


@pytest.mark.parametrize(
    ("here", "there", "message"),
    [
        ("https://93.184.215.14/x", "http://93.184.215.14/x", "https:// again"),
        ("http://93.184.215.14/x", "http://169.254.169.254/latest/meta-data", "a public host"),
        ("http://93.184.215.14/x", "http://10.0.0.1/x", "a public host"),
        ("http://93.184.215.14/x", "//127.0.0.1:9000/x", "a public host"),
        ("http://93.184.215.14/x", "http://[::ffff:127.0.0.1]/x", "a public host"),
    ],
)
def test_redirects_that_are_refused(here, there, message):
    with pytest.raises(StorageError, match=message):
        web_module._followed(here, there)


def test_redirects_that_are_followed():
    assert web_module._followed("https://93.184.215.14/a/x", "../y") == "https://93.184.215.14/y"
    assert web_module._followed("http://93.184.215.14/x", "https://1.1.1.1/y") == "https://1.1.1.1/y"
    assert web_module._followed("http://10.0.0.1/x", "http://10.0.0.2/y") == "http://10.0.0.2/y"


def test_a_proxy(web, monkeypatch):
    """The proxy gets the user of the environment; the host itself is never resolved here."""
    proxy = web(ranged)
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//us%40er:word@"))
    monkeypatch.setenv("no_proxy", "localhost")
    assert storage.read_bytes("http://tiles.example/x") == BODY
    ((path, headers),) = proxy.requests
    assert path == "http://tiles.example/x"
    assert headers["proxy-authorization"] == "Basic dXNAZXI6d29yZA=="


@pytest.mark.parametrize("variable", ["all_proxy", "ALL_PROXY"])
def test_a_proxy_for_all_schemes(web, monkeypatch, variable):
    proxy = web(ranged)
    monkeypatch.setenv(variable, proxy.url.removeprefix("http://"))
    assert storage.read_bytes("http://tiles.example/x") == BODY
    assert [path for path, _ in proxy.requests] == ["http://tiles.example/x"]


def test_a_proxy_that_is_no_web_server(monkeypatch):
    monkeypatch.setenv("all_proxy", f"socks5://user:{SECRET}@127.0.0.1:1080")
    with pytest.raises(StorageError, match=r"must be http.*Received: socks5://127\.0\.0\.1:1080\..*NO_PROXY") as caught:
        storage.read_bytes("http://tiles.example/x")
    assert SECRET not in str(caught.value)
