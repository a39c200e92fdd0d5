"""The peak of a process's memory, and its time: the module that is measured runs in a process of its own."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.measure import ROOT


@dataclass(frozen=True)
class Measured:
    """What a module took, run as a process."""

    peak_bytes: int
    seconds: float
    """With the start of the process."""
    lines: list[str]
    """What else it printed."""


def own_peak() -> None:
    """Print what `peak_of` reads: the most that this process has had in memory."""
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
