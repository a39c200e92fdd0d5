"""Common code of the fixtures that start a server."""

import contextlib
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

_ANY_CERTIFICATE = ssl._create_unverified_context()
"""Of servers that a test has started itself."""


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path, what: str) -> None:
    """Wait until a server answers; otherwise fail with the end of its output."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2, context=_ANY_CERTIFICATE):
            return
        if process.poll() is not None:
            break
        time.sleep(0.25)
    pytest.fail(f"{what} did not come up at {address}: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    health: str,
    folder: Path,
    what: str,
    *,
    stop: Callable[["subprocess.Popen[bytes]"], None] = subprocess.Popen.terminate,
    **options: Any,
) -> Iterator[None]:
    """Run a server within a context, which begins once the server answers.

    Args:
        command: its program and arguments.
        health: address at which it answers.
        folder: folder of its output, the file `log`.
        what: name of the server, for the failure.
        stop: ends the process. Defaults to SIGTERM.
        **options: further options of the process, such as `env`.
    """
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **options)
    try:
        wait_for(health, process, folder / "log", what)
        yield
    finally:
        stop(process)
        process.wait(30)


def free_ports(count: int) -> list[int]:
    """Return ports that are free on the loopback address."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
