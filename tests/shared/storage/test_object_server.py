"""GET requests ahead of time to a real MinIO, with and without TLS, and to servers with unusual answers."""

import contextlib
import datetime
import random
import socket
import ssl
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.minio_server import S3Server, own_server
from tests.support.tls_server import make_certificates
from tests.support.waiting import wait_until
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import (
    curl_connection,
    object_server,
    plain_connection,
    s3,
    s3_session,
    storage,
)
from tilepipe.components.shared.storage.curl_connection import CurlConnection
from tilepipe.components.shared.storage.object_server import ObjectServer, Target
from tilepipe.components.shared.storage.plain_connection import PlainConnection

SECRET = "a-secret-that-must-not-show"
BODY = bytes(range(256)) * 40


@pytest.fixture
def bucket(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    return minio_server.make_bucket(f"plain-{uuid.uuid4().hex[:8]}")


def no_obstore(monkeypatch):
    """Make every read fail that was not requested ahead of time."""
    monkeypatch.setattr(storage.s3, "_locate", None)


def limit_silence(monkeypatch):
    for module in (plain_connection, curl_connection):
        monkeypatch.setattr(module, "_SILENCE_SECONDS", 1)


def read_ahead(uri):
    return storage.prefetch_reader([uri])(uri)


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("empty", 0),
        ("one", 1),
        ("with space+plus&and=#%?.tif", 100),
        ("Grüße/日本/'\"()!*~_-.,:;@$", 5_000),
        ("piece", 1024 * 1024),
        ("more", 3 * 1024 * 1024 + 1),
    ],
)
def test_objects_of_a_real_server(bucket, monkeypatch, key, size):
    content = random.Random(size).randbytes(size)
    bucket.put_object(Key=key, Body=content)
    no_obstore(monkeypatch)
    assert read_ahead(f"s3://{bucket.name}/{key}") == content


def test_only_the_prefetching_reader_requests_ahead(bucket, monkeypatch):
    bucket.put_object(Key="x", Body=BODY)
    monkeypatch.setattr(ObjectServer, "ask", None)
    assert storage.read_bytes(f"s3://{bucket.name}/x") == BODY


def test_a_session_token_is_signed(bucket, minio_server, monkeypatch):
    bucket.put_object(Key="x", Body=BODY)
    given = minio_server.temporary_credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", given["SessionToken"])
    no_obstore(monkeypatch)
    assert read_ahead(f"s3://{bucket.name}/x") == BODY


@pytest.mark.parametrize("token", ["", "of-a-session"])
def test_the_signature_is_botocores(raw, token):
    started = raw(answer())
    server = started.server_of("eu-west-3", token)
    assert server.ask("tiles", "a b.tif").read() == BODY
    lines = started.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /tiles/a%20b.tif HTTP/1.1"
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:-2])}
    stamp = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
    assert abs((datetime.datetime.now(datetime.UTC) - stamp).total_seconds()) < 60
    request = AWSRequest("GET", f"{started.endpoint}/tiles/a%20b.tif")
    request.context["timestamp"] = headers["x-amz-date"]
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    auth = S3SigV4Auth(Credentials("who", SECRET, token or None), "s3", "eu-west-3")
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert headers["authorization"].endswith(f"Signature={signature}")
    assert SECRET not in "".join(lines)


@pytest.mark.parametrize(
    "given",
    [
        {"endpoint": "ftp://store:9000"},
        {"endpoint": "http://user:word@store:9000"},
        {"endpoint": "http://store:9000/below"},
        {"endpoint": "http://store:9000?x"},
        {"endpoint": "http://store:9000#x"},
        {"endpoint": "http://sto re:9000"},
        {"endpoint": "http://store:port"},
        {"endpoint": "http://store:0"},
        {"endpoint": "http://[store"},
        {"endpoint": "http://"},
        {"endpoint": "http://:9000"},
        {"endpoint": "http://store..svc:9000"},
        {"endpoint": f"http://{'s' * 64}:9000"},
        {"endpoint": "nonsense"},
        {"key_id": ""},
        {"secret": ""},
        {"key_id": "who\r\nx-amz-acl:public-read"},
        {"token": "of a session"},
        {"token": "token\n"},
        {"region": "eu west"},
    ],
    ids=str,
)
def test_endpoints_and_keys_that_are_left_to_obstore(given):
    usual = {"endpoint": "http://store:9000", "region": "us-east-1", "key_id": "who", "secret": SECRET, "token": ""}
    assert ObjectServer.at(**usual) is not None
    assert ObjectServer.at(**(usual | given)) is None


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_is_used(raw, monkeypatch, variable):
    proxy = raw(answer())
    monkeypatch.setenv(variable, proxy.endpoint)
    assert ObjectServer.at("http://store:9000", "us-east-1", "who", SECRET).ask("tiles", "x").read() == BODY
    assert proxy.requests[0].startswith(b"GET http://store:9000/tiles/x HTTP/1.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert raw(answer()).server.ask("tiles", "x").read() == BODY
    assert len(proxy.requests) == 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority, and a folder with the key and the certificate of a server on this machine."""
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder)
    return folder


@pytest.fixture
def tls(raw, authority, monkeypatch):
    """Function that makes raw servers use TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "public.crt", authority / "private.key")
    monkeypatch.setattr(Raw, "wrap", lambda self, connection: context.wrap_socket(connection, server_side=True))
    monkeypatch.setattr(Raw, "scheme", "https")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority / "ca.crt"))
    return raw


