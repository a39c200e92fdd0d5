"""Result of one check of `doctor`."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Args:
        level: `problem` if it stops a run, `warning` if it may stop one, `skipped` if it was not checked.
        subject: the subject of the check.
        detail: the observation.
        advice: the remedy; empty if all is well.
    """

    level: Level
    subject: str
    detail: str
    advice: str = ""


def ok(subject: str, detail: str) -> Finding:
    """Return a finding without a remedy."""
    return Finding("ok", subject, detail)


def warning(subject: str, detail: str, advice: str) -> Finding:
    """Return a finding that affects some runs."""
    return Finding("warning", subject, detail, advice)


def skipped(subject: str, detail: str, advice: str) -> Finding:
    """Return a finding about something that was not checked; the advice says how to check it."""
    return Finding("skipped", subject, detail, advice)


def problem(subject: str, detail: str, advice: str) -> Finding:
    """Return a finding that stops every run that needs the subject."""
    return Finding("problem", subject, detail, advice)
