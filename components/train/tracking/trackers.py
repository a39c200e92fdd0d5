"""The tracker interface, and a queue that sends to a tracker without delaying the training.

A background thread sends queued figures in order; an unreachable server only delays them.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import Field

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.runtime.config import StepConfig

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("tilepipe.train")

RUNNING = "running/"
"""Prefix of figures within an epoch, whose step is the optimizer step."""
PAUSE_SECONDS = 60.0
"""Pause after a failure of a server, during the training."""
LAST_PAUSE_SECONDS = 1.0
"""Pause after a failure at the end of a training, which waits for the server."""

Item = TypeVar("Item")


class TrackingOptions(StepConfig):
    """Tracking besides the figures of each epoch."""

    system_metrics_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="Interval between system-metric samples, in seconds; 0 disables them"
    )
    running_figures_seconds: float = Field(
        default=30.0, ge=0, le=3600, description="Interval between figures within an epoch, in seconds; 0 disables them"
    )
    tracking_wait_seconds: float = Field(
        default=120.0,
        ge=0,
        le=3600,
        description="Longest wait at the end for an unreachable tracking server, in seconds",
    )
    wandb_project: str = Field(
        default="", max_length=128, description="Weights & Biases project to report to besides MLflow; empty: none"
    )


@dataclass(frozen=True)
class Point:
    """Figures of one moment."""

    metrics: Mapping[str, float]
    step: int | None
    """Epoch or optimizer step; None for figures ordered only by time, which get the next number."""
    at_milliseconds: int
    """Time of the measurement, in milliseconds since 1970."""

    @classmethod
    def now(cls, metrics: Mapping[str, float], step: int | None) -> "Point":
        """Create a point with the current time."""
        return cls(dict(metrics), step, int(time.time() * 1000))


@dataclass(frozen=True)
class File:
    """A small file of a run."""

    path: str
    """Path in the artifacts of the run, with `/`."""
    content: bytes


@dataclass(frozen=True)
class Results:
    """Results of a training."""

    manifest: Manifest
    model: "keras.Model"
    """With the weights of its best epoch."""
    best_epoch: int
    files: Mapping[str, str]
    """Name -> text of the files to store beside the model."""


class Tracker(Protocol):
    """A service that records trainings. Each method may block, and raise if the server is unreachable."""

    name: str
    """Display name."""
    run_id: str
    """Identifies the run when a training resumes."""
    is_continued: bool
    """True if the run already has the inputs of this training, from before a resume."""

    def log_inputs(self, params: Mapping[str, Any], manifest: Manifest) -> None:
        """Log the inputs of the training."""

    def log_points(self, points: Sequence[Point]) -> None:
        """Log figures, without those that a continued run already has."""

    def log_file(self, file: File) -> None:
        """Log a file."""

    def log_results(self, results: Results) -> None:
        """Log the results of the training."""

    def close(self, wait_seconds: float) -> None:
        """Close the run, within `wait_seconds`."""


class Outbox(Generic[Item]):
    """Queue whose items a background thread sends in order, retrying until it succeeds.

    Args:
        what: description of items and destination, for the log.
        send: sends one or more items; on any error they stay queued.
        most: maximum number of items per call. Defaults to 1.
        pause_seconds: pause after a failure. Defaults to 60.
    """

    def __init__(
        self,
        what: str,
        send: Callable[[Sequence[Item]], None],
        *,
        most: int = 1,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._what, self._send, self._most, self._pause_seconds = what, send, most, pause_seconds
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._awake = threading.Event()  # ends the pause after a failure when set
        self._is_closed = self._is_last = False
        # A daemon: a server that never answers must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name=f"outbox: {what}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> tuple[Item, ...]:
        """Items that have not been sent."""
        with self._changed:
            return tuple(self._items)

    def put(self, item: Item) -> None:
        """Queue an item, and return at once."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def flush(self, wait_seconds: float) -> int:
        """Wait for the queue to empty, up to `wait_seconds`; return the number of items left."""
        self._is_last = True
        self._awake.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._items, wait_seconds)
            return len(self._items)

    def close(self, wait_seconds: float) -> int:
        """Send queued items for up to `wait_seconds`, then stop; return the number of items never sent."""
        left = self.flush(wait_seconds)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._awake.set()
        return left

    def _work(self) -> None:
        while batch := self._next():
            try:
                self._send(batch)
            # Clients raise all kinds of errors (those of boto are not OSErrors); none may stop the training.
            except Exception as error:
                logger.warning("%d %s are queued: %s", len(self.waiting), self._what, error)
                self._awake.wait(LAST_PAUSE_SECONDS if self._is_last else self._pause_seconds)
                self._awake.clear()
                continue
            with self._changed:
                for _ in batch:
                    self._items.popleft()
                self._changed.notify_all()

    def _next(self) -> list[Item]:
        """Return the items to send next; none once the outbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._is_closed)
            return [] if self._is_closed else list(self._items)[: self._most]
