"""A file system through which DuckDB reads ranges of a remote file with the client in `shared.storage`.

DuckDB's own httpfs would have to be downloaded when a step runs, and would have to be given the credentials again.
"""

import datetime as dt
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from tilepipe.components.shared.storage import storage


class RemoteFiles(AbstractFileSystem):  # type: ignore[misc] # fsspec ships no types
    """A file system with one file.

    Args:
        uri: normalized address of the file.
    """

    protocol = "tilepipe"
    cachable = False  # one per database

    def __init__(self, uri: str) -> None:
        super().__init__()
        self._uri = uri
        self._size = storage.size(uri)

    @classmethod
    def name(cls, uri: str) -> str:
        """Return the name of the file for DuckDB, which detects the format by the suffix."""
        return f"{cls.protocol}://file{PurePosixPath(urlsplit(uri).path).suffix}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - fsspec's signature
        """Return size and type of the file."""
        return {"name": path, "size": self._size, "type": "file"}

    def modified(self, path: str) -> dt.datetime:  # noqa: ARG002
        """Return a constant time: a run reads the file as it is when it starts."""
        return dt.datetime.fromtimestamp(0, dt.UTC)

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401
        """Return the path itself: its name is not a pattern."""
        return [path]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "_RemoteFile":  # noqa: ANN401
        return _RemoteFile(self, path, self._uri, self._size, mode)


class _RemoteFile(AbstractBufferedFile):  # type: ignore[misc]
    def __init__(self, filesystem: RemoteFiles, path: str, uri: str, size: int, mode: str) -> None:
        self._uri = uri
        # DuckDB requests whole column chunks: reading ahead doubled the number of bytes, and took longer.
        super().__init__(filesystem, path, mode, cache_type="none", size=size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return storage.read_range(self._uri, start, min(end, self.size) - start)
