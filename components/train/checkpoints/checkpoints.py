"""Checkpoints of a training in durable storage: killed at any moment, it resumes from the last valid one.

A folder or bucket holds `tilepipe-checkpoints-v1/<key>/` for each training (see `store`): the last two states and the
best weights that belong to them, each written atomically.
"""

import logging
import re
import threading
from typing import Self

from tilepipe.components.shared.errors import ParameterError, StorageError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.place import Place
from tilepipe.components.train.checkpoints.file import State, owned
from tilepipe.components.train.checkpoints.store import KEPT, CheckpointStore

logger = logging.getLogger("tilepipe.train")

FOLDER = "tilepipe-checkpoints-v1"
"""Subfolder of the address that a user gives, which may hold other files."""
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Checkpoints:
    """The checkpoints of one training, written by a background thread. Call it from a single thread.

    At most one state is being written and one is queued, and a newer state replaces the queued one, so memory is
    bounded however slow the store is. A failed write logs a warning and does not stop the training.

    Args:
        location: a local folder, or `s3://bucket/prefix`.
        key: identifier of the training, such as a hash of its parameters and inputs.

    Raises:
        ParameterError: the location or the key is invalid.
    """

    def __init__(self, location: str, key: str) -> None:
        base = storage.normalize_place("checkpoint_uri", location)
        if not _KEY.fullmatch(key):
            raise ParameterError(
                f"A checkpoint key must consist of letters, digits, dots and dashes. Received: {key!r}."
            )
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
        """Check that the location is writable and has enough space.

        Args:
            state_bytes: size of a state, including the best weights. Defaults to 0, if it is unknown.

        Raises:
            StorageError: the location is not writable, or its free space is known and too small.
        """
        try:
            room = self._store.probe()
        except StorageError as error:
            raise StorageError(
                "`checkpoint_uri` must be writable. "
                f"Received: checkpoint_uri={self._location!r}, which gives: {str(error).rstrip('.')}. "
                "Use another address, or leave it empty to disable checkpoints."
            ) from None
        needed = (KEPT + 1) * state_bytes
        if room is not None and room < needed:
            raise StorageError(
                f"`checkpoint_uri` must have room for {KEPT + 1} checkpoints, {needed / 2**20:,.0f} MiB. "
                f"Received: checkpoint_uri={self._location!r}, which has {room / 2**20:,.0f} MiB. "
                "Free some space, or use another address."
            )

    def latest(self) -> State | None:
        """Return the newest valid state.

        Returns:
            The state, or None if there is none. Damaged states are skipped with a warning.

        Raises:
            StorageError: the location cannot be read; the training must not start over for that.
        """
        try:
            return self._store.newest()
        except StorageError as error:
            raise StorageError(
                "The checkpoints must be readable to resume the training. "
                f"Received: checkpoint_uri={self._location!r}, which gives: {str(error).rstrip('.')}. "
                "Retry when the storage is available, or use another address to start over."
            ) from None

    def save(self, state: State) -> None:
        """Queue a state for writing, and return at once.

        Args:
            state: the state, whose arrays must not be changed afterwards (see `State`).

        Raises:
            ParameterError: an array has a dtype that no Keras variable has.
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
        """Wait, up to a timeout, until nothing is being written; return whether the last state has been written."""
        with self._changed:
            is_done = self._changed.wait_for(lambda: not self._is_writing and self._waiting is None, timeout_seconds)
            return is_done and self._is_saved

    def close(self) -> None:
        """Write the queued state, and end the background thread once it is written or has failed."""
        self.wait()
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.join()

    def remove(self) -> None:
        """Delete all checkpoints of this training, which has finished; a failure logs a warning."""
        self.close()
        try:
            self._store.remove()
        except StorageError as error:
            logger.warning(
                "the checkpoints at %s could not be deleted, delete them manually: %s", self._location, error
            )

    def _write_all(self) -> None:
        while self._is_waiting():
            self._write_waiting()

    def _is_waiting(self) -> bool:
        """Wait for a queued state; return False if there will be none."""
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
        except Exception as error:  # no error may stop the training or later checkpoints
            logger.warning(
                "a checkpoint could not be written to %s, retrying at the next interval: %s",
                self._location,
                str(error) or type(error).__name__,
                exc_info=not isinstance(error, StorageError),
            )
        finally:
            with self._changed:
                self._is_writing, self._is_saved = False, is_saved
                self._changed.notify_all()
