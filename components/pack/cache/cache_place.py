"""Where a cache's segments lie: a local folder (a disk, a PVC) or a prefix in S3, behind the same four functions.

A segment appears whole or not at all: a folder gets it by renaming, S3 by one PUT.
"""

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import s3, storage

FOLDER = "tilepipe-cache-v1"
"""Below the address that a user gives, so that it may hold other things; another format gets another name."""

_SEGMENT = re.compile(r"[0-9a-f]{32}\.segment")
_NOTE = (
    b"Tiles that tilepipe's pack step has fetched, so that it need not fetch them again.\n"
    b"All of it, or any file of it, may be deleted while no pack runs.\n"
)
_STALE_SECONDS = 3600
_PARTIAL = ".partial-"


class Place(Protocol):
    """A folder or prefix that holds segments; all functions may be called from many threads and processes."""

    def segments(self) -> Iterator[tuple[str, int]]:
        """Name and size of each segment; nothing else that may lie there."""
        ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Some bytes of a segment; fewer where it ends before.

        Raises:
            SourceError: there is no such segment, or it ends before `offset`.
            StorageError: it cannot be read.
        """
        ...

    def write(self, name: str, parts: Sequence[bytes]) -> None:
        """Make a segment, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


def open_place(address: str) -> Place:
    """Open a cache's place, making it where it is missing, and see that it can be written.

    Args:
        address: a local folder, or `s3://bucket/prefix`.

    Returns:
        The place.

    Raises:
        ParameterError: the address is neither.
        StorageError: nothing can be written there.
    """
    base = storage.normalise_place("cache", address)
    try:
        place: Place = Bucket(f"{base}/{FOLDER}") if base.startswith("s3://") else Folder(Path(base) / FOLDER)
        place.write("README.txt", [_NOTE])
    except (StorageError, SourceError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StorageError(
            f"The cache must be writable. Received: cache={address!r}, which gives: {said.rstrip('.')}. "
            "Give another address in the options of pack, or leave it empty to go without."
        ) from None
    return place


class Folder:
    """A local folder. Links are not followed, neither to the folder nor in it.

    Args:
        folder: made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._sweep()

    def segments(self) -> Iterator[tuple[str, int]]:
        """Name and size of each segment."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if _SEGMENT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield entry.name, entry.stat(follow_symlinks=False).st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Some bytes of a segment."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(name, flags, dir_fd=self._folder)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise SourceError(f"A segment must be a file. Received: {name}.")
                return _pread(file, offset, length)
            finally:
                os.close(file)
        except FileNotFoundError:
            raise SourceError(f"A segment must exist to be read. Received: {name}.") from None
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"A segment must be readable. Received: {name}: {error.strerror}.") from error

    def write(self, name: str, parts: Sequence[bytes]) -> None:
        """Make a segment."""
        partial = f"{_PARTIAL}{os.getpid()}-{time.monotonic_ns()}-{name}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            try:
                with open(os.open(partial, flags, 0o644, dir_fd=self._folder), "wb", buffering=0) as file:  # noqa: PTH123
                    for part in parts:  # one `writev` of all takes five times the system's time on ext4
                        _write_all(file.fileno(), part)
                os.rename(partial, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(partial, dir_fd=self._folder)
                raise
        except OSError as error:
            raise StorageError(f"A segment must be writable. Received: {error.strerror}.") from error

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)

    def _sweep(self) -> None:
        """Take away what writers that were killed have left; one that writes now has touched its file just now."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(_PARTIAL) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):  # another process sweeps too
                        if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                            os.unlink(entry.name, dir_fd=self._folder)


class Bucket:
    """A prefix in S3.

    Args:
        prefix: its normalised address.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def segments(self) -> Iterator[tuple[str, int]]:
        """Name and size of each segment."""
        for file in storage.list_files(self._prefix):
            if _SEGMENT.fullmatch(file.name):
                yield file.name, file.bytes

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Some bytes of a segment."""
        return s3.read_range(f"{self._prefix}/{name}", offset, length)

    def write(self, name: str, parts: Sequence[bytes]) -> None:
        """Make a segment."""
        try:
            s3.write_bytes(f"{self._prefix}/{name}", b"".join(parts))
        except SourceError as error:  # no such bucket
            raise StorageError(str(error)) from None

    def close(self) -> None:
        """Nothing is open."""


def _pread(file: int, offset: int, length: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(file, length, offset)):
        pieces.append(piece)
        offset, length = offset + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
