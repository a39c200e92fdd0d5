"""A real PostgreSQL on loopback: the fixture `postgres_server`.

It uses the installed server programs: those on the PATH, else the newest of Debian's packages. Without any, the test is
skipped with the reason, or fails if CI demands it.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import free_ports

_DEBIAN = Path("/usr/lib/postgresql")
# Nothing of a test must outlive it.
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=127.0.0.1")


@dataclass(frozen=True)
class PostgresServer:
    """A server with one user, without a password."""

    user: str
    port: int

    def uri(self, database: str) -> str:
        """Return the address of a database for SQLAlchemy, with the driver of the MLflow image."""
        return f"postgresql+psycopg://{self.user}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Create a database as a copy of another one, to which nobody must be connected; return its address."""
        import psycopg

        where = f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"'.encode())
        return self.uri(database)


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL on this machine, for the whole session."""
    programs = _programs()
    if programs is None:
        reason = "no PostgreSQL: its programs initdb and postgres are needed (apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with _running(programs) as server:
        yield server


def _programs() -> Path | None:
    """Find the folder of the server programs."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else []
    versions = _DEBIAN.glob("*/bin") if _DEBIAN.is_dir() else ()
    candidates += sorted(versions, key=lambda folder: -float(folder.parent.name))
    complete = (folder for folder in candidates if all((folder / name).exists() for name in ("initdb", "postgres")))
    return next(complete, None)


@contextlib.contextmanager
def _running(programs: Path) -> Iterator[PostgresServer]:
    # pytest's own folders are closed to the other user that the server needs if this one is root.
    with tempfile.TemporaryDirectory(prefix="tilepipe-postgres-", ignore_cleanup_errors=True) as folder:
        account = pwd.getpwuid(os.geteuid() or _unprivileged())
        as_user: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "LC_ALL": "C"}}
        if not os.geteuid():
            os.chown(folder, account.pw_uid, account.pw_gid)
            as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        data, log = Path(folder) / "data", Path(folder) / "log"
        initdb = [programs / "initdb", "-D", data, "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(initdb, capture_output=True, text=True, check=False, **as_user)
        if done.returncode:
            pytest.fail(f"PostgreSQL's initdb failed: {done.stderr[-2000:]}")
        (port,) = free_ports(1)
        command = [programs / "postgres", "-D", data, "-p", str(port), "-k", folder]
        command += [part for setting in _SETTINGS for part in ("-c", setting)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, **as_user)
        try:
            server = PostgresServer("mlflow", port)
            _wait(server, process, log)
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _unprivileged() -> int:
    """Return the id of a user that may run PostgreSQL, which refuses to run as root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    pytest.skip("no PostgreSQL: it refuses to run as root, and there is neither a user `postgres` nor `nobody`")


def _wait(server: PostgresServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server accepts connections; fail with the end of its output if it does not."""
    import psycopg

    from tests.support.waiting import wait_until

    def is_up() -> bool:
        if process.poll() is not None:
            pytest.fail(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"postgresql://{server.user}@127.0.0.1:{server.port}/postgres").close()
            return True
        return False

    wait_until(is_up, seconds=60, pause_seconds=0.1)
