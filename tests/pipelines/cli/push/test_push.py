"""Pushes to real S3 servers."""

import os
import signal
import subprocess
import sys
import time
import uuid

import boto3
import pytest
from rich.console import Console

from tests.support.s3_stores import STORES, minio_server, s3_server, s3_servers
from tests.support.waiting import wait_until_unchanged
from tilepipe.components.shared.errors import ParameterError, SourceError, StorageError
from tilepipe.components.shared.storage import storage
from tilepipe.pipelines.cli import app
from tilepipe.pipelines.cli.push import push, push_display

__all__ = ["minio_server", "s3_server", "s3_servers"]

one_store = pytest.mark.parametrize("s3_server", STORES[:1], indirect=True)

HIDDEN = r"must appear in listings.*object s3://{0}/{1}, which"
REFUSED = r"must not lie below another object.*s3://{0}/{1}/\S+ \(ObjectParentIsFile"
"""Keys below another key: MinIO hides them, versitygw refuses them, SeaweedFS lists them."""

SECRET = "a-secret-that-must-not-show"


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """Name of a bucket that does not exist."""
    s3_server.use(monkeypatch)
    return f"push-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def s3(s3_server, bucket):
    return boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for name in ("a.tif", "a/1.tif", "a/2 ü.tif", "b/catalog.json", ".hidden/x", "empty.tif"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"" if name == "empty.tif" else name.encode() * 100)
    return root


def do_push(folder, address):
    progress = []
    done = push.push(folder, address, lambda files, size: progress.append((files, size)))
    return done, progress


def contents(uri):
    return {file.name: storage.read_bytes(file.uri) for file in storage.list_files(uri)}


def on_disk(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".hidden" not in path.parts
    }


def test_a_folder_into_a_new_bucket(folder, bucket, s3):
    total = push.survey(folder)
    assert (total.files, total.left_out) == (5, (".hidden",))
    done, progress = do_push(folder, f"s3://{bucket}/sets/one/")
    assert (done.uploaded, done.skipped, done.is_new_bucket) == (5, 0, True)
    assert done.uri == f"s3://{bucket}/sets/one"
    assert contents(done.uri) == on_disk(folder)
    assert (sum(files for files, _ in progress), sum(size for _, size in progress)) == (5, total.bytes)
    assert done.uploaded_bytes == total.bytes
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}
    assert tags["created-by"] == "tilepipe"
    head = s3.head_object(Bucket=bucket, Key="sets/one/a.tif")
    assert head["ContentType"] == "image/tiff"
    assert len(head["Metadata"]["sha256"]) == 64
    assert len(done.notes) == len(set(done.notes))
    for note in done.notes:  # each with the server's own answer: MinIO has no block of public access, and no KMS
        assert "its server answers" in note


def test_what_is_there_is_skipped_and_what_changed_is_not(folder, bucket, s3):
    do_push(folder, f"s3://{bucket}/set")
    done, progress = do_push(folder, f"s3://{bucket}/set")
    assert (done.uploaded, done.skipped, done.is_new_bucket, len(progress)) == (0, 5, False, 5)
    assert done.notes == []
    before = (folder / "a.tif").read_bytes()
    (folder / "a.tif").write_bytes(before[::-1])  # of the same size
    (folder / "a" / "3.tif").write_bytes(b"new")
    done, _ = do_push(folder, f"s3://{bucket}/set")
    assert (done.uploaded, done.skipped) == (2, 4)
    assert contents(f"s3://{bucket}/set") == on_disk(folder)
    versions = s3.list_object_versions(Bucket=bucket, Prefix="set/a.tif")["Versions"]
    assert len(versions) == 2


def test_large_files_go_in_parts(tmp_path, bucket, s3, monkeypatch):
    monkeypatch.setattr(push, "_MULTIPART_BYTES", 6 * 1024 * 1024)
    monkeypatch.setattr(push, "_PART_BYTES", 5 * 1024 * 1024)
    data = bytearray(os.urandom(12 * 1024 * 1024))
    (tmp_path / "set").mkdir()
    file = tmp_path / "set" / "tiles.zip"
    file.write_bytes(data)
    assert do_push(tmp_path / "set", f"s3://{bucket}")[0].uploaded == 1
    assert s3.head_object(Bucket=bucket, Key="tiles.zip")["ETag"].strip('"').endswith("-3")
    assert storage.read_bytes(f"s3://{bucket}/tiles.zip") == data
    assert do_push(tmp_path / "set", f"s3://{bucket}")[0].skipped == 1
    data[0] ^= 1
    file.write_bytes(data)
    assert do_push(tmp_path / "set", f"s3://{bucket}")[0].uploaded == 1
    assert storage.read_bytes(f"s3://{bucket}/tiles.zip") == data


def test_more_files_than_a_page_of_the_listing(tmp_path, bucket, monkeypatch):
    monkeypatch.setattr(push, "_PAGE_KEYS", 10)
    for number in range(105):
        (tmp_path / f"{number}.tif").write_bytes(str(number).encode())
    assert do_push(tmp_path, f"s3://{bucket}/set")[0].uploaded == 105
    (tmp_path / "77.tif").unlink()
    (tmp_path / "77-new.tif").write_bytes(b"x")
    done, _ = do_push(tmp_path, f"s3://{bucket}/set")
    assert (done.uploaded, done.skipped) == (1, 104)


