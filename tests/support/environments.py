"""Virtual environments for programs that are no dependencies of tilepipe, made on first use and kept."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tilepipe"
_UV = Path(__file__).parents[2] / "build/uv/bin/uv"


class EnvironmentFailedError(Exception):
    """The packages cannot be installed here."""


def python_with(name: str, requirements: Path, *options: str) -> Path:
    """Return the Python of an environment with some packages, which is created if it is missing.

    Args:
        name: name of the environment.
        requirements: requirements file; changed contents make a new environment.
        options: further options of `pip install`.

    Raises:
        EnvironmentFailedError: the packages cannot be installed.
    """
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    python = folder / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:  # several test processes may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder, python, ["--quiet", *options, "-r", str(requirements)])
            (folder / "whole").touch()
    return python


def _install(folder: Path, python: Path, arguments: list[str]) -> None:
    uv = shutil.which("uv") or (_UV if _UV.exists() else None)
    if uv:
        make = [uv, "venv", "--quiet", "--python", sys.executable, folder]
        install = [uv, "pip", "install", "--python", python, *arguments]
    else:
        make = [sys.executable, "-m", "venv", folder]
        install = [python, "-m", "pip", "install", *arguments]
    for command in (make, install):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise EnvironmentFailedError(done.stderr[-500:])
