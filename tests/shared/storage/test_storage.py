import logging
import os
import uuid
from datetime import timedelta

import pytest

from tests.support.loopback_server import LoopbackServer, QuietHandler
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import s3, s3_session, storage

SECRET = "a-secret-that-must-not-show"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # no credentials of the person who runs the tests
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in (*s3_session.SETTINGS, *s3_session.OTHER_CREDENTIALS):
        monkeypatch.delenv(name, raising=False)
    s3._open_store.cache_clear()
    s3._session.cache_clear()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/data/tiles", "/data/tiles"),
        ("/data/../etc/./x", "/etc/x"),
        ("file:///data/a%20b.tif", "/data/a b.tif"),
        ("file://localhost/data", "/data"),
        ("FILE:///data", "/data"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a//b/../c/", "s3://bucket/a/c"),
        ("s3://bucket/a b.tif", "s3://bucket/a b.tif"),
    ],
)
def test_normalize(address, expected):
    assert storage.normalize(address) == expected


def test_a_relative_path_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.normalize("tiles/x.tif") == str(tmp_path / "tiles" / "x.tif")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gs://bucket/x", r"local path, file://, s3://, https:// or http://. Received: gs://bucket/x"),
        ("s3://Bad_Bucket/x", "lower-case letters, digits"),
        ("s3://bucket/../other", "lead out of its bucket"),
        ("file://elsewhere/x", "to this machine"),
        ("/data/\0x", "null character"),
    ],
)
def test_addresses_that_are_refused(address, message):
    with pytest.raises(SourceError, match=message):
        storage.normalize(address)


def test_the_scheme_of_kfps_own_store_is_s3():
    assert storage.from_artifact("minio://mlpipeline/v2/artifacts/a b") == "s3://mlpipeline/v2/artifacts/a b"
    assert storage.from_artifact("s3://bucket/v2/") == "s3://bucket/v2"
    assert storage.from_artifact("/s3/bucket/../other") == "/s3/other"


def test_parent_and_join():
    assert storage.parent("/data/x/catalog.json") == "/data/x"
    assert storage.parent("s3://bucket/x/catalog.json") == "s3://bucket/x"
    assert storage.parent("s3://bucket/catalog.json") == "s3://bucket"
    assert storage.join("s3://bucket/x", "../y/z.tif") == "s3://bucket/y/z.tif"
    with pytest.raises(SourceError, match="out of its bucket"):
        storage.join("s3://bucket/x", "../../y")


def test_local_files(tmp_path):
    file = tmp_path / "x.bin"
    file.write_bytes(b"abc")
    assert storage.read_bytes(str(file)) == b"abc"
    assert storage.is_file(str(file))
    assert not storage.is_file(str(tmp_path))
    with storage.staged(str(file)) as path:
        assert path == file
    with pytest.raises(SourceError, match="must exist"):
        storage.read_bytes(str(tmp_path / "y.bin"))
    with pytest.raises(SourceError, match="must exist"), storage.staged(str(tmp_path)):
        pass
    with pytest.raises(StorageError, match="Is a directory"):
        storage.read_bytes(str(tmp_path))


def test_ranges_of_local_files(tmp_path):
    file = tmp_path / "x.bin"
    file.write_bytes(b"0123456789")
    assert storage.size(str(file)) == 10
    assert storage.read_range(str(file), 3, 4) == b"3456"
    assert storage.read_range(str(file), 9, 1) == b"9"
    assert storage.read_range(str(file), 10, 0) == b""
    with pytest.raises(SourceError, match=r"Received: 4 bytes from 8 of .*x.bin, which has only 2 there"):
        storage.read_range(str(file), 8, 4)
    with pytest.raises(SourceError, match="non-negative offset and length"):
        storage.read_range(str(file), -1, 4)
    for read in (storage.size, lambda uri: storage.read_range(uri, 0, 1)):
        with pytest.raises(SourceError, match="must exist"):
            read(str(tmp_path / "none"))


