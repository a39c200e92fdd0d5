"""Storage of checkpoint files: a local folder (a disk, a PVC) or a prefix in S3, with one interface.

Files are written atomically: by renaming in a folder, by a single PUT in S3. All errors are `StorageError`, except for
a file that does not exist.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import s3, storage
from tilepipe.components.shared.storage.atomic import whole_file


class Place:
    """A folder or prefix that holds only the files of one training.

    Args:
        folder: its normalised address.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._is_local = not storage.is_remote(folder)

    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, by name; empty if the folder does not exist yet."""
        if self._is_local and not Path(self._folder).is_dir():
            return {}
        with _translate_errors():
            return {file.name: file.bytes for file in storage.list_files(self._folder)}

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            SourceError: it does not exist.
        """
        return storage.read_bytes(f"{self._folder}/{name}")

    def write(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """Write a file durably."""
        with _translate_errors():
            if not self._is_local:
                s3.write_bytes(f"{self._folder}/{name}", b"".join(parts))
                return
            with whole_file(Path(self._folder, name)) as partial, partial.open("wb", buffering=0) as file:
                for part in parts:
                    rest = memoryview(part)
                    while rest:
                        rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            handle = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(handle)  # makes the new name durable too
            finally:
                os.close(handle)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        with _translate_errors():
            if self._is_local:
                Path(self._folder, name).unlink(missing_ok=True)
            else:
                s3.delete(f"{self._folder}/{name}")

    def sweep(self) -> None:
        """Delete partial files of a killed writer.

        If that writer is still alive, its current write fails, but not the next one.
        """
        if self._is_local:
            for partial in Path(self._folder).glob(".partial-*"):
                partial.unlink(missing_ok=True)

    def free_bytes(self) -> int | None:
        """Return the free space in bytes; None if it is unknown."""
        with _translate_errors():
            return shutil.disk_usage(self._folder).free if self._is_local else None

    def close(self) -> None:
        """Delete the folder and its parent, if they are empty."""
        if self._is_local:
            self.sweep()
            with contextlib.suppress(OSError):
                Path(self._folder).rmdir()
                Path(self._folder).parent.rmdir()


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except SourceError as error:  # no such bucket
        raise StorageError(str(error)) from None
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"A checkpoint folder must be writable. Received: {error.filename or error}: {error.strerror}."
        ) from None