def test_answers_over_tls(tls, monkeypatch):
    started = tls(*[answer(body=bytes([number])) for number in range(20)])
    S3Server(started.endpoint, "who", SECRET).use(monkeypatch)
    no_obstore(monkeypatch)
    uris = [f"s3://tiles/{number}" for number in range(20)]
    read = storage.prefetch_reader(uris)
    assert len({read(uri) for uri in uris}) == 20
    assert started.connections <= 8


def test_a_certificate_must_be_trusted(tls, monkeypatch):
    started = tls(answer(), answer())
    S3Server(started.endpoint, "who", SECRET).use(monkeypatch)
    monkeypatch.setattr(storage.s3, "MAX_RETRIES", 0)
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(StorageError, match=r"certificate .* must be valid and trusted.*AWS_CA_BUNDLE"):
        read_ahead("s3://tiles/x")
    assert started.requests == []


def test_every_client_trusts_the_bundle(tls, monkeypatch):
    known = b'ETag: "0"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nx: keep\r\n'
    started = tls(*[answer(headers=known)] * 2)
    S3Server(started.endpoint, "who", SECRET).use(monkeypatch)
    assert storage.read_bytes("s3://tiles/x") == BODY
    client = s3_session.connect("s3://tiles", attempts=1)
    assert client.get_object(Bucket="tiles", Key="x")["Body"].read() == BODY


@pytest.mark.parametrize("key", ["", "a//b", "a/../b", "a/./b", "..", "a/"])
def test_keys_that_some_take_for_others(key):
    server = ObjectServer.at("http://127.0.0.1:1", "us-east-1", "who", SECRET)
    assert server.ask("tiles", key) is None


class Raw:
    """Answers each request on a connection with the next of its answers, byte for byte.

    A list it gives slowly, and after None it says no more.
    """

    scheme = "http"
    connection = PlainConnection

    def __init__(self, *answers):
        self.answers, self.connections, self.closed, self.requests = list(answers), 0, 0, []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"{self.scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        self.server = self.server_of("us-east-1")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def server_of(self, region, token=""):
        target = Target(self.endpoint, region, "who", SECRET, token)
        return ObjectServer(lambda: self.connection(target))

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def wrap(self, connection):
        return connection

    def _talk(self, connection):
        with contextlib.suppress(OSError), self.wrap(connection) as connection:
            while request := connection.recv(65536):
                self.requests.append(request)
                answer = self.answers.pop(0)
                if answer is None:
                    connection.recv(1)  # until the other side gives up
                    return
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    connection.sendall(piece)
                    time.sleep(0 if piece is answer else 0.2)
                if b"keep" not in answer:
                    break
        self.closed += 1

    def wait_for(self, happened):
        wait_until(happened)

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture(params=[PlainConnection, CurlConnection])
def raw(request, monkeypatch):
    """Function that starts a raw server, to which its `server` connects in each of the two ways."""
    monkeypatch.setattr(Raw, "connection", request.param)
    servers = []

    def start(*answers):
        servers.append(Raw(*answers))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


def answer(status=b"200 OK", version=b"HTTP/1.1", length=-1, headers=b"x: keep\r\n", body=BODY):
    stated = b"" if length is None else b"Content-Length: %d\r\n" % (len(body) if length < 0 else length)
    return version + b" " + status + b"\r\n" + headers + stated + b"\r\n" + body


