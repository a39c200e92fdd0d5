"""What a tracker of trainings is, and how it is told of one without holding it up.

A training hands its figures over and goes on at once; a thread sends them, in order. A server that is away delays them.
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
"""Before the names of figures within an epoch, whose step is the optimizer's."""
PAUSE_SECONDS = 60.0
"""How long a server that failed is left alone, while there is time."""
LAST_PAUSE_SECONDS = 1.0
"""The same at the end of a training, when it waits for the server."""

Item = TypeVar("Item")


class TrackingOptions(StepConfig):
    """What is tracked beside the figures of each epoch, and where."""

    system_metrics_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="Track use of CPU, memory, GPU, disk and network so often; 0 never"
    )
    running_figures_seconds: float = Field(
        default=30.0, ge=0, le=3600, description="Track figures within an epoch so often; 0 only after each epoch"
    )
    tracking_wait_seconds: float = Field(
        default=120.0, ge=0, le=3600, description="Wait at the end so long for a tracking server that is away"
    )
    wandb_project: str = Field(
        default="", max_length=128, description="Weights & Biases project to report to as well; empty for none"
    )


@dataclass(frozen=True)
class Point:
    """Figures of one moment."""

    metrics: Mapping[str, float]
    step: int | None
    """Epoch or optimizer step; None for figures that only time orders, which get the next number."""
    at_milliseconds: int
    """When they were measured, since 1970."""

    @classmethod
    def now(cls, metrics: Mapping[str, float], step: int | None) -> "Point":
        """Figures that were measured now."""
        return cls(dict(metrics), step, int(time.time() * 1000))


@dataclass(frozen=True)
class File:
    """A small file of a run."""

    path: str
    """Where it goes in the run's artifacts, with `/`."""
    content: bytes


@dataclass(frozen=True)
class Results:
    """What a training ends with."""

    manifest: Manifest
    model: "keras.Model"
    """With the weights of its best epoch."""
    best_epoch: int
    files: Mapping[str, str]
    """Name -> text of what shall lie beside the model."""


class Tracker(Protocol):
    """One place that trainings are recorded in. Each method may take long, and raise where the server is away."""

    name: str
    """As people call it."""
    run_id: str
    """Names the run after a resume."""
    is_continued: bool
    """Whether the run has figures of this training already: what it started from need not be told again."""

    def log_inputs(self, params: Mapping[str, Any], manifest: Manifest) -> None:
        """Log what the training starts from."""

    def log_points(self, points: Sequence[Point]) -> None:
        """Log figures; what a continued run has already is left out."""

    def log_file(self, file: File) -> None:
        """Log a file."""

    def log_results(self, results: Results) -> None:
        """Log what the training ended with."""

    def close(self, wait_seconds: float) -> None:
        """Let go of the run, after so long at the latest."""


class Outbox(Generic[Item]):
    """Sends what it is given, in order, from a thread of its own; what fails is tried again until it succeeds.

    Args:
        what: what is sent and where to, in words, for the log.
        send: takes one or more items; any error keeps them.
        most: how many items go at once.
        pause_seconds: how long to leave a server alone that failed.
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
        self._awake = threading.Event()  # set ends the pause after a failure
        self._is_closed = self._is_last = False
        # A daemon: a server that never answers must not keep the process.
        self._thread = threading.Thread(target=self._work, name=f"outbox: {what}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> tuple[Item, ...]:
        """What has not been sent."""
        with self._changed:
            return tuple(self._items)

    def put(self, item: Item) -> None:
        """Take an item, and return at once."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def flush(self, wait_seconds: float) -> int:
        """Wait until all is sent, so long at the most; gives how many items still wait."""
        self._is_last = True
        self._awake.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._items, wait_seconds)
            return len(self._items)

    def close(self, wait_seconds: float) -> int:
        """Send what waits, so long at the most, and send nothing more; gives how many items were never sent."""
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
            # Clients raise what they like (boto's errors are no OSErrors), and no figure is worth a training.
            except Exception as error:
                logger.warning("%d %s wait: %s", len(self.waiting), self._what, error)
                self._awake.wait(LAST_PAUSE_SECONDS if self._is_last else self._pause_seconds)
                self._awake.clear()
                continue
            with self._changed:
                for _ in batch:
                    self._items.popleft()
                self._changed.notify_all()

    def _next(self) -> list[Item]:
        """The items to send next; none once the outbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._is_closed)
            return [] if self._is_closed else list(self._items)[: self._most]
