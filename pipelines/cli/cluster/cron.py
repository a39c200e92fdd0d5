"""Conversion of standard cron expressions to those of KFP, which start with the seconds.

KFP reads five fields as second, minute, hour, day and month: the standard `0 3 * * *`, every night at three, would
start a run at three minutes past every hour. KFP's server checks the values, with
https://pkg.go.dev/github.com/robfig/cron@v1.2.0.
"""

import re

from tilepipe.components.shared.errors import ParameterError

EXAMPLE = '"0 3 * * *" (minute hour day month weekday), with seconds in front, or a word such as @daily'


def normalize(expression: str) -> str:
    """Convert a cron expression to one of KFP.

    Args:
        expression: five fields (minute, hour, day, month, weekday), six with seconds in front, or a word such as
            `@daily`. Sunday is 0 or 7.

    Returns:
        The expression for KFP, whose values are not checked.

    Raises:
        ParameterError: the expression has another number of fields.
    """
    fields = expression.split()
    if len(fields) == 1 and fields[0].startswith("@"):
        return fields[0].lower()
    if len(fields) not in {5, 6}:
        raise ParameterError(
            f"--cron must have five or six fields. Received: {expression!r}, which has {len(fields)}. Give {EXAMPLE}."
        )
    if len(fields) == 5:
        fields = ["0", *fields]
    # KFP's weekdays end at 6, and its ranges must ascend.
    fields[5] = re.sub(r"(?<![\d/])7(?!\d)", "0", re.sub(r"(?<!\d)(\d)-7(?!\d)", _to_sunday, fields[5]))
    return " ".join(fields)


def _to_sunday(match: re.Match[str]) -> str:
    low = int(match[1])
    return "0-6" if low <= 1 else f"{low}-6,0" if low < 7 else "0"
