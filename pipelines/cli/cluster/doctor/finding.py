"""What `doctor` says about one thing."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        level: `problem` is what stops a run; `warning` what may.
        subject: what was looked at.
        detail: what was seen.
        advice: what to do; empty where all is well.
    """

    level: Level
    subject: str
    detail: str
    advice: str = ""


def ok(subject: str, detail: str) -> Finding:
    """All is well."""
    return Finding("ok", subject, detail)


def warning(subject: str, detail: str, advice: str) -> Finding:
    """Something that some runs will stumble over."""
    return Finding("warning", subject, detail, advice)


def problem(subject: str, detail: str, advice: str) -> Finding:
    """Something that stops every run that needs it."""
    return Finding("problem", subject, detail, advice)
