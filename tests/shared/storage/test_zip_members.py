import functools
import io
import random
import struct
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.loopback_server import LoopbackServer, QuietHandler
from tilepipe.components.shared.errors import SourceError, TileError
from tilepipe.components.shared.storage import web, zip_members

NOISE = random.Random(0).randbytes(20_000)


@pytest.fixture(autouse=True)
def _nothing_is_remembered():
    zip_members._read_directory.cache_clear()


def zipped(members, *, compression=zipfile.ZIP_DEFLATED, comment=b""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
        archive.comment = comment
    return buffer.getvalue()


@pytest.fixture
def put(tmp_path):
    def write(data):
        path = tmp_path / "tiles.zip"
        path.write_bytes(data)
        return str(path)

    return write


MEMBERS = {"a/1.tif": NOISE, "a/b/ü.tif": b"x" * 100_000, "empty.tif": b"", "folder/": b"", "2.tif": b"12345"}
FILES = {name: content for name, content in MEMBERS.items() if not name.endswith("/")}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"c" * 65_000])
@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh of a self-extracting archive\n"])
def test_members(put, compression, comment, prefix):
    uri = put(prefix + zipped(MEMBERS, compression=compression, comment=comment))
    assert zip_members.member_sizes(uri) == {name: len(content) for name, content in FILES.items()}
    for name, content in FILES.items():
        assert zip_members.read_member(uri, name) == content


def test_zip64(put, monkeypatch):
    """Like archives above 4 GiB or with more than 65,535 members; the limits are lowered only for the writer."""
    with monkeypatch.context() as lowered:
        lowered.setattr(zipfile, "ZIP64_LIMIT", 1_000)
        lowered.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        data = zipped({"first.tif": NOISE[:900], "a/1.tif": NOISE[:500], "2.tif": b"12345"}, compression=0)
    assert b"PK\x06\x06" in data
    assert data.count(struct.pack("<H", 1) + struct.pack("<H", 8)) > 0  # a member's offset in its zip64 field
    uri = put(data)
    assert zip_members.member_sizes(uri) == {"first.tif": 900, "a/1.tif": 500, "2.tif": 5}
    assert zip_members.read_member(uri, "2.tif") == b"12345"


def test_data_descriptors_and_long_local_headers(put):
    """As written by streaming writers and zipalign: sizes after the data, padding only in the local header."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.tif", NOISE)
    assert zip_members.read_member(put(bytes(pipe.data)), "1.tif") == NOISE

    zip_members._read_directory.cache_clear()
    data = bytearray(zipped({"1.tif": NOISE}, compression=0))
    padding = struct.pack("<HH", 0xD935, 30_000) + bytes(30_000)
    struct.pack_into("<H", data, 28, len(padding))
    data[35:35] = padding
    directory = data.index(b"PK\1\2")
    struct.pack_into("<I", data, len(data) - 6, directory)
    assert zip_members.read_member(put(bytes(data)), "1.tif") == NOISE


@pytest.mark.parametrize(
    "name", ["../x.tif", "a/../../x.tif", "/etc/passwd", "C:/x.tif", "c:x.tif", "a\\x.tif", "..", "a/..", "../"]
)
def test_names_that_lead_out(put, name):
    uri = put(zipped({"x.tif": b"1", name: b"2"}))
    for read in (zip_members.member_sizes, lambda uri: zip_members.read_member(uri, "x.tif")):
        with pytest.raises(SourceError, match="below the archive's root") as caught:
            read(uri)
        assert repr(name) in str(caught.value)
        assert uri in str(caught.value)
    with pytest.raises(SourceError, match="below the archive's root"):
        zip_members.read_member(put(zipped({"x.tif": b"1"})), name)


def test_what_is_no_zip(put, tmp_path):
    whole = zipped({f"{number}.tif": NOISE for number in range(20)})
    for data in (b"", b"PK", NOISE, whole[: len(whole) // 2], whole[:-10]):
        zip_members._read_directory.cache_clear()
        with pytest.raises(SourceError, match="must be a whole zip"):
            zip_members.member_sizes(put(data))
    with pytest.raises(SourceError, match="must exist"):
        zip_members.read_member(str(tmp_path / "none.zip"), "x.tif")
    with pytest.raises(SourceError, match=r"must be in its zip. Received: 'x.tif' in .*, which has 1 others"):
        zip_members.read_member(put(zipped({"y.tif": b"1"})), "x.tif")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile's own check, when this writes such a member
def test_two_members_of_one_name(put):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.tif", b"1")
        archive.writestr("x.tif", b"2")
    with pytest.raises(SourceError, match=r"one member per name\. Received: 'x.tif' twice in .*\. Create the archive"):
        zip_members.member_sizes(put(buffer.getvalue()))


def in_directory(data, place, layout, value):
    """A zip with one member, with a field of its directory's entry changed."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.index(b"PK\1\2") + place, value)
    return bytes(changed)


