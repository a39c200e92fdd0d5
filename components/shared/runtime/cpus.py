"""The number of CPUs that the process may use."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """Return the number of CPUs that the process may use, at least 1.

    `os.cpu_count` returns those of the machine. In a container with a limit, that many threads are stopped by the
    scheduler for part of each period.

    Args:
        cgroup: folder of the process' control group.

    Returns:
        The smaller one of the CPUs that the process may run on, and of the container's limit, rounded up.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _limit(cgroup)
    return max(1, cpus if limit is None else min(cpus, math.ceil(limit)))


def _limit(cgroup: Path) -> float | None:
    """Return the limit of the control group in CPUs, of either version of the interface; None if there is none."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    try:
        limit = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # `max`, which is no limit
        return None
    return limit if limit > 0 else None
