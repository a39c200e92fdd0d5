"""Programs written in Go for tests: found on this machine, or built once."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tilepipe"


def go_binary(name: str, variable: str, package: str, version: str) -> str:
    """Return the path of a program; skip the test, with the reason, where it can be neither found nor built.

    Args:
        name: name of the program; one on the PATH is used.
        variable: environment variable that names its file, before all others.
        package: Go package to build it from.
        version: version of its module.
    """
    found = os.environ.get(variable) or shutil.which(name)
    if found:
        return found
    cache = CACHE / f"{name}-{version}"
    built = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # several test processes may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(built, variable, package, version)
    return str(built)


def _build(built: Path, variable: str, package: str, version: str) -> None:
    if not shutil.which("go"):
        pytest.skip(f"{built.name} is absent: set {variable}, or install {built.name} or Go")
    folder = built.parent / "build"
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
    command = ["go", "install", f"{package}@{version}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{built.name} is absent and does not build here: {done.stderr[-500:]}")
    (folder / built.name).replace(built)
