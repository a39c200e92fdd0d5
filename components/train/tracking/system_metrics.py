"""System metrics, sampled while a training runs.

Uses MLflow's probes and names, so that its "System metrics" tab shows them, but not MLflow's monitor, which stops for
good at the first failed request. CPU, memory, disk and network are those of the whole node, as containers see them.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger("tilepipe.train")

PREFIX = "system/"


class SystemMetrics:
    """Background sampling until it is closed.

    Args:
        report: receives each sample, name -> value; must return at once.
        interval_seconds: time between two samples; 0 disables sampling.
    """

    def __init__(self, report: Callable[[Mapping[str, float]], None], interval_seconds: float) -> None:
        self._report, self._interval_seconds = report, interval_seconds
        self._is_closed = threading.Event()
        self._probes = _probes() if interval_seconds else []
        if self._probes:
            threading.Thread(target=self._work, name="system metrics", daemon=True).start()

    def close(self) -> None:
        """Stop sampling."""
        self._is_closed.set()

    def _work(self) -> None:
        # Wait before the first sample: CPU usage is measured between two samples.
        while not self._is_closed.wait(self._interval_seconds):
            self._report(self.sample())

    def sample(self) -> dict[str, float]:
        """Take one sample, name -> value."""
        found: dict[str, float] = {}
        for probe in tuple(self._probes):
            try:
                probe.collect_metrics()
                found.update({f"{PREFIX}{name}": float(value) for name, value in probe.aggregate_metrics().items()})
                probe.clear_metrics()
            # The probes read /proc and drivers, which differ everywhere; their errors must not stop the training.
            except Exception as error:
                logger.warning("%s is excluded from the system metrics: %s", type(probe).__name__, error)
                self._probes.remove(probe)
        return found


def _probes() -> list[Any]:
    """Return MLflow's probes whose packages and devices are available."""
    try:
        import psutil
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    except ImportError as error:
        logger.warning("no system metrics are tracked: %s. Install psutil.", error)
        return []
    psutil.cpu_percent()  # the first call only starts the clock
    probes: list[Any] = []
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        try:
            probes.append(kind())
        # No network device, no GPU, or no nvidia-ml-py: each raises a different error.
        except Exception as error:
            logger.debug("%s is excluded from the system metrics: %s", kind.__name__, error)
    return probes
