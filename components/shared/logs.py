"""What a step itself wrote, out of the log of a pod that KFP's launcher and Argo write to as well."""

import re

_FOREIGN = (
    re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \w+\.go:\d+\] "),  # KFP's launcher
    re.compile(r'time=\S+ level=\w+ msg=".*argo=true'),  # Argo's executor
    re.compile(r"Error: exit status \d+$"),
)


def own_lines(log: str) -> list[str]:
    """The lines of a log that neither KFP's launcher nor Argo's executor wrote.

    Args:
        log: the log of a pod's main container.

    Returns:
        The other lines, without blank ones.
    """
    lines = (line.rstrip() for line in log.splitlines())
    return [line for line in lines if line.strip() and not any(pattern.match(line) for pattern in _FOREIGN)]