def test_list_files_of_a_folder(tmp_path, caplog):
    for name in ("a/1.tif", "a/deep/2.tif", "b/3.tif", ".hidden/4.tif", "a/.5.tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    (tmp_path / "a" / "dangling.tif").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    for name in ("c", "0"):  # both names of a folder count, in whichever order the disk lists them
        (tmp_path / name).symlink_to(tmp_path / "b")
    found = sorted(storage.list_files(str(tmp_path)), key=lambda file: file.name)
    assert [file.name for file in found] == ["0/3.tif", "a/1.tif", "a/deep/2.tif", "b/3.tif", "c/3.tif"]
    assert "skipped 1 links to files that do not exist, such as a/dangling.tif" in caplog.text
    assert found[1].uri == str(tmp_path / "a" / "1.tif")
    assert {file.bytes for file in found} == {5}
    with pytest.raises(SourceError, match="folder must exist"):
        list(storage.list_files(str(tmp_path / "none")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(StorageError, match="must be readable"):
        list(storage.list_files(str(tmp_path)))


class _Server(LoopbackServer):
    """Answers each request with the next of its answers, and keeps the last one."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []
        super().__init__(_Handler)


class _Handler(QuietHandler):
    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    servers = []

    def start(*answers):
        server = _Server(*answers)
        servers.append(server)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        return server

    yield start
    for each in servers:
        each.close()


def test_a_server_that_recovers_is_asked_again(server):
    started = server((503, b"busy"), (500, b"oh"), (200, b"pixels"))
    assert storage.read_bytes("s3://bucket/x.tif") == b"pixels"
    assert len(started.requests) == 3


def test_a_server_that_does_not_recover_is_given_up(server, monkeypatch):
    monkeypatch.setattr(s3, "MAX_RETRIES", 1)
    started = server((503, b"<Error><Code>SlowDown</Code></Error>"))
    with pytest.raises(StorageError, match=r"must be ready.*: s3://bucket/x.tif \(SlowDown at .*after 2 att"):
        storage.read_bytes("s3://bucket/x.tif")
    assert len(started.requests) == 2


def test_no_server_at_all(monkeypatch):
    monkeypatch.setattr(s3, "MAX_RETRIES", 0)
    monkeypatch.setattr(s3, "RETRY_TIMEOUT", timedelta(seconds=1))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:1")
    with pytest.raises(StorageError, match="must be reachable") as caught:
        storage.read_bytes("s3://bucket/x.tif")
    assert SECRET not in str(caught.value)
    assert "AWS_ENDPOINT_URL" in str(caught.value)


def test_refused_credentials(server, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    body = f"<Error><Code>AccessDenied</Code><Message>{SECRET} is wrong</Message></Error>".encode()
    started = server((403, body))
    with pytest.raises(StorageError, match=r"must permit.*AccessDenied at .*AWS_SECRET_ACCESS") as caught:
        storage.read_bytes("s3://bucket/x.tif")
    assert "AWS4-HMAC" in started.requests[0][1]["authorization"]
    assert SECRET not in str(caught.value) + caplog.text
    with pytest.raises(StorageError, match="AccessDenied at http"):
        list(storage.list_files("s3://bucket/x"))


def test_without_credentials_requests_are_anonymous(server):
    started = server((200, b"public"))
    assert storage.read_bytes("s3://bucket/x.tif") == b"public"
    path, headers = started.requests[0]
    assert path == "/bucket/x.tif"  # path style
    assert "authorization" not in {name.lower() for name in headers}


def test_credentials_of_a_profile(server, monkeypatch, tmp_path):
    (tmp_path / ".aws").mkdir()
    keys = f"aws_access_key_id = of-the-profile\naws_secret_access_key = {SECRET}\n"
    (tmp_path / ".aws" / "credentials").write_text(f"[work]\n{keys}")
    started = server((200, b"mine"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert storage.read_bytes("s3://bucket/x.tif") == b"mine"
    assert "Credential=of-the-profile/" in started.requests[0][1]["authorization"]
    monkeypatch.setenv("AWS_PROFILE", "home")
    with pytest.raises(StorageError, match=r"The config profile \(home\) could not be found"):
        storage.read_bytes("s3://bucket/x.tif")


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://127.0.0.1", "http://"])
def test_an_endpoint_that_is_none(monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL must be http"):
        storage.read_bytes("s3://bucket/x.tif")


def test_settings_that_are_there_and_empty(server, monkeypatch):
    """Empty variables, as from a Secret with empty fields, count as unset."""
    started = server((200, b"pixels"))
    for name in s3_session.SETTINGS:
        if name != "AWS_ENDPOINT_URL":
            monkeypatch.setenv(name, "")
    assert storage.read_bytes("s3://bucket/a b#?%.tif") == b"pixels"
    assert started.requests[0][0] == "/bucket/a%20b%23%3F%25.tif"


def test_plain_http_is_for_endpoints_that_say_so(monkeypatch):
    monkeypatch.setattr(s3, "MAX_RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1")
    with pytest.raises(StorageError, match="must be reachable"):
        storage.read_bytes("s3://bucket/x.tif")


def test_a_real_server(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    name = f"storage-{uuid.uuid4().hex[:8]}"
    bucket = minio_server.make_bucket(name)
    bucket.put_object(Key="set/a/1.tif", Body=b"12345")
    bucket.put_object(Key="set/a/with space.tif", Body=b"1")
    bucket.put_object(Key="set/.hidden/x.tif", Body=b"1")
    bucket.put_object(Key="settee/b/2.tif", Body=b"1")
    root = f"s3://{name}/set"
    found = sorted(storage.list_files(root), key=lambda file: file.name)
    assert [(file.name, file.bytes) for file in found] == [("a/1.tif", 5), ("a/with space.tif", 1)]
    assert storage.read_bytes(found[1].uri) == b"1"
    assert storage.is_file(found[0].uri)
    assert not storage.is_file(f"{root}/none")
    assert storage.size(found[0].uri) == 5
    assert storage.read_range(found[0].uri, 1, 3) == b"234"
    for offset in (3, 5, 9):
        with pytest.raises(SourceError, match="must lie within its"):
            storage.read_range(found[0].uri, offset, 3)
    with storage.staged(found[0].uri) as path:
        assert path.read_bytes() == b"12345"
    assert not path.exists()
    for missing in (f"{root}/none", f"s3://{name}-none/x"):
        with pytest.raises(SourceError, match="must exist"):
            storage.read_bytes(missing)
    with pytest.raises(SourceError, match="NoSuchBucket"):
        list(storage.list_files(f"s3://{name}-none/x"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(StorageError, match="SignatureDoesNotMatch") as caught:
        storage.read_bytes(found[0].uri)
    assert SECRET not in str(caught.value)
