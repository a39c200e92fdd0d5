"""Folders of files with one interface: local ones, and prefixes in real S3 servers of several makers."""

import os
import time
import uuid

import pytest

from tests.support.s3_stores import STORES
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.place import Place


@pytest.fixture(params=["folder", *STORES])
def place(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return Place(str(tmp_path / "above" / "files"))
    server = request.getfixturevalue("s3_servers")(request.param)
    server.use(monkeypatch)
    return Place(f"s3://{server.make_bucket(f'place-{uuid.uuid4().hex[:8]}').name}/some/prefix")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "above" / "files"


@pytest.mark.parametrize("durable", [False, True])
def test_files_are_written_read_listed_and_deleted(place, durable):
    assert place.sizes() == {}
    place.write("a", [b"012", memoryview(b"345")], durable=durable)
    place.write("b", [])
    assert place.sizes() == {"a": 6, "b": 0}
    assert (place.read("a"), place.read("b")) == (b"012345", b"")
    place.write("a", [b"replaced"], durable=durable)
    assert place.read("a") == b"replaced"
    place.delete("a")
    place.delete("a")  # no longer there
    assert place.sizes() == {"b": 0}


def test_ranges(place):
    place.write("a", [b"0123456789"])
    assert [place.read("a", 2, 3), place.read("a", 8, 100)] == [b"234", b"89"]


def test_a_missing_file_is_a_source_error(place):
    for read in (lambda: place.read("none"), lambda: place.read("none", 0, 3)):
        with pytest.raises(SourceError, match="none"):
            read()
    place.write("a", [b""])
    with pytest.raises(SourceError, match="none"):
        place.read("none")


@pytest.mark.parametrize("s3_server", [store for store in STORES if store != "seaweedfs"], indirect=True)
def test_a_missing_bucket_is_a_storage_error(s3_server, monkeypatch):
    s3_server.use(monkeypatch)
    place = Place("s3://no-such-bucket-here/x")
    for use in (place.sizes, lambda: place.write("a", [b""])):
        with pytest.raises(StorageError, match="NoSuchBucket"):
            use()


def test_only_regular_files_are_listed_and_read(folder, tmp_path):
    place = Place(str(folder))
    place.write("a", [b"1"])
    (tmp_path / "elsewhere").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "folder").mkdir()
    (folder / ".hidden").write_bytes(b"")
    os.mkfifo(folder / "pipe")
    assert place.sizes() == {"a": 1}
    with pytest.raises(StorageError, match="must be readable"):
        place.read("link")
    with pytest.raises(SourceError, match="must exist"):
        place.read("pipe")
    place.write("link", [b"replaced"])
    assert (tmp_path / "elsewhere").read_bytes() == b"secret"


def test_a_linked_folder_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    place = Place(str(folder))
    for use in (place.sizes, lambda: place.write("a", [b""]), lambda: place.delete("a")):
        with pytest.raises(StorageError):
            use()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_partial_files_are_swept_by_age(folder):
    place = Place(str(folder))
    place.sweep()  # there is no folder yet
    place.write("a", [b"1"])
    old, new = folder / ".partial-old", folder / ".partial-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 4000))
    place.sweep(3600)
    assert (old.exists(), new.exists()) == (False, True)
    place.sweep()
    assert list(folder.iterdir()) == [folder / "a"]


def test_a_failed_write_leaves_nothing(folder):
    place = Place(str(folder))
    place.write("a", [b"1"])
    (folder / "b").mkdir()
    with pytest.raises(StorageError, match=r"must be writable\. Received: .*/files/b: Is a directory"):
        place.write("b", [b"1"])
    assert {path.name for path in folder.iterdir()} == {"a", "b"}


def test_empty_folders_are_removed(place, folder):
    place.write("a", [b"1"])
    place.remove_if_empty()
    assert place.read("a") == b"1"
    place.delete("a")
    place.remove_if_empty()
    assert not folder.parent.exists()


def test_free_space_is_known_for_folders(place, tmp_path):
    place.write("a", [b"1"])
    free = place.free_bytes()
    assert free is None if storage.is_remote(place._address) else free > 0