@one_store
def test_a_push_that_was_killed_is_resumed(tmp_path, bucket, s3):
    root = tmp_path / "set"
    root.mkdir()
    for number in range(600):
        (root / f"{number:04}.tif").write_bytes(os.urandom(2_000))
    code = "import sys; from pathlib import Path; from tilepipe.pipelines.cli.push.push import push; "
    code += "push(Path(sys.argv[1]), sys.argv[2], lambda files, size: print(files, flush=True))"
    with subprocess.Popen([sys.executable, "-c", code, root, f"s3://{bucket}/set"], stdout=subprocess.PIPE) as process:
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    there = wait_until_unchanged(lambda: len(list(storage.list_files(f"s3://{bucket}/set"))))
    assert 50 <= there < 600
    done, _ = do_push(root, f"s3://{bucket}/set")
    assert (done.skipped, done.uploaded) == (there, 600 - there)
    assert contents(f"s3://{bucket}/set") == on_disk(root)


def test_a_bucket_that_was_there_stays_as_it_is(folder, bucket, s3):
    s3.create_bucket(Bucket=bucket)
    done, _ = do_push(folder, f"s3://{bucket}/set")
    assert not done.is_new_bucket
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    (note,) = done.notes
    assert "keeps no versions" in note


@pytest.mark.parametrize("key", ["sets/one", "sets/one/b"])
def test_an_object_with_the_name_of_a_folder(request, folder, bucket, s3, key):
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    for _ in range(2):  # pushed again, nothing more is listed
        if request.node.callspec.params["s3_server"] == "seaweedfs":  # which lists both
            do_push(folder, f"s3://{bucket}/sets/one")
            break
        with pytest.raises(StorageError, match=f"{HIDDEN}|{REFUSED}".format(bucket, key)):
            do_push(folder, f"s3://{bucket}/sets/one")
    s3.delete_object(Bucket=bucket, Key=key)
    do_push(folder, f"s3://{bucket}/sets/one")
    assert contents(f"s3://{bucket}/sets/one") == on_disk(folder)


@pytest.mark.parametrize("s3_server", [store for store in STORES if store != "seaweedfs"], indirect=True)
def test_a_prefix_that_is_hidden_is_found_out_at_once(tmp_path, bucket, s3):
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="set", Body=b"x")
    for number in range(300):
        (tmp_path / f"{number}.tif").write_bytes(b"x")
    progress = []
    with pytest.raises(StorageError, match=f"{HIDDEN}|{REFUSED}".format(bucket, "set")):
        push.push(tmp_path, f"s3://{bucket}/set", lambda files, size: progress.append(files))
    assert progress == []


def test_wrong_credentials(folder, bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(StorageError, match=r"must permit the request.*AWS_SECRET_ACCESS_KEY.*PutObject") as caught:
        do_push(folder, f"s3://{bucket}/set")
    assert SECRET not in str(caught.value)


@one_store
def test_no_credentials(folder, bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    with pytest.raises(StorageError, match="S3 needs complete credentials"):
        do_push(folder, f"s3://{bucket}/set")


@one_store
def test_an_unreachable_server(folder, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"must be reachable.*at http://127.0.0.1:1\)") as caught:
        do_push(folder, f"s3://{bucket}/set")
    assert time.monotonic() - began < 10
    assert SECRET not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL must be"):
        do_push(folder, f"s3://{bucket}/set")


@pytest.mark.parametrize("address", ["bucket/prefix", "https://example.org/x", "s3://", "s3://Bad_Name/x", "s3://b/.."])
def test_bad_addresses(folder, address):
    with pytest.raises(ParameterError, match="Received: "):
        push.target(address)


def test_folders_without_files(tmp_path):
    with pytest.raises(SourceError, match=r"must have files.*none\."):
        push.survey(tmp_path)
    (tmp_path / ".hidden").write_bytes(b"x")
    with pytest.raises(SourceError, match="none but 1 that are left out"):
        push.survey(tmp_path)


@one_store
def test_keys_that_are_too_long(tmp_path, bucket):
    (tmp_path / "x.tif").write_bytes(b"x")
    with pytest.raises(SourceError, match="1024 bytes at most"):
        do_push(tmp_path, f"s3://{bucket}/{'x' * 1020}")


@one_store
def test_the_command_line(folder, bucket, monkeypatch, capfd):
    def run(*words):
        monkeypatch.setattr("sys.argv", ["tilepipe", "push", *map(str, words)])
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code or 0
        return code, *capfd.readouterr()

    code, out, err = run(folder, f"s3://{bucket}/set")
    assert code == 0, err
    assert "bucket created, 5 files uploaded" in out
    assert "left out (hidden, or not a file): .hidden" in out
    assert out.splitlines()[-1] == f"data_source=s3://{bucket}/set"
    assert "0 files uploaded" in run(folder, f"s3://{bucket}/set")[1]
    for words in ((folder / "none", f"s3://{bucket}/set"), (folder, "nowhere")):
        code, out, err = run(*words)
        assert code == 2
        assert "error: " in err
        assert "Traceback" not in err


def test_the_data_source_of_a_prefix_with_spaces_can_be_pasted(capsys):
    push_display.summary(Console(), push.Total(1, 2, ()), push.Pushed("s3://tiles/my set", is_new_bucket=False))
    assert capsys.readouterr().out.splitlines()[-1] == "data_source='s3://tiles/my set'"
