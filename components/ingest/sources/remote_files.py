"""A file system through which DuckDB reads ranges of a remote file with the client in `shared.storage`.

DuckDB's own httpfs would have to be downloaded when a step runs, and would have to be given the credentials again.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from tilepipe.components.shared.storage import storage


class RemoteFiles(AbstractFileSystem):  # type: ignore[misc] # fsspec ships no types
    """A file system with a few files.

    Args:
        uris: normalized addresses of the files.
    """

    protocol = "tilepipe"
    cachable = False  # one per database

    def __init__(self, uris: Sequence[str]) -> None:
        super().__init__()
        # DuckDB detects the format by the suffix.
        suffixes = [PurePosixPath(urlsplit(uri).path).suffix for uri in uris]
        self.names = [f"{self.protocol}://file{place}{suffix}" for place, suffix in enumerate(suffixes)]
        """Names of the files for DuckDB, in the order of the addresses."""
        self._files = {
            name.partition("://")[2]: (uri, storage.size(uri)) for name, uri in zip(self.names, uris, strict=True)
        }

    def _file(self, path: str) -> tuple[str, int]:
        return self._files[path.rpartition("/")[2]]

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - fsspec's signature
        """Return size and type of the file."""
        return {"name": path, "size": self._file(path)[1], "type": "file"}

    def modified(self, path: str) -> dt.datetime:  # noqa: ARG002
        """Return a constant time: a run reads the file as it is when it starts."""
        return dt.datetime.fromtimestamp(0, dt.UTC)

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401
        """Return the path itself: its name is not a pattern."""
        return [path]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "_RemoteFile":  # noqa: ANN401
        return _RemoteFile(self, path, *self._file(path), mode)


class _RemoteFile(AbstractBufferedFile):  # type: ignore[misc]
    def __init__(self, filesystem: RemoteFiles, path: str, uri: str, size: int, mode: str) -> None:
        self._uri = uri
        # DuckDB requests whole column chunks: reading ahead doubled the number of bytes, and took longer.
        super().__init__(filesystem, path, mode, cache_type="none", size=size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return storage.read_range(self._uri, start, min(end, self.size) - start)
