"""Errors that tilepipe raises: one class hierarchy, each class also derived from a matching builtin.

A message states the rule, what was received, and the remedy. A step that stops with one of these errors ends with exit
code 2 and no traceback (see `tilepipe.components.shared.runtime.step`); any other exception is a bug and keeps its
traceback.
"""

import difflib
import errno
import os
from collections.abc import Iterable


class TilepipeError(Exception):
    """Base class of all errors whose cause a user can change."""


class ParameterError(TilepipeError, ValueError):
    """A parameter that is unknown, of the wrong type, out of range, or in conflict with another."""


class SourceError(TilepipeError, LookupError):
    """A source that is missing, empty, unreadable or not what it claims to be."""


class BandError(TilepipeError, ValueError):
    """Band names that are unknown, ambiguous, or contradicted by the pixels."""


class TileError(TilepipeError, ValueError):
    """A tile that cannot be used: corrupt, truncated, missing, blank, or of another shape than the others."""


class SplitError(TilepipeError, ValueError):
    """Splits that cannot be made, such as a class with fewer tiles than there are splits."""


class ArtifactError(TilepipeError, ValueError):
    """An artifact of another step that is damaged or of a version this one does not read."""


class DriftError(TilepipeError, ValueError):
    """Predictions that differ more from the training data than is allowed."""


class StorageError(TilepipeError, OSError):
    """A disk or a bucket that is full, unreachable or not writable."""


class TrackingError(TilepipeError, ConnectionError):
    """A tracking server that is unreachable, or rejects what a step must record."""


class PromotionError(TilepipeError, RuntimeError):
    """A model version that must not become champion, or a registry that changed meanwhile."""


class ClusterError(TilepipeError, ConnectionError):
    """A Kubeflow or Kubernetes API that cannot be reached, is too old, or refuses what was asked."""


_FULL = (errno.ENOSPC, errno.EDQUOT)


def full_disk(error: BaseException) -> StorageError | None:
    """Return the error to raise for that of a full disk; None for any other.

    Libraries such as DuckDB and TensorFlow raise errors of their own, with the text of the operating system.
    """
    place = str(getattr(error, "filename", None) or error)
    if getattr(error, "errno", None) not in _FULL and not any(os.strerror(number) in str(error) for number in _FULL):
        return None
    return StorageError(
        f"The disk is full: {place.splitlines()[0]}. Free space there, or give the step a larger volume."
    )


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant; empty if none is close."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), "")


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return `Did you mean ...?` with the known name closest to a name, or `otherwise` if none of them is close."""
    close = closest(name, known)
    return f"Did you mean {close}?" if close else otherwise
