"""Flat folders of files that are written completely or not at all: local (a disk, a PVC) or in S3, with one interface.

A file is renamed into place in a local folder, and written by a single PUT in S3.
"""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import s3, storage

_PARTIAL = ".partial-"


def _normalized(address: str, field: ValidationInfo) -> str:
    return storage.normalize_place(str(field.field_name), address) if address else address


PlaceAddress = Annotated[str, AfterValidator(_normalized)]
"""Normalized address of a local folder or of a prefix in S3; empty for none."""


class Place:
    """Files by name in a folder or a prefix; all methods may be called from many threads and processes.

    In a local folder, symbolic links are not followed; a link in place of the folder can be neither listed nor written.

    Args:
        address: the normalized address, as returned by `storage.normalize_place`. A local folder is created by the
            first `write`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._is_local = not storage.is_remote(address)

    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, by name; empty if the folder does not exist.

        Files whose name starts with a dot are left out.

        Raises:
            StorageError: the folder cannot be read.
        """
        with self._translate_errors("readable"):
            if not self._is_local:
                return {file.name: file.bytes for file in storage.list_files(self._address)}
            return {name: status.st_size for name, status in self._files() if not name.startswith(".")}

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file, or a range of it.

        Args:
            name: name of the file.
            offset: position of the first byte. Defaults to 0.
            length: number of bytes. Defaults to None: to the end.

        Returns:
            The bytes; fewer than `length` if the file ends earlier.

        Raises:
            SourceError: the file does not exist; in S3 also if it ends before `offset`.
            StorageError: it cannot be read.
        """
        if not self._is_local:
            uri = f"{self._address}/{name}"
            return s3.read_bytes(uri) if length is None else s3.read_range(uri, offset, length)
        try:
            # By its path: opening the folder as well would quadruple the time of a small read.
            with _opened(f"{self._address}/{name}", os.O_RDONLY | os.O_NONBLOCK) as file:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    raise FileNotFoundError
                return _read_range(file, offset, max(0, status.st_size - offset) if length is None else length)
        except FileNotFoundError:
            raise SourceError(f"A file must exist to be read. Received: {self._address}/{name}.") from None
        except OSError as error:
            raise self._failure("readable", name, error) from None

    def write(self, name: str, parts: Sequence[bytes | memoryview], *, durable: bool = False) -> None:
        """Write a file, replacing one with the same name.

        Args:
            name: name of the file.
            parts: its content.
            durable: whether a local file survives a crash of the machine once the method returns. Defaults to False.

        Raises:
            StorageError: it cannot be written.
        """
        with self._translate_errors("writable", name):
            if not self._is_local:
                s3.write_bytes(f"{self._address}/{name}", b"".join(parts))
                return
            Path(self._address).mkdir(parents=True, exist_ok=True)
            with self._opened() as folder:
                _write_file(folder, name, parts, durable=durable)

    def check_listed(self, name: str) -> None:
        """Check that a written file is listed: MinIO lists nothing below a key that is an object too.

        Raises:
            StorageError: it is not listed, or the folder cannot be read.
        """
        if name not in self.sizes():
            raise StorageError(
                f"Written files must appear in listings. Received: {storage.shown(self._address)}, which lists no "
                f"{name}. Delete the object that has the name of one of its folders, or choose another place."
            )

    def delete(self, name: str) -> None:
        """Delete a file, if it exists.

        Raises:
            StorageError: it cannot be deleted.
        """
        with self._translate_errors("writable", name):
            if not self._is_local:
                s3.delete(f"{self._address}/{name}")
                return
            with contextlib.suppress(FileNotFoundError), self._opened() as folder:
                os.unlink(name, dir_fd=folder)

    def sweep(self, older_than_seconds: float = 0) -> None:
        """Delete partial files of killed writers. If a writer is still alive, its current write fails.

        Args:
            older_than_seconds: minimum age of the files. Defaults to 0: all of them.

        Raises:
            StorageError: the folder cannot be read, or a file cannot be deleted.
        """
        if self._is_local:
            with self._translate_errors("readable"):
                partial = {name: status.st_mtime for name, status in self._files() if name.startswith(_PARTIAL)}
            for name, written in partial.items():
                if not older_than_seconds or time.time() - written > older_than_seconds:
                    self.delete(name)

    def free_bytes(self) -> int | None:
        """Return the free space in bytes; None if it is unknown, as in S3."""
        with self._translate_errors("readable"):
            return shutil.disk_usage(self._address).free if self._is_local else None

    def remove_if_empty(self) -> None:
        """Delete the folder, and then its parent, if they are empty."""
        if self._is_local:
            with contextlib.suppress(OSError):
                Path(self._address).rmdir()
                Path(self._address).parent.rmdir()

    def _files(self) -> list[tuple[str, os.stat_result]]:
        """Return name and status of each regular file in a local folder; nothing if the folder does not exist."""
        files = []
        with contextlib.suppress(FileNotFoundError), self._opened() as folder, os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                    if entry.is_file(follow_symlinks=False):
                        files.append((entry.name, entry.stat(follow_symlinks=False)))
        return files

    def _opened(self) -> contextlib.AbstractContextManager[int]:
        return _opened(self._address, os.O_RDONLY | os.O_DIRECTORY)

    @contextlib.contextmanager
    def _translate_errors(self, required: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except SourceError as error:  # no such bucket
            raise StorageError(str(error)) from None
        except OSError as error:
            raise self._failure(required, name, error) from None

    def _failure(self, required: str, name: str, error: OSError) -> StorageError:
        if isinstance(error, StorageError):
            return error
        address = f"{self._address}/{name}" if name else self._address
        return StorageError(f"A file must be {required}. Received: {address}: {error.strerror or error}.")


@contextlib.contextmanager
def _opened(name: str, flags: int, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_range(file: int, offset: int, length: int) -> bytes:
    pieces = []  # Linux reads at most 2 GiB per call
    while length > 0 and (piece := os.pread(file, length, offset)):
        pieces.append(piece)
        offset, length = offset + len(piece), length - len(piece)
    return b"".join(pieces)


def _write_file(folder: int, name: str, parts: Sequence[bytes | memoryview], *, durable: bool) -> None:
    partial = f"{_PARTIAL}{os.getpid()}-{time.monotonic_ns()}-{name}"
    try:
        with _opened(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder) as file:
            for part in parts:  # one `writev` of all takes five times the system's time on ext4
                rest = memoryview(part)
                while rest:
                    rest = rest[os.write(file, rest) :]
            if durable:
                os.fsync(file)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
        if durable:
            os.fsync(folder)  # makes the new name durable too
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial, dir_fd=folder)
        raise
