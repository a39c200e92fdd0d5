"""A file in a bucket or on the web, as DuckDB reads it: range by range, through the client that reads all else.

DuckDB's own httpfs would have to be downloaded when a step runs, and would need the credentials a second time.
"""

import datetime as dt
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from tilepipe.components.shared.storage import storage


class RemoteFiles(AbstractFileSystem):  # type: ignore[misc] # fsspec ships no types
    """A file system with one file in it.

    Args:
        uri: the file's address, normalised.
    """

    protocol = "tilepipe"
    cachable = False  # one a database

    def __init__(self, uri: str) -> None:
        super().__init__()
        self._uri = uri
        self._size = storage.size(uri)

    @classmethod
    def name(cls, uri: str) -> str:
        """What DuckDB calls the file: the suffix is what it tells the format by."""
        return f"{cls.protocol}://file{PurePosixPath(urlsplit(uri).path).suffix}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - fsspec's signature
        """Size and kind of the file."""
        return {"name": path, "size": self._size, "type": "file"}

    def modified(self, path: str) -> dt.datetime:  # noqa: ARG002
        """The same at each call: a run reads the file as it is when it starts."""
        return dt.datetime.fromtimestamp(0, dt.UTC)

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401
        """The file itself: its name holds no pattern."""
        return [path]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "_RemoteFile":  # noqa: ANN401
        return _RemoteFile(self, path, self._uri, self._size, mode)


class _RemoteFile(AbstractBufferedFile):  # type: ignore[misc]
    def __init__(self, filesystem: RemoteFiles, path: str, uri: str, size: int, mode: str) -> None:
        self._uri = uri
        # DuckDB asks for whole column chunks: reading ahead doubled what was fetched, and took longer.
        super().__init__(filesystem, path, mode, cache_type="none", size=size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return storage.read_range(self._uri, start, min(end, self.size) - start)
