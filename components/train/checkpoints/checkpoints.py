"""Checkpoints of a training at a durable place: killed at any moment, it goes on from the last whole one.

A folder or a bucket holds `tilepipe-checkpoints-v1/<key>/` for each training (see `checkpoint_store`): few files, each
whole or not there, the last two states and the best weights that belong to them.
"""

import logging
import re
import threading
from typing import Self

from pydantic import Field, model_validator

from tilepipe.components.shared.errors import ParameterError, StorageError
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage import storage
from tilepipe.components.train.checkpoints.checkpoint_place import Place
from tilepipe.components.train.checkpoints.file import State, owned
from tilepipe.components.train.checkpoints.store import KEPT, CheckpointStore

logger = logging.getLogger("tilepipe.train")

FOLDER = "tilepipe-checkpoints-v1"
"""Below the address that a user gives, so that it may hold other things; another format gets another name."""
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class CheckpointOptions(StepConfig):
    """When a training that has a place for checkpoints writes one."""

    checkpoint_every_seconds: float = Field(
        default=120.0, ge=0, le=86_400, description="What a kill may cost at most; 0 leaves it to the epochs"
    )
    checkpoint_every_epochs: int = Field(
        default=0, ge=0, description="Also at the end of every so many epochs; 0 leaves it to the seconds"
    )

    @model_validator(mode="after")
    def _ever(self) -> Self:
        if self.checkpoint_every_seconds == 0 and self.checkpoint_every_epochs == 0:
            raise ValueError(
                "Checkpoints must be written by time or by epoch. Received: checkpoint_every_seconds=0 and "
                "checkpoint_every_epochs=0. Give one of them, or no address for checkpoints to go without."
            )
        return self

    def is_checkpoint_due(self, seconds: float, finished_epochs: int) -> bool:
        """Whether it is time for a checkpoint.

        Args:
            seconds: since the last one.
            finished_epochs: epochs that have ended since the last one.

        Returns:
            Whether either interval has passed.
        """
        return (0 < self.checkpoint_every_seconds <= seconds) or (0 < self.checkpoint_every_epochs <= finished_epochs)


class Checkpoints:
    """The checkpoints of one training. Call it from one thread; it writes in another, without stopping the first.

    At most one state is being written and one is waiting, whose place a newer one takes: memory is bounded, however
    slow the store. What cannot be written costs a warning, never the training.

    Args:
        location: a local folder, or `s3://bucket/prefix`.
        key: what tells this training from others, such as a hash of its parameters and inputs.

    Raises:
        ParameterError: the location is neither, or the key is no file's name.
    """

    def __init__(self, location: str, key: str) -> None:
        base = storage.normalise_place("checkpoint_uri", location)
        if not _KEY.fullmatch(key):
            raise ParameterError(f"A checkpoint's key must be letters, digits, dots and dashes. Received: {key!r}.")
        self._location = location
        self._store = CheckpointStore(Place(f"{base}/{FOLDER}/{key}"), key, location)
        self._changed = threading.Condition()
        self._waiting: State | None = None
        self._is_writing = self._is_closing = False
        self._is_saved = True
        self._writer: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self, state_bytes: int = 0) -> None:
        """See that the place can be written, before a training counts on it.

        Args:
            state_bytes: what a state will take, best weights included; 0 where that is not known.

        Raises:
            StorageError: it cannot be, or, where that can be known, there is no room for the states.
        """
        try:
            room = self._store.probe()
        except StorageError as error:
            raise StorageError(
                "`checkpoint_uri` must be a place that can be written. "
                f"Received: checkpoint_uri={self._location!r}, which gives: {str(error).rstrip('.')}. "
                "Give another address, or leave it empty to go without checkpoints."
            ) from None
        needed = (KEPT + 1) * state_bytes
        if room is not None and room < needed:
            raise StorageError(
                f"`checkpoint_uri` must have room for {KEPT + 1} checkpoints, {needed / 2**20:,.0f} MiB. "
                f"Received: checkpoint_uri={self._location!r}, which has {room / 2**20:,.0f} MiB. "
                "Free some, or give another address."
            )

    def latest(self) -> State | None:
        """The newest state that is whole.

        Returns:
            The state, or None where there is none; what is damaged is passed over with a warning.

        Raises:
            StorageError: the place cannot be read: a training must not start anew for that.
        """
        try:
            return self._store.newest()
        except StorageError as error:
            raise StorageError(
                "The checkpoints must be readable, for the training to go on. "
                f"Received: checkpoint_uri={self._location!r}, which gives: {str(error).rstrip('.')}. "
                "Start again once it is, or give another address to begin anew."
            ) from None

    def save(self, state: State) -> None:
        """Have a state written; returns at once.

        Args:
            state: its arrays are this object's from now on (see `State`).

        Raises:
            ParameterError: an array is of a dtype that no variable has.
            TypeError: the facts are not JSON.
        """
        state = owned(state)
        with self._changed:
            self._waiting = state
            if self._writer is None:
                self._is_closing = False
                self._writer = threading.Thread(target=self._write_all, name="tilepipe-checkpoints", daemon=True)
                self._writer.start()
            self._changed.notify_all()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until nothing is being written.

        Args:
            timeout_seconds: how long at most; None until it is written or given up.

        Returns:
            Whether the state that was saved last lies whole at its place.
        """
        with self._changed:
            is_done = self._changed.wait_for(lambda: not self._is_writing and self._waiting is None, timeout_seconds)
            return is_done and self._is_saved

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Write what has been saved, and end the thread that does it.

        Args:
            timeout_seconds: how long to wait for that; None until it is written or given up.

        Returns:
            Whether the state that was saved last lies whole at its place.
        """
        is_saved = self.wait(timeout_seconds)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            writer, self._writer = self._writer, None
            is_idle = not self._is_writing and self._waiting is None
        if writer is not None and is_idle:
            writer.join()
        return is_saved

    def remove(self) -> None:
        """Take all of this training's checkpoints away: it has ended well. What stays behind costs a warning."""
        self.close()
        try:
            self._store.remove()
        except StorageError as error:
            logger.warning("the checkpoints at %s stay behind, delete them: %s", self._location, error)

    def _write_all(self) -> None:
        while self._is_waiting():
            self._write_waiting()

    def _is_waiting(self) -> bool:
        """Wait for a state to be written; False where there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_closing)
            return self._waiting is not None

    def _write_waiting(self) -> None:
        with self._changed:
            state, self._waiting, self._is_writing = self._waiting, None, True
        is_saved = False
        try:
            if state:
                self._store.write(state)
            is_saved = True
        except Exception as error:  # whatever it is, the training goes on, and so do later checkpoints
            logger.warning(
                "a checkpoint could not be written to %s, the next one is tried in its turn: %s",
                self._location,
                str(error) or type(error).__name__,
                exc_info=not isinstance(error, StorageError),
            )
        finally:
            with self._changed:
                self._is_writing, self._is_saved = False, is_saved
                self._changed.notify_all()