ZEROS = zipped({"x.tif": bytes(1_000_000)})
STORED = zipped({"x.tif": NOISE}, compression=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (in_directory(STORED, 8, "<H", 1), "encrypted"),
        (zipped({"x.tif": NOISE}, compression=zipfile.ZIP_BZIP2), "method 12"),
        (zipped({"x.tif": NOISE}, compression=zipfile.ZIP_LZMA), "method 14"),
        (in_directory(ZEROS, 24, "<I", 1_000), "more than the 1,000 bytes"),
        (in_directory(ZEROS, 24, "<I", 1_000_001), "fewer than the 1,000,001 bytes"),
        (in_directory(ZEROS, 24, "<I", 300_000_000), "it has 287 MiB, where a tile may have 256"),
        (in_directory(STORED, 20, "<I", 1_000_000), "truncated"),
        (in_directory(STORED, 20, "<I", 19_999), "fewer than"),
        (in_directory(STORED, 16, "<I", 1), r"\(CRC\)"),
        (in_directory(STORED, 42, "<I", 7), "leads to something else"),
        (in_directory(STORED, 42, "<I", 1_000_000), "truncated"),
        (in_directory(STORED, 46, "<5s", b"y.tif"), None),
        (STORED.replace(NOISE[50:60], bytes(10)), r"\(CRC\)"),
        (ZEROS.replace(ZEROS[35:45], bytes(10), 1), "damaged within its zip"),
    ],
)
def test_members_that_cannot_be_used(put, data, message):
    if message is None:  # local header and directory name another file
        with pytest.raises(TileError, match="leads to something else"):
            zip_members.read_member(put(data), "y.tif")
        return
    with pytest.raises(TileError, match=message):
        zip_members.read_member(put(data), "x.tif")


def test_one_request_a_member_of_a_large_archive_on_the_web():
    """40 MB with a directory of more than 128 KiB, read by eight threads at once."""
    rng = random.Random(1)
    members = {f"tiles/of/a/set/{number:05}.tif": rng.randbytes(20_000) for number in range(2_000)}
    data, asked = zipped(members, compression=0), []

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
            part = data[first : last + 1]
            asked.append(len(part))
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
            self.end_headers()
            self.wfile.write(part)

    names = list(members)[::40]
    with LoopbackServer(Handler) as server, ThreadPoolExecutor(8) as pool:
        read = list(pool.map(functools.partial(zip_members.read_member, f"{server.url}/tiles.zip"), names))
        web._pool("").clear()
    assert read == [members[name] for name in names]
    assert len(asked) == 3 + len(names)  # size, end, directory
    assert sum(asked) < 600_000 + len(names) * 21_000


def test_a_zip_in_a_bucket(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    name = f"archives-{uuid.uuid4().hex[:8]}"
    data = zipped(MEMBERS)
    bucket = minio_server.make_bucket(name)
    bucket.put_object(Key="set/tiles.zip", Body=data)
    bucket.put_object(Key="set/half.zip", Body=data[: len(data) // 2])
    uri = f"s3://{name}/set/tiles.zip"
    assert zip_members.member_sizes(uri) == {member: len(content) for member, content in FILES.items()}
    assert {member: zip_members.read_member(uri, member) for member in FILES} == FILES
    with pytest.raises(SourceError, match="must be a whole zip"):
        zip_members.member_sizes(f"s3://{name}/set/half.zip")
    with pytest.raises(SourceError, match="must exist"):
        zip_members.member_sizes(f"s3://{name}/set/none.zip")
