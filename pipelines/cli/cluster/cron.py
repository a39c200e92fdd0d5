"""Conversion of standard cron expressions to those of KFP, which start with the seconds.

KFP reads five fields as second, minute, hour, day and month: the standard `0 3 * * *`, every night at three, would
fire at three minutes past every hour. Its parser is https://pkg.go.dev/github.com/robfig/cron@v1.2.0.
"""

import re
from dataclasses import dataclass

from tilepipe.components.shared.errors import ParameterError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 6, _DAYS),
)


def normalize(expression: str) -> str:
    """Convert a cron expression to one of KFP.

    Args:
        expression: five fields (minute, hour, day, month, weekday), six with seconds in front, or a word such as
            `@daily`. Sunday is 0 or 7.

    Returns:
        The expression for KFP.

    Raises:
        ParameterError: the expression is invalid; the message names every wrong field.
    """
    if expression.strip().lower() in _WORDS:
        return expression.strip().lower()
    fields = expression.split()
    if len(fields) not in {5, 6}:
        raise ParameterError(
            "--cron must have five fields (minute hour day month weekday), six with seconds in front, or be one of "
            f"{', '.join(_WORDS)}. Received: {expression!r}, which has {len(fields)}."
        )
    if len(fields) == 5:
        fields = ["0", *fields]
    # robfig's weekdays end at 6, and its ranges run upwards only.
    fields[5] = re.sub(r"(?<![\d/])7(?!\d)", "0", re.sub(r"(?<!\d)(\d)-7(?!\d)", _to_sunday, fields[5]))
    problems = [_check(field, text) for field, text in zip(_FIELDS, fields, strict=True)]
    if any(problems):
        raise ParameterError(
            "\n".join(f"--cron: {problem} Received: {expression!r}." for problem in problems if problem)
        )
    return " ".join(fields)


def _to_sunday(match: re.Match[str]) -> str:
    low = int(match[1])
    return "0-6" if low <= 1 else f"{low}-6,0" if low < 7 else "0"


def _check(field: _Field, text: str) -> str:
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\*|\?)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if match is None:
            return f"{part!r} is not a {field.name}."
        if match[4] is not None and int(match[4]) == 0:
            return f"the step of the {field.name} must be at least 1."
        if match[1]:
            continue
        low, high = (_value(field, word) for word in (match[2], match[3] or match[2]))
        if low is None or high is None or not field.low <= low <= field.high or not field.low <= high <= field.high:
            return f"the {field.name} must be within {field.low} and {field.high}, not {part!r}."
        if low > high:
            return f"a range must run upwards, not {part!r}."
    return ""


def _value(field: _Field, word: str) -> int | None:
    if word.isdigit():
        return int(word)
    names = field.names
    return names.index(word.lower()) + field.low if word.lower() in names else None
