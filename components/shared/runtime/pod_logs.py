"""Why a pod ended, out of a log that KFP's driver or launcher and Argo write to as well as the step."""

import re

_FOREIGN = (
    re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \w+\.go:\d+\] "),  # KFP's launcher
    re.compile(r'time=\S+ level=\w+ msg=".*argo=true'),  # Argo's executor
    re.compile(r"Error: exit status \d+$"),
)

_DRIVER_FAILED = re.compile(r"F\d{4} .*\] KFP driver: (?:.*?\) failed: )?(.*)")


def last_words(log: str, lines: int) -> str:
    """Why a pod of a pipeline ended, as its log has it.

    Args:
        log: the log of a pod's main container.
        lines: how many lines of a step's own to give at most.

    Returns:
        What KFP's driver died of, or the last lines that the step itself wrote.
    """
    fatal = [match[1] for line in log.splitlines() if (match := _DRIVER_FAILED.match(line))]
    return fatal[-1] if fatal else "\n".join(own_lines(log)[-lines:])


def own_lines(log: str) -> list[str]:
    """The lines of a log that neither KFP's launcher nor Argo's executor wrote.

    Args:
        log: the log of a pod's main container.

    Returns:
        The other lines, without blank ones.
    """
    lines = (line.rstrip() for line in log.splitlines())
    return [line for line in lines if line.strip() and not any(pattern.match(line) for pattern in _FOREIGN)]
