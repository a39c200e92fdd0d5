"""How busy the machine is, sampled while a training runs.

MLflow's own probes, under MLflow's names, so that its "System metrics" tab shows them. Not MLflow's own monitor: it
stops for good at the first request that fails, and a server that is away for a minute must not cost the rest. CPU,
memory, disk and network are those of the whole node, as the kernel tells them to a container.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger("tilepipe.train")

PREFIX = "system/"


class SystemMetrics:
    """Samples from a thread of its own until it is closed.

    Args:
        report: takes each sample, name -> value; must return at once.
        interval_seconds: the time between two samples; 0 takes none.
    """

    def __init__(self, report: Callable[[Mapping[str, float]], None], interval_seconds: float) -> None:
        self._report, self._interval_seconds = report, interval_seconds
        self._is_closed = threading.Event()
        self._probes = _probes() if interval_seconds else []
        if self._probes:
            threading.Thread(target=self._work, name="system metrics", daemon=True).start()

    def close(self) -> None:
        """Take no more samples."""
        self._is_closed.set()

    def _work(self) -> None:
        # The first sample is an interval old: the share of a CPU is one of the time between two looks at it.
        while not self._is_closed.wait(self._interval_seconds):
            self._report(self.sample())

    def sample(self) -> dict[str, float]:
        """Look once."""
        found: dict[str, float] = {}
        for probe in tuple(self._probes):
            try:
                probe.collect_metrics()
                found.update({f"{PREFIX}{name}": float(value) for name, value in probe.aggregate_metrics().items()})
                probe.clear_metrics()
            # The probes read /proc and drivers, which answer differently everywhere; no sample is worth a training.
            except Exception as error:
                logger.warning("%s is left out of the system metrics: %s", type(probe).__name__, error)
                self._probes.remove(probe)
        return found


def _probes() -> list[Any]:
    """MLflow's probes, as far as their packages and devices are there."""
    try:
        import psutil
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    except ImportError as error:
        logger.warning("No system metrics are tracked: %s. Install psutil.", error)
        return []
    psutil.cpu_percent()  # the first call only starts the clock
    probes: list[Any] = []
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        try:
            probes.append(kind())
        # No network device, no GPU, or no nvidia-ml-py to ask it with: each has an error of its own.
        except Exception as error:
            logger.debug("%s is left out of the system metrics: %s", kind.__name__, error)
    return probes
