"""Names, order and retention of the checkpoint files of a training.

    state-000012-<digest>-<best>.safetensors   state of model, optimizer and metrics; the highest number is the newest
    best-<best>.safetensors                    weights of the best epoch

`<digest>` and `<best>` are the digests of the content of each file. There is no pointer to the newest state that could
be stale, and the name of a state identifies its best weights, so that files can be deleted without reading any.
"""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

from tilepipe.components.shared.errors import ArtifactError, SourceError, StorageError
from tilepipe.components.shared.storage.place import Place
from tilepipe.components.train.checkpoints.file import MAX_FILE_BYTES, Encoded, State, decode, encode

logger = logging.getLogger("tilepipe.train")

KEPT = 2
"""Number of valid states to keep: if the newest is damaged, the one before it is used."""

_STATE = re.compile(r"state-(\d{6,15})-([0-9a-f]{32})(?:-([0-9a-f]{32}))?\.safetensors")
_BEST = re.compile(r"best-[0-9a-f]{32}\.safetensors")
_FORMER = re.compile(r"(state|best)-[0-9a-f-]+\.tpck")
"""Files of the former format, which are not read."""
_PROBE = "probe"


class CheckpointStore:
    """The stored states of one training; damaged states are neither used nor counted as kept.

    Args:
        place: storage of the files.
        key: identifier of the training.
        shown: the location, as shown in messages.
    """

    def __init__(self, place: Place, key: str, shown: str) -> None:
        self._place, self._key, self._shown = place, key, shown
        self._damaged: set[str] = set()

    def probe(self) -> int | None:
        """Check that files can be written and deleted, and remove partial files of a killed writer.

        Returns:
            Bytes available for states: free space and the size of existing states; None if it is unknown.

        Raises:
            StorageError: files cannot be written or deleted.
        """
        self._place.write(_PROBE, [b"tilepipe can write here\n"], durable=True)
        self._place.delete(_PROBE)
        self._place.sweep()
        free = self._place.free_bytes()
        return None if free is None else free + sum(self._place.sizes().values())

    def newest(self) -> State | None:
        """Return the newest valid state; skipped states log a warning.

        Raises:
            StorageError: the location cannot be read.
        """
        sizes = self._place.sizes()
        states = _states(sizes)
        for name in reversed(states):
            try:
                return self._read_state(name, sizes)
            except ArtifactError as error:
                self._damaged.add(name)
                logger.warning("skipping the checkpoint %s at %s: %s", name, self._shown, error)
        if states:
            logger.warning("no checkpoint at %s is usable: the training starts over", self._shown)
        elif any(map(_FORMER.fullmatch, sizes)):
            logger.warning(
                "the checkpoints at %s have the former format of tilepipe, .tpck: the training starts over", self._shown
            )
        return None

    def write(self, state: State) -> None:
        """Write a state returned by `owned` as the newest, and delete files that are no longer needed.

        Raises:
            StorageError: it cannot be written.
            ArtifactError: it exceeds the size limits.
        """
        began = time.monotonic()
        sizes = self._place.sizes()
        states = _states(sizes)
        best = encode(self._key, state.best, {}) if state.best else None
        if best:
            self._write_best(best, sizes)
        number = 1 + max(map(_number, states), default=0)
        file = encode(self._key, state.arrays, state.facts)
        digests = f"{file.digest}-{best.digest}" if best else file.digest
        name = f"state-{number:06}-{digests}.safetensors"
        self._place.write(name, file.parts, durable=True)
        logger.debug("checkpoint %s: %.1f MB in %.2f s", name, file.bytes / 1e6, time.monotonic() - began)
        try:
            self._prune([*states, name], sizes)
        except StorageError as error:
            logger.warning("old checkpoints at %s could not be deleted: %s", self._shown, error)

    def remove(self) -> None:
        """Delete all checkpoint files, and no others.

        Raises:
            StorageError: they cannot be deleted.
        """
        for name in self._place.sizes():
            if name == _PROBE or _is_ours(name):
                self._place.delete(name)
        self._place.sweep()
        self._place.remove_if_empty()

    def _write_best(self, best: Encoded, sizes: Mapping[str, int]) -> None:
        name = f"best-{best.digest}.safetensors"
        if sizes.get(name) != best.bytes or name in self._damaged:
            self._place.write(name, best.parts, durable=True)
            self._damaged.discard(name)

    def _prune(self, states: list[str], names: Iterable[str]) -> None:
        kept = set([name for name in states if name not in self._damaged][-KEPT:])
        kept |= {_best_of(name) for name in kept}
        for name in names:
            if name not in kept and _is_ours(name):
                self._place.delete(name)

    def _read_state(self, name: str, sizes: Mapping[str, int]) -> State:
        arrays, facts = self._decode(name, sizes)
        best = _best_of(name)
        if not best:
            return State(arrays, {}, facts)
        try:
            weights, _ = self._decode(best, sizes)
        except ArtifactError as error:
            self._damaged.add(best)
            raise ArtifactError(f"its best weights, {best}, cannot be used: {error}") from None
        return State(arrays, weights, facts)

    def _decode(self, name: str, sizes: Mapping[str, int]) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        if sizes.get(name, 0) > MAX_FILE_BYTES:
            raise ArtifactError(f"it has {sizes[name]:,} bytes, more than the limit")
        try:
            content = self._place.read(name)
        except SourceError:
            raise ArtifactError("it does not exist") from None
        return decode(content, _digest_of(name), self._key)


def _states(names: Iterable[str]) -> list[str]:
    """Return the names of states among some files, the newest last."""
    return sorted((name for name in names if _STATE.fullmatch(name)), key=lambda name: (_number(name), name))


def _is_ours(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in (_STATE, _BEST, _FORMER))


def _number(name: str) -> int:
    match = _STATE.fullmatch(name)
    return int(match[1]) if match else 0


def _best_of(name: str) -> str:
    """Return the name of the file with the best weights of a state; empty if it has none."""
    match = _STATE.fullmatch(name)
    return f"best-{match[3]}.safetensors" if match and match[3] else ""


def _digest_of(name: str) -> str:
    match = _STATE.fullmatch(name)
    return match[2] if match else name.removeprefix("best-").removesuffix(".safetensors")
