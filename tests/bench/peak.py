"""Peak memory and duration of a process: the measured module runs in a process of its own."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.measure import ROOT


@dataclass(frozen=True)
class Measured:
    """Resources that a module used when run as a process."""

    peak_bytes: int
    seconds: float
    """Duration, including the start of the process."""
    lines: list[str]
    """Other output of the process."""


def own_peak() -> None:
    """Print the peak memory of this process for `peak_of`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(kibibytes) * 1024)


def peak_of(module: str, *arguments: str) -> Measured:
    """Run a module that ends with `own_peak`."""
    started = time.perf_counter()
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    *lines, peak = done.stdout.split()
    return Measured(int(peak), time.perf_counter() - started, lines)
