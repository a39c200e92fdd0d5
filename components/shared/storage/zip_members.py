"""Members of local and remote zips: the directory is read once, then each member with one request for its bytes.

The directory is parsed by the standard library. Format:
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. A zip is not trusted: its names, sizes and positions are
checked before they are used.
"""

import functools
import io
import re
import struct
import threading
import zipfile
import zlib
from dataclasses import dataclass

from tilepipe.components.shared.errors import SourceError, TileError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.sizes import MAX_BYTES, check_size

MAX_DIRECTORY_BYTES = 256 * 1024 * 1024

_TAIL_BYTES = 128 * 1024
"""Read at once: the end record and its comment of up to 64 KiB, and the whole directory of a small archive."""
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 0x1 | 0x40
_UTF8 = 0x800
# Room for alignment and time stamps, which only local headers have; if it is not enough, there is one more request.
_EXTRA_ALLOWANCE = 256


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int
    raw_name: bytes
    extra_bytes: int
    compressed_bytes: int
    bytes: int
    crc: int
    method: int
    flags: int


@dataclass(frozen=True)
class _Directory:
    size: int
    members: dict[str, _Member]


def check_member(name: str, where: str) -> str:
    """Check that a member's name is a path below the archive's root.

    Args:
        name: the path within the archive.
        where: the archive or the source that names the member, for the message.

    Returns:
        The name.

    Raises:
        SourceError: it is empty, absolute, or leads out of the archive.
    """
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or re.match(r"/|[A-Za-z]:", name) or ".." in parts:
        raise SourceError(
            "A member of an archive must be named by a path below the archive's root, with forward slashes. "
            f"Received: {name!r} in {where}. Create the archive again with such names."
        )
    return name


def member_sizes(uri: str) -> dict[str, int]:
    """Return the unpacked size in bytes of every file in a zip at a normalized address, by path within the zip.

    Raises:
        SourceError: there is no such file, it is not a zip, it is truncated, or a name leads out of it.
        StorageError: the disk or the store cannot be reached, or refuses.
    """
    return {name: member.bytes for name, member in _directory(uri).members.items()}


def read_member(uri: str, member: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Read one file of a zip; safe to call from many threads.

    Args:
        uri: a normalized address of the zip.
        member: path within it.
        max_bytes: largest size of the member. Defaults to `MAX_BYTES`.

    Returns:
        The content, unpacked; its size and CRC are what the zip states.

    Raises:
        SourceError: there is no such file, it is not a zip, or has no such member.
        TileError: the member is damaged, encrypted, too large or packed in a way that is not read.
        StorageError: the disk or the store cannot be reached, or refuses.
    """
    check_member(member, storage.shown(uri))
    directory = _directory(uri)
    found = directory.members.get(member)
    if found is None:
        raise SourceError(
            f"A member must be in its zip. Received: {member!r} in {storage.shown(uri)}, which has "
            f"{len(directory.members):,} others."
        )
    if found.flags & _ENCRYPTED:
        raise TileError("it is encrypted within its zip")
    if found.method not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise TileError(f"it is packed in its zip by method {found.method}, where 0 (stored) and 8 (deflate) are read")
    check_size(max(found.bytes, found.compressed_bytes), max_bytes)
    return _unpacked(found, _packed(uri, found, directory.size))


def _packed(uri: str, member: _Member, archive_bytes: int) -> bytes:
    """Read the packed bytes of a member, after its local header, whose length is stated only there."""
    expected = _LOCAL_HEADER.size + len(member.raw_name) + member.extra_bytes + _EXTRA_ALLOWANCE
    length = min(expected + member.compressed_bytes, archive_bytes - member.offset)
    if member.offset < 0 or length < _LOCAL_HEADER.size + member.compressed_bytes:
        raise TileError("its zip is truncated")
    data = storage.read_range(uri, member.offset, length)
    signature, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(data)
    name = data[_LOCAL_HEADER.size :][:name_bytes]
    if signature != b"PK\3\4" or name != member.raw_name:
        raise TileError("its zip's directory leads to something else")
    start = _LOCAL_HEADER.size + name_bytes + extra_bytes
    end = start + member.compressed_bytes
    if member.offset + end > archive_bytes:
        raise TileError("its zip is truncated")
    if end > length:
        data += storage.read_range(uri, member.offset + length, end - length)
    return data[start:end]


def _unpacked(member: _Member, packed: bytes) -> bytes:
    if member.method == zipfile.ZIP_STORED:
        data, is_whole = packed, True
    else:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # At most one byte more than the stated size, however large the unpacked data would be.
            data = unpacker.decompress(packed, member.bytes + 1)
        except zlib.error as error:
            raise TileError(f"it is damaged within its zip ({error})") from None
        is_whole = unpacker.eof
    if len(data) > member.bytes:
        raise TileError(f"it unpacks to more than the {member.bytes:,} bytes that its zip states")
    if not is_whole or len(data) < member.bytes:
        raise TileError(f"it unpacks to fewer than the {member.bytes:,} bytes that its zip states")
    if zlib.crc32(data) != member.crc:
        raise TileError("it is damaged within its zip (CRC)")
    return data


def _directory(uri: str) -> _Directory:
    with _lock(uri):  # threads that want the same directory wait for the one that reads it
        return _read_directory(uri)


@functools.lru_cache(maxsize=256)
def _lock(uri: str) -> threading.Lock:  # noqa: ARG001 - one for each
    return threading.Lock()


@functools.lru_cache(maxsize=32)
def _read_directory(uri: str) -> _Directory:
    rule, where = "An archive must be a whole zip", storage.shown(uri)
    size = storage.size(uri)
    try:
        with zipfile.ZipFile(_DirectoryFile(uri, size)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise SourceError(f"{rule}. Received: {where} with {size:,} bytes ({error}). Copy it again.") from None
    members: dict[str, _Member] = {}
    for entry in entries:
        check_member(entry.orig_filename, where)
        if entry.is_dir():
            continue
        if entry.filename in members:
            raise SourceError(
                f"{rule} with one member per name. Received: {entry.filename!r} twice in {where}. Create the archive "
                "again with each name once."
            )
        raw_name = entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437")
        members[check_member(entry.filename, where)] = _Member(
            entry.header_offset,
            raw_name,
            len(entry.extra),
            entry.compress_size,
            entry.file_size,
            entry.CRC,
            entry.compress_type,
            entry.flag_bits,
        )
    return _Directory(size, members)


class RangeFile(io.RawIOBase):
    """Place in a file at an address of which ranges are read; subclasses read.

    Args:
        uri: a normalized address.
        size: size of the file in bytes.
    """

    def __init__(self, uri: str, size: int) -> None:
        self._uri, self._size, self._place = uri, size, 0

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the place, which may be beyond the end.

        Raises:
            ValueError: it would be before the start.
        """
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if place < 0:
            raise ValueError("it leads to a place before its start")
        self._place = place
        return place


class _DirectoryFile(RangeFile):
    """A zip as `zipfile` reads directories: each read a range, the end read once."""

    def __init__(self, uri: str, size: int) -> None:
        super().__init__(uri, size)
        self._tail_start = max(0, size - _TAIL_BYTES)
        self._tail = storage.read_range(uri, self._tail_start, size - self._tail_start)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self._place)
        length = left if size is None or size < 0 else min(size, left)
        if length > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its directory claims {length:,} bytes")
        start = self._place
        self._place += length
        if start >= self._tail_start:
            return self._tail[start - self._tail_start :][:length]
        return storage.read_range(self._uri, start, length)
