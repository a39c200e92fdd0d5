"""Where a training's checkpoints lie: a local folder (a disk, a PVC) or a prefix in S3, behind the same functions.

A file appears whole or not at all: a folder gets it by renaming, S3 by one PUT. All errors are `StorageError`, but for
a file that is gone.
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
    """A folder or a prefix that holds the files of one training and nothing else.

    Args:
        folder: its normalised address.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._is_local = not storage.is_remote(folder)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by name; nothing where the folder is not there yet."""
        if self._is_local and not Path(self._folder).is_dir():
            return {}
        with _explained():
            return {file.name: file.bytes for file in storage.list_files(self._folder)}

    def read(self, name: str) -> bytes:
        """All bytes of a file.

        Raises:
            SourceError: it is gone.
        """
        return storage.read_bytes(f"{self._folder}/{name}")

    def write(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """Make a file; once this returns, it outlives the machine."""
        with _explained():
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
                os.fsync(handle)  # the new name too
            finally:
                os.close(handle)

    def delete(self, name: str) -> None:
        """Take a file away, if it is there."""
        with _explained():
            if self._is_local:
                Path(self._folder, name).unlink(missing_ok=True)
            else:
                s3.delete(f"{self._folder}/{name}")

    def sweep(self) -> None:
        """Take away what a writer that was killed has left.

        If that writer should still be alive after all, its write fails, and the next one does not.
        """
        if self._is_local:
            for partial in Path(self._folder).glob(".partial-*"):
                partial.unlink(missing_ok=True)

    def free_bytes(self) -> int | None:
        """How much room there is; None where nobody knows."""
        with _explained():
            return shutil.disk_usage(self._folder).free if self._is_local else None

    def close(self) -> None:
        """Take away the folder and the one that holds it, where they are empty."""
        if self._is_local:
            self.sweep()
            with contextlib.suppress(OSError):
                Path(self._folder).rmdir()
                Path(self._folder).parent.rmdir()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except SourceError as error:  # no such bucket
        raise StorageError(str(error)) from None
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"A folder must take files. Received: {error.filename or error}: {error.strerror}."
        ) from None
