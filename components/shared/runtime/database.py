"""Open DuckDB on disk, with bounded memory and no access to other files."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import StorageError, full_disk

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Files of the memory limit, of the second and the first version of the interface."""
_LEAST_MEBIBYTES = 256
_MEBIBYTE = 2**20
_TOO_LITTLE = re.compile(
    r"could not allocate|failed to (?:pin|allocate)|max_temp_directory_size|Out of Memory", re.IGNORECASE
)


@contextlib.contextmanager
def open_database(most_mebibytes: int = 2048) -> Iterator["DuckDBPyConnection"]:
    """Open a database in a temporary folder, which is deleted when the context exits.

    Data beyond half of the step's memory is spilled to the folder; no extensions are downloaded.

    Args:
        most_mebibytes: upper limit of its memory in MiB, which is otherwise half of the step's memory.

    Raises:
        StorageError: memory or disk are full.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": f"{_memory_mebibytes(most_mebibytes)}MiB",
            "temp_directory": f"{folder}/spilled",
        }
        try:
            with duckdb.connect(f"{folder}/tiles.duckdb", config=settings) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                # Geometries stay WKB: the conversion refuses files without `geometry_types`, as old writers made them.
                connection.execute("SET enable_geoparquet_conversion = false")
                yield connection
        except duckdb.OperationalError as error:
            if not lacks_space(error):
                raise
            raise StorageError(
                "There must be disk space for data that does not fit into memory. "
                f"Received: {folder} (TMPDIR) with too little: {reason(error)}. "
                "Give the step a larger disk, or more memory."
            ) from None


def lacks_space(error: Exception) -> bool:
    """Return whether an error of DuckDB is for want of memory or disk space, which `open_database` reports."""
    import duckdb

    is_local = isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException)
    return is_local and bool(full_disk(error) or _TOO_LITTLE.search(str(error)))


def lock(connection: "DuckDBPyConnection", files: Sequence[str] = ()) -> None:
    """Restrict the connection before running user-supplied SQL: only these files are readable, settings are locked."""
    own = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
    connection.execute("SET allowed_directories = ?", [[str(Path(own).parent)]])
    connection.execute("SET allowed_paths = ?", [list(files)])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


@contextlib.contextmanager
def plainly_named(path: Path) -> Iterator[str]:
    """Yield a link with a plain name to a file: DuckDB treats `*`, `?` and `[` in a name as a pattern."""
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        link = Path(folder) / f"file{path.suffix}"
        link.symlink_to(path.absolute())
        yield str(link)


def quoted(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def reason(error: Exception) -> str:
    """Return the first line of a DuckDB error, without candidates and statement excerpt."""
    return re.sub(r"^(\w+ )+Error: ", "", str(error).splitlines()[0])


def _memory_mebibytes(most: int, cgroup: Path = _CGROUP) -> int:
    """Return half of the memory of the container or the machine; the other half is for Python and Arrow."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no limit reads as `max`, or as more than any machine has
            available = min(available, int((cgroup / name).read_text()))
    return max(_LEAST_MEBIBYTES, min(most, available // 2 // _MEBIBYTE))
