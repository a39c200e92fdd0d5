"""Actions between training steps: checkpoints when they are due, and an orderly stop on request."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.errors import StorageError
from tilepipe.components.train.checkpoints.checkpoints import Checkpoints
from tilepipe.components.train.checkpoints.file import State
from tilepipe.components.train.checkpoints.intervals import CheckpointOptions
from tilepipe.components.train.loop.sigterm import StopRequest
from tilepipe.components.train.tracking.recorder import Record

logger = logging.getLogger("tilepipe.train")

STOPPED_EXIT_CODE = 128 + 15
"""Exit code of a process terminated by SIGTERM, as shells report it."""


class Stopped(SystemExit):
    """The process was asked to stop; the training can be resumed."""

    def __init__(self) -> None:
        super().__init__(STOPPED_EXIT_CODE)


class Paused(Exception):  # noqa: N818 - no error
    """The training has reached the epoch to pause after; it can be resumed from its checkpoint.

    Args:
        history: figures of the epochs so far.
    """

    def __init__(self, history: History) -> None:
        super().__init__(f"paused after {len(history.epochs)} epochs")
        self.history = history


class Checkpointable(Protocol):
    """An object whose state can be saved in a checkpoint."""

    @property
    def state(self) -> State:
        """State that is sufficient to resume."""


class InterruptionHandler:
    """Writer of due checkpoints, and handler of stop requests, between the steps of a training.

    Args:
        checkpoints: the checkpoints; None if they are disabled.
        options: the checkpoint intervals.
        record: the record, whose state is saved too.
        facts: further facts to save, as JSON.
        request: the stop request of the process.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        options: CheckpointOptions,
        record: Record,
        facts: Mapping[str, Any],
        request: StopRequest,
    ) -> None:
        self._checkpoints, self._options, self._record = checkpoints, options, record
        self._facts, self._request = facts, request
        self._last_saved, self._epochs_since = time.monotonic(), 0

    def begun(self, training: Checkpointable) -> None:
        """Save a checkpoint before the first step, so that a restart finds the same runs in the trackers."""
        self._save(training)

    def stepped(self, training: Checkpointable) -> None:
        """Handle the end of a step."""
        if self._request.is_asked:
            self._stop(training)
        if self._options.is_checkpoint_due(time.monotonic() - self._last_saved, self._epochs_since):
            self._save(training)

    def epoch_ended(self, training: Checkpointable) -> None:
        """Handle the end of an epoch, after its validation."""
        self._epochs_since += 1
        self.stepped(training)

    def pause(self, training: Checkpointable) -> None:
        """Save a checkpoint to resume from later.

        Raises:
            StorageError: it cannot be written, or checkpoints are disabled.
        """
        self._save(training)
        if not self._checkpoints or not self._checkpoints.wait():
            raise StorageError("A training that pauses must be able to write a checkpoint. Check `checkpoint_uri`.")

    def _save(self, training: Checkpointable) -> None:
        if not self._checkpoints:
            return
        self._last_saved, self._epochs_since = time.monotonic(), 0
        state = training.state
        # The last step may have made weights non-finite before its loss shows it; keep the previous state then.
        if all(np.isfinite(array).all() for array in state.arrays.values() if array.dtype.kind == "f"):
            facts = {**state.facts, **self._facts, "record": self._record.state()}
            self._checkpoints.save(replace(state, facts=facts))

    def _stop(self, training: Checkpointable) -> None:
        """Stop with a last checkpoint, if there is time: KFP gives a pod less than a second."""
        logger.warning("stopping on SIGTERM")
        if self._checkpoints:
            self._save(training)
            saved = self._checkpoints.wait()
            logger.warning("the last checkpoint was %s", "saved" if saved else "not saved")
        raise Stopped
