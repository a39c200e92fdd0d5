"""What happens between a training's steps: checkpoints in their time, and an orderly end when one is asked for."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from tilepipe.components.train.checkpoints.checkpoints import CheckpointOptions, Checkpoints
from tilepipe.components.train.checkpoints.file import State
from tilepipe.components.train.loop.sigterm import StopRequest
from tilepipe.components.train.tracking.recorder import Record

logger = logging.getLogger("tilepipe.train")

STOPPED_EXIT_CODE = 128 + 15
"""What a shell shows of a process that SIGTERM ended."""


class Stopped(SystemExit):
    """The process was told to stop, and the training can be taken up where it was."""

    def __init__(self) -> None:
        super().__init__(STOPPED_EXIT_CODE)


class Savable(Protocol):
    """What a checkpoint is taken of."""

    @property
    def state(self) -> State:
        """All that it needs to go on from here."""


class Watch:
    """Looks after a training between its steps.

    Args:
        checkpoints: where states go; None where none are kept.
        options: when.
        record: whose own state goes along.
        facts: what else does, as JSON.
        request: whether the process has been told to stop.
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

    def begun(self, training: Savable) -> None:
        """The training is set up, and no step is done: whoever starts it again finds the same runs in the trackers."""
        if self._checkpoints:
            self._save(self._checkpoints, training)

    def stepped(self, training: Savable) -> None:
        """A step has ended."""
        if self._request.is_asked:
            self._stop(training)
        self._save_when_due(training)

    def epoch_ended(self, training: Savable) -> None:
        """An epoch has ended, with its validation."""
        self._epochs_since += 1
        if self._request.is_asked:
            self._stop(training)
        self._save_when_due(training)

    def _save_when_due(self, training: Savable) -> None:
        since = time.monotonic() - self._last_saved
        if self._checkpoints and self._options.is_checkpoint_due(since, self._epochs_since):
            self._save(self._checkpoints, training)

    def _save(self, checkpoints: Checkpoints, training: Savable) -> None:
        self._last_saved, self._epochs_since = time.monotonic(), 0
        state = training.state
        # The last step may have left the numbers before its loss shows it; a good state is not given up for that.
        if all(np.isfinite(array).all() for array in state.arrays.values() if array.dtype.kind == "f"):
            facts = {**state.facts, **self._facts, "record": self._record.state()}
            checkpoints.save(replace(state, facts=facts))

    def _stop(self, training: Savable) -> None:
        """End in order, with a last checkpoint if there is time for it: KFP gives a pod less than a second."""
        logger.warning("told to stop (SIGTERM)")
        if self._checkpoints:
            self._save(self._checkpoints, training)
            saved = self._checkpoints.wait()
            logger.warning("the training %s", "can be taken up from here" if saved else "is not saved as it is now")
        raise Stopped
