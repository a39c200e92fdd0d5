"""Access of DuckDB to a file, local or remote."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import plainly_named
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@contextlib.contextmanager
def readable(connection: "DuckDBPyConnection", uri: str) -> Iterator[str]:
    """Yield the name under which DuckDB reads a file.

    A file in a bucket or on the web is not copied: DuckDB reads ranges of it through the client in `shared.storage`.

    Args:
        connection: the database.
        uri: normalized address of the file.

    Yields:
        The name.

    Raises:
        SourceError: if there is no such file.
    """
    if storage.is_remote(uri):
        from tilepipe.components.ingest.sources.remote_files import RemoteFiles

        connection.register_filesystem(RemoteFiles(uri))
        yield RemoteFiles.name(uri)
        return
    if not Path(uri).is_file():
        raise SourceError(f"A file must exist. Received: {uri}. Check the address.")
    with plainly_named(Path(uri)) as name:
        yield name