@pytest.mark.parametrize(
    "given",
    [
        answer(status=b"404 Not Found"),
        answer(status=b"206 Partial Content"),
        answer(status=b"503 Slow Down"),
        answer(status=b"301 Moved", headers=b"Location: http://169.254.169.254/\r\n"),
        answer(length=None),
        answer(length=len(BODY) + 1, headers=b""),
        answer(length=10**14, headers=b""),
        answer(length=10**20, headers=b""),
        answer(headers=b"Transfer-Encoding: chunked\r\n"),
        answer(headers=b"Content-Length: 5\r\n"),
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 20_000,
        b"\0" * 100,
    ],
    ids=lambda given: given[:60],
)
def test_answers_that_are_left_to_obstore(raw, monkeypatch, given):
    limit_silence(monkeypatch)  # for the one that states no length, and does not end
    monkeypatch.setattr(object_server, "_FIRST_PAUSE_SECONDS", 0)
    server = raw(given, answer()).server
    assert server.ask("tiles", "x").read() is None
    # The failed answer does not affect the next one, which has a connection of its own.
    assert server.ask("tiles", "x").read() == BODY


@pytest.mark.parametrize("given", [answer(version=b"HTTP/1.0"), answer(headers=b"Connection: close\r\n")])
def test_an_answer_that_ends_its_connection(raw, given):
    started = raw(given, answer())
    if Raw.connection is PlainConnection:  # left to obstore
        assert started.server.ask("tiles", "x").read() is None
        return
    assert started.server.ask("tiles", "x").read() == BODY
    assert started.server.ask("tiles", "x").read() == BODY
    assert started.connections == 2


def test_silence_has_a_limit(raw, monkeypatch):
    limit_silence(monkeypatch)
    assert raw(None).server.ask("tiles", "x").read() is None
    started = time.monotonic()
    drops = [answer()[: -len(BODY)], *(bytes([number]) for number in BODY)]
    assert raw(drops).server.ask("tiles", "x").read() is None
    assert time.monotonic() - started < 5


class Clock:
    """Replaces the module `time`: its monotonic clock can be set ahead."""

    ahead_seconds = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead_seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(object_server, "time", clock)
    return clock


def test_a_server_that_fails_is_not_asked_for_a_while(raw, monkeypatch, clock):
    monkeypatch.setattr(object_server, "_FIRST_PAUSE_SECONDS", 100)
    server = raw(b"nonsense", b"nonsense", answer(), answer()).server
    for pauses in (1, 2):  # the second time it is longer
        assert server.ask("tiles", "x").read() is None
        for _ in range(pauses):
            assert server.ask("tiles", "x") is None
            clock.ahead_seconds += 120
    for _ in range(2):
        assert server.ask("tiles", "x").read() == BODY


def test_no_thread_waits_for_a_failing_server(raw):
    server = raw(None, None).server
    first, second = server.ask("tiles", "x"), server.ask("tiles", "y")
    server._pause()  # as another thread does
    started = time.monotonic()
    assert first.read() is second.read() is None
    assert time.monotonic() - started < 1


def test_what_is_missing_is_no_failure_of_the_server(raw):
    server = raw(answer(status=b"404 Not Found"), answer()).server
    assert server.ask("tiles", "x").read() is None
    assert server.ask("tiles", "y").read() == BODY


def test_a_server_that_is_away_is_asked_once():
    tried = []

    def connect():
        tried.append("once")
        return PlainConnection(Target("http://127.0.0.1:1", "us-east-1", "who", SECRET))

    server = ObjectServer(connect)
    assert [server.ask("tiles", "x") for _ in range(50)] == [None] * 50
    assert tried == ["once"]


def test_connections_have_a_bound(raw, monkeypatch):
    monkeypatch.setattr(object_server, "_MOST_CONNECTIONS", 3)
    server = raw(*[answer()] * 10).server
    asked = [server.ask("tiles", "x") for _ in range(5)]
    assert asked[3:] == [None, None]
    assert asked[0].read() == BODY
    assert server.ask("tiles", "x").read() == BODY  # on the one that is free again
    del asked[1:]  # two that are never read
    assert [server.ask("tiles", "x").read() for _ in range(3)] == [BODY] * 3


def test_a_connection_is_not_kept_for_long(raw, clock):
    started = raw(*[answer()] * 3)
    for idle_seconds in (0, object_server._IDLE_SECONDS + 1, 0):
        assert started.server.ask("tiles", "x").read() == BODY
        clock.ahead_seconds += idle_seconds
    assert started.connections == 2


def test_a_connection_is_kept(raw):
    started = raw(*[answer(body=bytes([number])) for number in range(20)])
    for number in range(20):
        assert started.server.ask("tiles", "x").read() == bytes([number])
    assert started.connections == 1
    assert len(started.requests) == 20


def test_surplus_bytes_do_not_reach_the_next_request(raw):
    started = raw(answer(body=b"first") + answer(body=b"wrong"), answer(body=b"second"))
    assert started.server.ask("tiles", "x").read() == b"first"
    assert started.server.ask("tiles", "y").read() == b"second"
    assert started.connections == 2


