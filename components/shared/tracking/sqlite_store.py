"""MLflow's local store, a SQLite database."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

SCHEME = "sqlite:///"


def address(database: Path) -> str:
    """Return MLflow's address of a database. SQLAlchemy decodes the path (`%41`), and ends it at a question mark."""
    return SCHEME + str(database.resolve()).replace("%", "%25").replace("?", "%3F")


def path_of(uri: str) -> Path:
    """Return the path of the database at an address."""
    return Path(unquote(uri.removeprefix(SCHEME)))


@contextlib.contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Lock the folder of a database, if the address is that of one: MLflow breaks a new one that two processes open."""
    if not uri.startswith(SCHEME):
        yield
        return
    folder = path_of(uri).parent
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
