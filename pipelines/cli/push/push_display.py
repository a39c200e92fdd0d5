"""Terminal output of `tilepipe push`."""

import logging
import shlex
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from tilepipe.components.shared.logs.progress import Progress
from tilepipe.pipelines.cli.push.push import Pushed, Total

_PLAIN_INTERVAL_SECONDS = 5.0
_NAMES_SHOWN = 5


class Uploading:
    """Progress of a push: a bar in a terminal, a line every few seconds elsewhere.

    Args:
        console: the console to print to.
        total: number and size of the files to push.
    """

    def __init__(self, console: Console, total: Total) -> None:
        self._console = console
        self._count = Progress(logging.getLogger(__name__), "pushed", total.files, "files")
        self._last_line = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, console=console, disable=not console.is_terminal)
        self._bar = self._bars.add_task("", total=total.bytes)

    def __enter__(self) -> Self:
        """Start the display."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the display."""
        self._bars.stop()

    def advance(self, files: int, size_bytes: int) -> None:
        """Count files that were uploaded or skipped."""
        self._count.done += files
        now = time.monotonic()
        line = self._count.line(now)
        self._bars.update(self._bar, advance=size_bytes, description=line)
        if not self._console.is_terminal and now - self._last_line >= _PLAIN_INTERVAL_SECONDS:
            self._last_line = now
            self._console.print(Text(line), soft_wrap=True)


def summary(console: Console, total: Total, pushed: Pushed) -> None:
    """Print what was uploaded, what was left out, and the `data_source` to use."""
    for note in pushed.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    if total.left_out:
        names = ", ".join(sorted(total.left_out)[:_NAMES_SHOWN])
        more = f" and {len(total.left_out) - _NAMES_SHOWN:,} more" if len(total.left_out) > _NAMES_SHOWN else ""
        console.print(Text(f"left out (hidden, or not a file): {names}{more}"), soft_wrap=True)
    bucket = "bucket created, " if pushed.is_new_bucket else ""
    rate = pushed.uploaded_bytes / max(pushed.seconds, 1e-9) / 1e6
    line = (
        f"{bucket}{pushed.uploaded:,} files uploaded ({pushed.uploaded_bytes / 1e6:,.1f} MB, {rate:,.1f} MB/s), "
        f"{pushed.skipped:,} already there, in {pushed.seconds:.1f} s"
    )
    console.print(Text(line), soft_wrap=True)
    console.print(Text(f"data_source={shlex.quote(pushed.uri)}"), soft_wrap=True)
