"""Find why a pod ended in a log shared by the step, KFP's driver and launcher, and Argo."""

import re

_FOREIGN = (
    re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \w+\.go:\d+\] "),  # KFP's launcher
    re.compile(r'time=\S+ level=\w+ msg=".*argo=true'),  # Argo's executor
    re.compile(r"Error: exit status \d+$"),
)

_DRIVER_FAILED = re.compile(r"F\d{4} .*\] KFP driver: (?:.*?\) failed: )?(.*)")


def last_words(log: str) -> str:
    """Return why a pod ended, from its log: the fatal error of KFP's driver, or the last five lines of the step."""
    fatal = [match[1] for line in log.splitlines() if (match := _DRIVER_FAILED.match(line))]
    return fatal[-1] if fatal else "\n".join(own_lines(log)[-5:])


def own_lines(log: str) -> list[str]:
    """Return the lines of a main container's log written by neither KFP's launcher nor Argo's executor, nor blank."""
    lines = (line.rstrip() for line in log.splitlines())
    return [line for line in lines if line.strip() and not any(pattern.match(line) for pattern in _FOREIGN)]
