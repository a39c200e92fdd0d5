"""Log lines of the steps that a local run reuses: kept with the result and printed again, so that warnings stay."""

import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence

STEP_LINE = re.compile(r"(INFO|WARNING|ERROR) tilepipe\.(\w+): (.*)")
"""A log line of a step: level, step and message."""
REUSED = re.compile(r"^Task '([\w-]+)' is reused from (.+)$")
"""Line printed instead of the start of a reused task: its name, and the folder with its outputs."""

_MOST_LINES = 500

_thread = threading.local()


def recorded(lines: Iterable[str]) -> Iterator[str]:
    """Yield the output of a step line by line, and keep its log lines for `last_lines`."""
    kept: list[str] = []
    _thread.lines = kept
    for line in lines:
        if len(kept) < _MOST_LINES and STEP_LINE.search(line):
            kept.append(line.rstrip("\n"))
        yield line


def last_lines() -> list[str]:
    """Return the log lines of the last step that this thread has run."""
    return list(getattr(_thread, "lines", ()))


def print_reused(task: str, folder: str, lines: Sequence[str]) -> None:
    """Print that a task is reused, and its log lines, in one write, since other threads may print too."""
    ended = f"Task '{task}' finished with status SUCCESS"
    sys.stdout.write("\n".join([f"Task '{task}' is reused from {folder}", *lines, ended]) + "\n")
    sys.stdout.flush()
