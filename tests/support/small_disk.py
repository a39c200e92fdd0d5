"""A small disk in memory, which a test or a fault can fill."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(folder: Path, kibibytes: int, *, lazy: bool = False) -> Iterator[bool]:
    """Mount a disk on a folder, and yield whether that was possible: only root may do so.

    Args:
        folder: existing folder.
        kibibytes: size of the disk in KiB.
        lazy: True to unmount it even if a process still uses it. Defaults to False.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", *(["--lazy"] if lazy else []), str(folder)], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[None]:
    """Make a folder with a disk of its own; skip the test where none can be mounted."""
    folder.mkdir(exist_ok=True)
    with mounted(folder, kibibytes) as is_mounted:
        if not is_mounted:
            pytest.skip("no disk can be mounted here")
        yield