def test_a_connection_that_was_closed_is_not_asked(raw):
    started = raw(*[answer(headers=b"", body=bytes([number])) for number in range(3)])
    for number in range(3):
        assert started.server.ask("tiles", "x").read() == bytes([number])
        started.wait_for(lambda number=number: started.closed > number)
    assert (started.connections, len(started.requests)) == (3, 3)


def test_an_unread_answer_does_not_reach_the_next_request(raw):
    started = raw(answer(body=b"0"), answer(body=b"1"), answer(body=b"2"))
    assert started.server.ask("tiles", "x").read() == b"0"
    started.server.ask("tiles", "first")  # at once, on the connection that is there
    started.wait_for(lambda: len(started.requests) == 2)
    assert started.server.ask("tiles", "second").read() == b"2"
    assert started.connections == 2


def test_only_a_few_are_asked_for_ahead(raw, monkeypatch):
    numbers = range(30)
    started = raw(*[answer(body=b"x") for _ in numbers])
    S3Server(started.endpoint, "who", SECRET).use(monkeypatch)
    no_obstore(monkeypatch)
    read = storage.prefetch_reader(
        f"s3://tiles/{number // 2}" for number in numbers
    )  # each twice: asked for once at a time
    for number in range(10):
        assert read(f"s3://tiles/{number}") == b"x"
    assert 10 < len(started.requests) <= 18
    assert started.connections <= 9


def test_what_is_left_out_makes_room_for_what_follows(raw, monkeypatch):
    started = raw(*[answer(body=b"x")] * 60)
    S3Server(started.endpoint, "who", SECRET).use(monkeypatch)
    no_obstore(monkeypatch)
    reader = storage.s3.PrefetchingReader(f"s3://tiles/{number}" for number in range(40))
    for number in (0, 6, 7, 13):
        assert reader.read(f"s3://tiles/{number}") == b"x"
    assert list(reader._answers) == [f"s3://tiles/{number}" for number in range(14, 22)]


def test_what_has_no_stated_length_is_asked_for_once_more_and_no_oftener(raw, monkeypatch):
    known = b'ETag: "0"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nConnection: close\r\n'
    started = raw(*[answer(headers=known)] * 30)
    S3Server(started.endpoint, "who", SECRET).use(monkeypatch)
    read = storage.prefetch_reader(f"s3://tiles/{number}" for number in range(20))
    assert [read(f"s3://tiles/{number}") for number in range(20)] == [BODY] * 20
    assert len(started.requests) <= 28  # eight were requested before the first answer arrived


def test_a_server_that_was_away(tmp_path, monkeypatch):
    with own_server(tmp_path / "minio") as server:
        server.use(monkeypatch)
        server.make_bucket("tiles").put_object(Key="x", Body=BODY)
        assert read_ahead("s3://tiles/x") == BODY
    with own_server(tmp_path / "minio", int(server.endpoint.rsplit(":", 1)[1])):
        assert read_ahead("s3://tiles/x") == BODY


def test_many_threads_get_what_they_asked_for(bucket, monkeypatch):
    contents = {f"s3://{bucket.name}/{number}": random.Random(number).randbytes(1000 + number) for number in range(60)}
    for uri, content in contents.items():
        storage.s3.write_bytes(uri, content)
    no_obstore(monkeypatch)

    def check(seed):
        chosen = random.Random(seed).sample(sorted(contents), 8)
        read = storage.prefetch_reader(chosen)
        for uri in random.Random(-seed).sample(chosen, 7):  # in another order, and one is never read
            assert read(uri) == contents[uri]
        return len(chosen)

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(check, range(300))) == 2400


def test_what_is_asked_for_and_is_not_there(bucket, tmp_path):
    bucket.put_object(Key="x", Body=BODY)
    (tmp_path / "y").write_bytes(b"local")
    there, missing = f"s3://{bucket.name}/x", f"s3://{bucket.name}/none"
    read = storage.prefetch_reader([missing, there, str(tmp_path / "y")])
    with pytest.raises(SourceError, match="must exist"):
        read(missing)
    assert read(there) == BODY
    assert read(there) == BODY  # read once more, with a new request
    assert read(str(tmp_path / "y")) == b"local"


def test_where_libcurl_cannot_be_loaded_objects_are_read_all_the_same(bucket, monkeypatch, caplog):
    bucket.put_object(Key="x", Body=BODY)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "tilepipe.components.shared.storage.curl_connection", None)  # its import fails
    s3._open_server.cache_clear()
    try:
        monkeypatch.setattr(s3, "read_bytes", lambda *_: BODY)  # obstore would use the proxy, too
        assert read_ahead(f"s3://{bucket.name}/x") == BODY
    finally:
        s3._open_server.cache_clear()
    assert "objects are not read ahead, since libcurl cannot be loaded" in caplog.text
