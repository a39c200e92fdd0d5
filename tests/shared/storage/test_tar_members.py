import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import tar_members as module
from tilepipe.components.shared.storage.tar_members import TarMember, tar_members

SUFFIXES = (".png",)
PACKERS = {"": lambda data: data, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
LONG = "a/" + "long" * 60 + "/ü.png"


def tarred(*entries, **options):
    """Return a tar with files, given as name and content, and other entries, given as `TarInfo`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry, io.BytesIO(b"x" * entry.size))
                continue
            name, content = entry
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def entry(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def put(tmp_path):
    def write(data, name="tiles.tar"):
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members(put, suffix, style):
    files = {"./a/1.png": b"1" * 700, LONG: b"22", "a/empty.png": b"", "b/2.txt": b"3" * 512}
    data = tarred(entry("./a", tarfile.DIRTYPE), *files.items(), format=style)
    found = tar_members(put(PACKERS[suffix](data), f"tiles.tar{suffix}"), SUFFIXES)
    assert {name: data[place.offset :][: place.bytes] for name, place in found.items()} == {
        name.removeprefix("./"): content for name, content in files.items()
    }


def test_the_last_of_several_members_of_one_name_counts(put):
    data = tarred(("a/1.png", b"old"), ("a/1.png", b"new!"))
    [(name, place)] = tar_members(put(data), SUFFIXES).items()
    assert (name, data[place.offset :][: place.bytes]) == ("a/1.png", b"new!")


def test_hard_links_are_names_of_the_same_content(put):
    found = tar_members(put(tarred(("a/1.png", b"1"), entry("b/1.png", tarfile.LNKTYPE, "a/1.png"))), SUFFIXES)
    assert found == {"a/1.png": TarMember(512, 1), "b/1.png": TarMember(512, 1)}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_images_that_are_links_or_devices_are_refused(put, kind):
    links = [entry(f"a/1{end}", kind, "../../etc/passwd") for end in (".txt", ".png")]
    with pytest.raises(SourceError, match=r"Received: 1 links or devices in .*'a/1\.png'.*--dereference"):
        tar_members(put(tarred(*links)), SUFFIXES)


@pytest.mark.parametrize("name", ["../1.png", "/1.png", "a/../../1.png", "a\\1.png"])
def test_names_that_lead_out_are_refused(put, name):
    with pytest.raises(SourceError, match="below the archive's root"):
        tar_members(put(tarred((name, b"x"))), SUFFIXES)


@pytest.mark.parametrize("suffix", PACKERS)
def test_truncated_and_damaged_tars_are_refused(put, suffix):
    data = tarred(("a/1.png", b"1" * 5000), ("a/2.png", b"2"), ("a/3.png", b"3"))
    damaged = data[:6700] + b"\xff" * 100 + data[6800:]
    for part in (data[:3000], data[:6144], data[:6400], damaged, b"no tar"):
        with pytest.raises(SourceError, match=r"must be a whole tar.*tiles\.tar.*Copy it again"):
            tar_members(put(PACKERS[suffix](part), f"tiles.tar{suffix}"), SUFFIXES)
    packed = PACKERS[suffix](data)
    with pytest.raises(SourceError, match="must be a whole tar"):
        tar_members(put(packed[: len(packed) // 3], f"tiles.tar{suffix}"), SUFFIXES)


def test_a_bomb_is_refused_before_it_is_unpacked(put, monkeypatch):
    monkeypatch.setattr(module, "_FREE_BYTES", 100_000)
    with pytest.raises(SourceError, match=r"at most 1 GiB and 100 times its size.*Unpack it"):
        tar_members(put(gzip.compress(tarred(("a/1.png", bytes(3_000_000)))), "tiles.tar.gz"), SUFFIXES)


def test_headers_of_any_size_are_not_read_into_memory(put):
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**33
    with pytest.raises(SourceError, match="a header of"):
        tar_members(put(name.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)), SUFFIXES)


def test_a_compressed_tar_must_be_named_so(put):
    with pytest.raises(SourceError, match=r"as in tiles\.tar\.gz.*Rename it"):
        tar_members(put(gzip.compress(tarred(("a/1.png", b"1")))), SUFFIXES)
