"""Members of local and remote tars, plain or compressed as a whole with gzip, bzip2 or xz.

A tar has no directory, so it is read from its start to its end, without a copy on disk; of a plain local one only the
headers. The headers are parsed by the standard library. A tar is not trusted: its names, types and sizes are checked
before they are used. Format: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tilepipe.components.shared.errors import SourceError, TilepipeError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.sizes import MEBIBYTE
from tilepipe.components.shared.storage.zip_members import RangeFile, check_member

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PACKED_SUFFIXES = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz")
"""Suffixes of compressed files, in lower case."""

MAX_RATIO = 100
"""Largest ratio of the sizes of a decompressed and a compressed file, beyond the first GiB."""

DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
"""Errors of decompressing a damaged file; bzip2 raises OSError."""

_FREE_BYTES = 1024 * MEBIBYTE
_BLOCK_BYTES = 4 * MEBIBYTE
"""Bytes of a remote file per request."""
_MAX_HEADER_BYTES = MEBIBYTE
"""Largest header, which is read into memory at once: names are in headers of their own if they are long."""
_HEADER_BYTES = 512
_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_ZEROS = bytes(_HEADER_BYTES)


@dataclass(frozen=True, slots=True)
class TarMember:
    """Position of a file in a tar."""

    offset: int
    """Offset of its content in the decompressed tar."""
    bytes: int


def tar_members(uri: str, suffixes: tuple[str, ...]) -> dict[str, TarMember]:
    """Return the position of every file in a tar; of several with one name the last, as on unpacking.

    Args:
        uri: a normalized address.
        suffixes: suffixes of the files that are used, in lower case, which must not be symbolic links or devices.

    Returns:
        Position by path within the tar, without a leading `./`.

    Raises:
        SourceError: there is no such file, it is not a tar, it is truncated or damaged, decompresses to far more than
            its size, a name leads out of it, or a file is a link.
        StorageError: the disk or the store cannot be reached, or refuses.
    """
    shown = storage.shown(uri)
    members: dict[str, TarMember] = {}
    links: list[str] = []
    with open_file(uri) as file:
        packed = _opener(file) is not None
        if packed and not storage.path_of(uri).lower().endswith(PACKED_SUFFIXES):
            raise SourceError(
                f"The name of a compressed tar must state the compression, as in tiles.tar.gz. Received: {shown}. "
                "Rename it."
            )
        headers = _Forward(decompressed(file), largest_size(storage.size(uri)) if packed else 0, shown)
        try:
            # typeshed asks for methods that writing needs
            with tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="strict") as archive:  # type: ignore[call-overload]
                while (entry := archive.next()) is not None:
                    archive.members.clear()  # else an object for each of a million files
                    name = entry.name.removeprefix("./")
                    if entry.isdir() or not name:
                        continue
                    check_member(name, shown)
                    first = members.get(entry.linkname.removeprefix("./")) if entry.islnk() else None
                    if first is not None:  # another name of a file that the tar holds once
                        members[name] = first
                    elif entry.isfile() and not entry.issparse():
                        members[name] = TarMember(entry.offset_data, entry.size)
                    elif name.lower().endswith(suffixes):
                        links.append(name)
        except TilepipeError:  # some are OSErrors
            raise
        except (*DAMAGED, tarfile.TarError, UnicodeDecodeError, OverflowError, ValueError, OSError) as error:
            raise _damaged(shown, f"{type(error).__name__}: {error}") from None
        if headers.last_header != _ZEROS:  # tarfile takes any damaged header but the first for the end
            raise _damaged(shown, f"no end after {len(members):,} files")
    if links:
        raise SourceError(
            f"The images in a tar must be files. Received: {len(links):,} links or devices in {shown}, such as "
            f"{links[0]!r}. Create the archive again with the files that the links lead to: tar --dereference."
        )
    return members


def open_file(uri: str) -> IO[bytes]:
    """Open a file at a normalized address for reading from any place; a remote file is read by ranges of 4 MiB.

    Raises:
        SourceError: there is no such file.
        StorageError: the disk or the store cannot be reached, or refuses.
    """
    if not storage.is_remote(uri):
        storage.size(uri)  # raises with the reason
        return Path(uri).open("rb")
    return io.BufferedReader(_RemoteFile(uri, storage.size(uri)), _BLOCK_BYTES)


def decompressed(file: IO[bytes]) -> IO[bytes]:
    """Return a reader of the decompressed content of a file, open at its start; the file itself if it is plain."""
    opener = _opener(file)
    return opener(file) if opener else file


def largest_size(packed_bytes: int) -> int:
    """Return the largest size to which a compressed file of some size may decompress."""
    return _FREE_BYTES + MAX_RATIO * packed_bytes


def check_decompressed(size: int, most: int, shown: str) -> None:
    """Check that a file does not decompress to far more than its own size, which would fill the disk.

    Raises:
        SourceError: if it does.
    """
    if size > most:
        raise SourceError(
            f"A compressed file must decompress to at most 1 GiB and {MAX_RATIO} times its size. Received: {shown}, "
            f"which has more than {most:,} bytes. Unpack it, and give the address of the folder."
        )


def _opener(file: IO[bytes]) -> Callable[[IO[bytes]], Any] | None:
    start = file.read(8)
    file.seek(0)
    return next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)


def _damaged(shown: str, reason: str) -> SourceError:
    return SourceError(
        f"An archive must be a whole tar with names in UTF-8. Received: {shown} ({reason}). Copy it again."
    )


class _RemoteFile(RangeFile):
    """A remote file, of which each buffer is filled by a range."""

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._place))
        view[:length] = storage.read_range(self._uri, self._place, length)
        self._place += length
        return length


class _Forward:
    """A tar as `tarfile` reads headers: only forwards, and a limited number of bytes at a time."""

    def __init__(self, file: IO[bytes], most: int, shown: str) -> None:
        self._file, self._most, self._shown, self._place = file, most, shown, 0
        self.last_header = b""

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> None:
        self._check(place)
        self._place = self._file.seek(place)

    def read(self, size: int) -> bytes:
        if size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self._check(self._place + size)
        data = self._file.read(size)
        self._place += len(data)
        if size == _HEADER_BYTES:
            self.last_header = data
        return data

    def _check(self, place: int) -> None:
        if self._most:
            check_decompressed(place, self._most, self._shown)
