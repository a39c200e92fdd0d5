"""Results of the candidates of a sweep in durable storage, from which a killed worker or a later run continues.

A folder or bucket holds `tilepipe-sweeps-v1/<key>/` for each sweep, with files that are written once and completely, so
that many workers need no lock. `<digest>` is that of the candidate's parameters:

    candidate-003-<digest>.chosen.json      parameters that a study has chosen
    candidate-003-<digest>.rung-002.json    outcome at the rung after 2 epochs
    candidate-003-<digest>.json             outcome
    candidate-003-<digest>.keras            its model, if it is the best one of its worker
"""

import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tilepipe.components.shared.contracts.candidates import Candidate, Outcome
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.place import Place

logger = logging.getLogger("tilepipe.tune")

FOLDER = "tilepipe-sweeps-v1"
"""Subfolder of the address that a user gives, which may hold other files."""

_NAME = re.compile(r"candidate-\d{3}-[0-9a-f]{16}(\.chosen\.json|\.rung-\d+\.json|\.json|\.keras)")


class SweepResults:
    """The stored results of one sweep, of all its workers. Call it from a single thread.

    Files that are damaged are ignored with a warning, and so are failures to write: a result that is not stored is
    computed again. What this process has written is known to it even if the store is not reachable.

    Args:
        location: a local folder, or `s3://bucket/prefix`.
        parameter: name of the parameter that gave the location, for errors.
        key: identifier of the sweep: a digest of all that results must have in common to be comparable.
    """

    def __init__(self, location: str, parameter: str, key: str) -> None:
        self._base = f"{storage.normalize_place(parameter, location)}/{FOLDER}/{key}"
        self._place = Place(self._base)
        self._location, self._parameter = location, parameter
        self._known: dict[str, Candidate | Outcome] = {}
        self._models: set[str] = set()

    def read(self) -> None:
        """Read all results, when a worker starts.

        Raises:
            StorageError: the location cannot be read; the sweep must not start over for that.
        """
        try:
            self._read()
        except StorageError as error:
            raise StorageError(
                f"`{self._parameter}` must be readable to continue a sweep. Received: "
                f"{self._parameter}={self._location!r}, which gives: {str(error).rstrip('.')}. Retry when the storage "
                "is available, or use another address to start over."
            ) from None

    def refresh(self) -> None:
        """Read the results that other workers have written since."""
        try:
            self._read()
        except StorageError as error:
            logger.warning("results of other workers cannot be read: %s", error)

    def candidates(self, is_of_sweep: Callable[[Mapping[str, Any]], bool]) -> dict[int, Candidate]:
        """Return the candidates that are chosen or have an outcome, by index.

        Args:
            is_of_sweep: returns whether the present sweep may have a candidate with these parameters: the place holds
                results of earlier search spaces too. Of several with the same index, all workers get the same one.
        """
        found: dict[int, Candidate] = {}
        for name, known in sorted(self._known.items()):
            if ".rung-" not in name and is_of_sweep(known.parameters):
                found.setdefault(known.index, Candidate(index=known.index, parameters=known.parameters))
        return found

    def outcomes(self, candidates: Mapping[int, Candidate]) -> dict[int, Outcome]:
        """Return the outcomes of those candidates that have one, by index."""
        return {index: outcome for index, one in candidates.items() if (outcome := self.outcome(one))}

    def outcome(self, candidate: Candidate, rung: int = 0) -> Outcome | None:
        """Return the outcome after the epochs of a rung, or the final one for rung 0; None if there is none."""
        known = self._known.get(_outcome_name(candidate, rung))
        return known if isinstance(known, Outcome) else None

    def choose(self, candidate: Candidate) -> None:
        """Record the parameters that a study has chosen."""
        self._write(f"{_stem(candidate)}.chosen.json", candidate)

    def record(self, outcome: Outcome, rung: int = 0) -> None:
        """Record the outcome after the epochs of a rung, or the final one for rung 0."""
        self._write(_outcome_name(outcome, rung), outcome)

    def keep_model(self, outcome: Outcome, model: Path) -> None:
        """Store the model of an outcome; call it before `record`, so that the best outcome has its model."""
        name = f"{_stem(outcome)}.keras"
        try:
            self._place.write(name, [model.read_bytes()], durable=True)
            self._models.add(name)
        except StorageError as error:
            logger.warning("the model of %s is not stored: %s", outcome.name, error)

    def restore_model(self, outcome: Outcome, path: Path) -> bool:
        """Write the stored model of an outcome to a file; return False if it is not stored."""
        try:
            path.write_bytes(self._place.read(f"{_stem(outcome)}.keras"))
        except SourceError:
            return False
        return True

    def drop_models(self, outcomes: Collection[Outcome]) -> None:
        """Delete the models of outcomes that are not the best ones."""
        self._delete([name for outcome in outcomes if (name := f"{_stem(outcome)}.keras") in self._models])

    def rung_checkpoints(self) -> str:
        """Return the location for checkpoints of candidates that pause at rungs."""
        return f"{self._base}-rungs"

    def drop_checkpoints(self, outcome: Outcome) -> None:
        """Delete the checkpoints of a candidate that will not continue after a rung."""
        folder = self.rung_checkpoints()
        address = f"{folder}/{outcome.name}"
        if not storage.is_remote(address):
            shutil.rmtree(address, ignore_errors=True)
            with contextlib.suppress(OSError):  # of other candidates
                Path(folder).rmdir()
            return
        place = Place(address)
        try:
            for name in place.sizes():
                place.delete(name)
        except StorageError as error:
            logger.warning("the checkpoints of %s could not be deleted: %s", outcome.name, error)

    def remove(self, indices: Collection[int]) -> None:
        """Delete the results of some candidates, which no later run is to find."""
        own = {f"candidate-{index:03d}-" for index in indices}
        try:
            names = [name for name in self._place.sizes() if any(name.startswith(start) for start in own)]
        except StorageError:
            names = [*self._known, *self._models]
        self._delete([name for name in names if _NAME.fullmatch(name)])
        self._place.remove_if_empty()

    def _read(self) -> None:
        for name in self._place.sizes():
            if not _NAME.fullmatch(name) or name in self._known:
                continue
            if name.endswith(".keras"):
                self._models.add(name)
                continue
            kind = Candidate if name.endswith(".chosen.json") else Outcome
            try:
                self._known[name] = kind.model_validate_json(self._place.read(name))
            except SourceError:  # deleted since it was listed
                continue
            except ValidationError as error:
                logger.warning("ignoring the damaged result %s in %s: %s", name, self._location, error)

    def _write(self, name: str, content: Candidate | Outcome) -> None:
        self._known[name] = content
        try:
            self._place.write(name, [content.model_dump_json(indent=2).encode()], durable=True)
        except StorageError as error:
            logger.warning("a result is not stored: %s", error)

    def _delete(self, names: Collection[str]) -> None:
        try:
            for name in names:
                self._place.delete(name)
                self._models.discard(name)
        except StorageError as error:
            logger.warning("results in %s could not be deleted, delete them manually: %s", self._location, error)


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the digest of the facts that identify a sweep."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _stem(one: Candidate | Outcome) -> str:
    return f"{one.name}-{key_of(one.parameters)[:16]}"


def _outcome_name(one: Candidate | Outcome, rung: int) -> str:
    return f"{_stem(one)}.rung-{rung:03d}.json" if rung else f"{_stem(one)}.json"
