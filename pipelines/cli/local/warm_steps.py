"""Run the steps of `kfp.local` in forks of servers: processes that have imported what the steps need."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from tilepipe.pipelines.cli.local import step_output, step_server

DATA = "data"
TRAIN = "train"

PRELOADED: dict[str, tuple[str, ...]] = {
    DATA: (
        "tilepipe.components.shared.runtime.step",
        "tilepipe.components.ingest.ingest",
        "tilepipe.components.pack.merge",
        "tilepipe.components.pack.pack",
        "pandas",
        "shapely.geometry",
    ),
    TRAIN: (
        "tilepipe.components.shared.runtime.step",
        "tilepipe.components.shared.contracts.model_file:load_tensorflow",
        "tilepipe.components.prepare.prepare",
        "tilepipe.components.train.train",
        "tilepipe.components.evaluate.evaluate",
        "tilepipe.components.export.export",
        "tilepipe.components.register.register",
        "tilepipe.components.finish.finish",
        "tilepipe.components.refit.refit",
        "tilepipe.components.select.select",
        "mlflow.keras",
        "mlflow.store.tracking.sqlalchemy_store",
    ),
}
"""Modules and functions that each server preloads; they must start no thread and use no device."""

_TRAIN_STEP = re.compile(
    r"tilepipe\.components\.(?:prepare|train|propose|tune|select|refit|evaluate|export|register|gate|promote|finish)\."
)
_SCRIPT = (
    'program_path=$(mktemp -d) printf "%s" "$0" > "$program_path/ephemeral_component.py" '
    "_KFP_RUNTIME=true {python} -m kfp.dsl.executor_main "
    '--component_module_path "$program_path/ephemeral_component.py" "$@"'
)
"""Shell script of a lightweight component, with single spaces."""


@dataclass(frozen=True)
class Component:
    """A lightweight component, as `kfp.local` would start it."""

    source: str
    arguments: tuple[str, ...]

    @classmethod
    def from_command(cls, command: Sequence[str]) -> Self | None:
        """Parse the command of a component; None for any other command."""
        match command:
            case ["sh", "-ec", script, source, *arguments] if " ".join(script.split()) == _SCRIPT.format(
                python=sys.executable
            ):
                return cls(source, tuple(arguments))
        return None

    @property
    def server(self) -> str:
        """Name of the server that has imported the component's modules."""
        return server_of(self.source)


def server_of(source: str) -> str:
    """Return the name of the server for a component's source, or of the larger one that a pipeline's YAML needs."""
    return TRAIN if _TRAIN_STEP.search(source) else DATA


class WarmSteps:
    """Servers in whose forks the steps run; a context manager, which ends them.

    Args:
        preloaded: Names to preload per server.
    """

    def __init__(self, preloaded: Mapping[str, Sequence[str]]) -> None:
        self._servers = {server: _Server(names) for server, names in preloaded.items()} if is_supported() else {}

    def __enter__(self) -> Self:
        """Return this object; the servers are already running."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the servers."""
        for server in self._servers.values():
            server.close()

    def run(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        """Run a command, print its output line by line, and return its exit code.

        Args:
            full_command: The command; a lightweight component runs in a fork of its server.
            env_vars: Environment variables of this command only. With any, the fork starts a new interpreter, since
                imported modules have already read their settings.
        """
        component = Component.from_command(full_command)
        server = self._servers.get(component.server) if component else None
        code = server.run(component, env_vars or {}) if server and component else None
        return run_cold(full_command, env_vars) if code is None else code


def run_cold(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
    """Run a command in a process of its own, print its output line by line, and return its exit code."""
    command = subprocess.Popen(
        full_command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        bufsize=1,
        env={**os.environ, **(env_vars or {})},
    )
    with command as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker; PIPE was asked for
        _print_lines(process.stdout)
        return process.wait()


def _print_lines(lines: Iterable[str]) -> None:
    """Print the output of a step as `kfp.local` does, which indents it by replacing `print`."""
    for line in step_output.recorded(lines):
        print(line, end="")  # noqa: T201
    print("\n")  # noqa: T201


def is_supported() -> bool:
    """Return whether this system can fork servers: Linux 5.3 or later.

    macOS is excluded because its frameworks may crash in a forked process.
    """
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class _Server:
    def __init__(self, names: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        command = [sys.executable, "-m", step_server.__name__, str(theirs.fileno()), str(os.getpid()), *names]
        with theirs:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])

    def run(self, component: Component, environment: Mapping[str, str]) -> int | None:
        """Run a component, and return its exit code; None if the server ended before it started the component."""
        output, their_output = os.pipe()
        status, their_status = os.pipe()
        asked = {"source": component.source, "arguments": component.arguments, "environment": environment}
        with os.fdopen(status, "rb") as status_file, os.fdopen(output, encoding="utf-8", errors="replace") as lines:
            try:
                with tempfile.TemporaryFile("w", encoding="utf-8") as request:
                    json.dump(asked, request)
                    request.flush()
                    with self._lock:
                        socket.send_fds(self._control, [b"r"], [request.fileno(), their_output, their_status])
            except OSError:
                return None
            finally:
                os.close(their_output)
                os.close(their_status)
            if status_file.read(len(step_server.STARTED)) != step_server.STARTED:
                return None
            _print_lines(lines)
            return int(status_file.read() or 1)

    def close(self) -> None:
        """End the server process."""
        self._control.close()
        self._process.terminate()  # it may still be importing modules
        with contextlib.suppress(KeyboardInterrupt):
            self._process.wait()
