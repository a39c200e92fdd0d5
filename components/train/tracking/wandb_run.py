"""Tracking in Weights & Biases besides MLflow: an optional package, which stores all data on disk before sending it.

With WANDB_MODE=offline nothing is sent; `wandb sync` sends it later. Otherwise the key is read from WANDB_API_KEY in
the environment; it is not a parameter, since parameters are displayed and stored.
"""

import contextlib
import importlib.util
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError, TrackingError
from tilepipe.components.train.tracking.trackers import RUNNING, File, Point, Results, TrackingOptions

logger = logging.getLogger("tilepipe.train")

_QUIET_MODES = frozenset({"offline", "disabled", "dryrun"})
_EPOCH, _STEP = "epoch", "optimizer_step"


def check_wandb(options: TrackingOptions) -> None:
    """Check that Weights & Biases is usable, before the training starts.

    Raises:
        ParameterError: it is enabled, and the package or the key is missing.
    """
    if not options.wandb_project:
        return
    project = f"Received: wandb_project={options.wandb_project!r}"
    if importlib.util.find_spec("wandb") is None:
        raise ParameterError(
            f"`wandb_project` needs the package wandb. {project}, and it is not installed. "
            "Use an image with `tilepipe[wandb]`, or give wandb_project=''."
        )
    if os.environ.get("WANDB_MODE", "online") not in _QUIET_MODES and not os.environ.get("WANDB_API_KEY"):
        raise ParameterError(
            f"`wandb_project` needs a key. {project}, and no WANDB_API_KEY in the environment. "
            "Give the pod a Secret with it, or set WANDB_MODE=offline and send the run later with `wandb sync`."
        )


class WandbTracker:
    """A run in Weights & Biases, which samples system metrics itself.

    Args:
        options: the project, and the interval of system metrics.
        name: name of the run.
        resumed_run_id: run to continue; empty for a new one. Defaults to empty.

    Raises:
        TrackingError: the server rejects the run. If it is unreachable, the run is stored on disk only.
    """

    name = "Weights & Biases"

    def __init__(self, options: TrackingOptions, name: str, resumed_run_id: str = "") -> None:
        import wandb

        self.is_continued = bool(resumed_run_id)
        settings = wandb.Settings(
            silent=True,
            console="off",  # Kubeflow keeps the log of the step
            disable_git=True,
            save_code=False,
            x_disable_stats=not options.system_metrics_seconds,
            x_stats_sampling_interval=max(options.system_metrics_seconds, 1.0),
        )
        given: dict[str, Any] = {
            "project": options.wandb_project,
            "name": name,
            "id": resumed_run_id or None,
            # Offline the run cannot be looked up; its id identifies it.
            "resume": None if os.environ.get("WANDB_MODE") in _QUIET_MODES else "allow",
            "settings": settings,
        }
        with _reported("open a run"):
            try:
                self._run = wandb.init(**given)
            except wandb.errors.CommError as error:
                logger.warning("Weights & Biases is unreachable; its run is stored on disk for `wandb sync`: %s", error)
                self._run = wandb.init(**given | {"mode": "offline", "resume": None})
        self.run_id = str(self._run.id)
        # The default steps of wandb count calls.
        for step in (_EPOCH, _STEP):
            self._run.define_metric(step, hidden=True)
        self._run.define_metric(f"{RUNNING}*", step_metric=_STEP)
        self._run.define_metric("*", step_metric=_EPOCH)
        self._held = {step: int(self._run.summary.get(step) or -1) for step in (_EPOCH, _STEP)}

    def log_inputs(self, params: Mapping[str, Any], manifest: Manifest) -> None:  # noqa: ARG002 - it is in `params`
        """Log every parameter, including those of the data set."""
        with _reported("log parameters"):
            self._run.config.update(dict(params), allow_val_change=True)

    def log_points(self, points: Sequence[Point]) -> None:
        """Log figures that the run does not have yet, without system metrics, which wandb samples itself."""
        with _reported("log figures"):
            for point in points:
                if point.step is None:
                    continue
                step = _STEP if any(name.startswith(RUNNING) for name in point.metrics) else _EPOCH
                if point.step > self._held[step]:
                    self._run.log({**point.metrics, step: point.step})

    def log_file(self, file: File) -> None:
        """Log a small file."""
        with _reported(f"log {file.path}"):
            local = Path(self._run.dir) / file.path
            local.parent.mkdir(parents=True, exist_ok=True)
            local.write_bytes(file.content)
            self._run.save(str(local), base_path=self._run.dir, policy="now")

    def log_results(self, results: Results) -> None:
        """Log the pages of the training and the best epoch; MLflow stores the model."""
        for name, text in results.files.items():
            self.log_file(File(name, text.encode()))
        with _reported("log the results"):
            self._run.summary["best_epoch"] = results.best_epoch

    def close(self, wait_seconds: float) -> None:
        """End the run; data not sent within `wait_seconds` stays on disk."""
        ending = threading.Thread(target=self._run.finish, name="wandb", daemon=True)
        ending.start()
        ending.join(wait_seconds)
        if ending.is_alive():
            logger.warning(
                "Weights & Biases has not received everything: send the rest with `wandb sync %s`", self._run.dir
            )


@contextlib.contextmanager
def _reported(what: str) -> Iterator[None]:
    import wandb

    try:
        yield
    except (wandb.errors.Error, OSError) as error:
        raise TrackingError(
            f"Weights & Biases must be reachable to {what}. Received: {str(error)[:500]}. "
            "Check WANDB_BASE_URL and WANDB_API_KEY, or set WANDB_MODE=offline."
        ) from error
