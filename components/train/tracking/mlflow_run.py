"""Tracking in MLflow: inputs, figures and the model."""

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.contracts.manifest import SPLITS, Manifest
from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.shared.tracking.logged_models import conda_environment
from tilepipe.components.train.tracking.trackers import File, Point, Results

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("tilepipe.train")

MODEL_NAME = "model"
ARTIFACT_FOLDER = "training"

_REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST"})
"""Codes of requests that MLflow rejects, so that a retry is useless."""


class MlflowTracker:
    """A run in MLflow.

    A resumed training sends the figures since its last checkpoint again, and MLflow would keep both. So a continued run
    is queried once for the steps that it holds, and those are not sent again.

    Args:
        run_id: an open run.
        is_resumed: whether the training resumes from a checkpoint made in this run. Defaults to False.
        may_hold_figures: whether the run may already have figures of this training, as after a retry of the step.
            Defaults to False.
    """

    name = "MLflow"

    def __init__(self, run_id: str, *, is_resumed: bool = False, may_hold_figures: bool = False) -> None:
        self.run_id, self.is_continued = run_id, is_resumed
        self._held: dict[str, int] | None = None if is_resumed or may_hold_figures else {}
        self._next: dict[str, int] = {}  # next step of figures without one

    def log_inputs(self, params: Mapping[str, Any], manifest: Manifest) -> None:
        """Log every parameter, and the data set.

        Raises:
            TrackingError: the server rejects them or is unreachable.
        """
        tracking.log_params(self.run_id, params)
        _log_dataset(self.run_id, manifest)

    def log_points(self, points: Sequence[Point]) -> None:
        """Log figures that the run does not have yet.

        Raises:
            TrackingError: the server is unreachable. Figures that it rejects are skipped with a warning, so that they
                do not block the others.
        """
        if self._held is None:
            tracking.reopen_run(self.run_id, {})  # the server may have been unreachable when the training resumed
            self._held = _last_steps(self.run_id)
            self._next = {name: step + 1 for name, step in self._held.items()}
        following = dict(self._next)  # a failed request uses no step
        numbered: list[tuple[str, float, int, int]] = []
        for point in points:
            for name, value in point.metrics.items():
                if point.step is None:
                    numbered.append((name, value, point.at_milliseconds, following.get(name, 0)))
                    following[name] = following.get(name, 0) + 1
                elif point.step > self._held.get(name, -1):
                    numbered.append((name, value, point.at_milliseconds, point.step))
        try:
            tracking.log_points(self.run_id, numbered)
        except TrackingError as error:
            if getattr(error.__cause__, "error_code", "") not in _REFUSALS:
                raise
            if len(points) > 1:  # find the rejected one
                for point in points:
                    self.log_points([point])
                return
            logger.warning("MLflow rejects the figures of step %s: %s", points[0].step, error)
        self._next = following

    def log_file(self, file: File) -> None:
        """Log a small file as an artifact.

        Raises:
            TrackingError: the server rejects it or is unreachable.
        """
        path = PurePosixPath(file.path)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            local.write_bytes(file.content)
            tracking.log_file(self.run_id, local, str(path.parent))

    def log_results(self, results: Results) -> None:
        """Log the trained model, with the figures of its best epoch, and the pages of the training.

        Raises:
            TrackingError: the server rejects them or is unreachable.
        """
        for name, text in results.files.items():
            self.log_file(File(f"{ARTIFACT_FOLDER}/{name}", text.encode()))
        tracking.set_tags(self.run_id, {"tilepipe.best_epoch": str(results.best_epoch)})
        _log_model(self.run_id, results.manifest, results.model, results.best_epoch)

    def close(self, wait_seconds: float) -> None:
        """Do nothing: the run stays open for the evaluation."""


def _last_steps(run_id: str) -> dict[str, int]:
    """Return the last step of each figure of a run."""
    with tracking.reported("read the figures of a run"):
        # The public client needs one request per figure, for all of its values. MLflow's own system metrics use this
        # attribute too: https://github.com/mlflow/mlflow/issues/22991
        return {metric.key: int(metric.step) for metric in tracking.client().get_run(run_id).data._metric_objs}


class _KerasFlavor:
    """MLflow's flavor for Keras 3, with the folder for the input example, which MLflow does not create.

    https://github.com/mlflow/mlflow/issues/16183
    """

    @staticmethod
    def save_model(path: str, **settings: Any) -> None:  # noqa: ANN401 - as passed by `Model.log`
        """Save a model as `mlflow.keras` does."""
        import mlflow.keras

        Path(path).mkdir(parents=True)
        mlflow.keras.save_model(path=path, **settings)


def _log_model(run_id: str, manifest: Manifest, model: "keras.Model", best_epoch: int) -> None:
    import keras
    import numpy as np
    import tensorflow as tf
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    dtype = np.dtype(manifest.dtype)
    # Unnamed: MLflow would pass named tensors as a dictionary, which Keras warns about.
    signature = ModelSignature(
        inputs=Schema([TensorSpec(dtype, (-1, *manifest.tile_shape))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(manifest.class_names)))]),
    )
    means = np.array([band.mean for band in manifest.statistics])
    example = np.broadcast_to(means.astype(dtype), (1, *manifest.tile_shape)).copy()
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # ignore a lock file in the working folder
    with tracking.reported("log the model"):
        mlflow = tracking.client()
        run = mlflow.get_run(run_id)
        # Not `mlflow.keras.log_model`, which writes to the active experiment and run of the process.
        logged = mlflow.create_logged_model(
            run.info.experiment_id, name=MODEL_NAME, source_run_id=run_id, params=run.data.params
        )
        Model.log(
            artifact_path=None,
            flavor=_KerasFlavor,
            model_id=logged.model_id,
            run_id=run_id,
            step=best_epoch,
            model=model,
            signature=signature,
            input_example=example,
            conda_env=conda_environment({"keras": keras.version(), "tensorflow": tf.__version__}),
            metadata={"bands": list(manifest.bands), "class_names": list(manifest.class_names), "data": manifest.name},
        )


def _log_dataset(run_id: str, manifest: Manifest) -> None:
    """Log the data set as an input of the run, so that runs can be found and compared by it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    schema = {"bands": manifest.bands, "dtype": manifest.dtype, "tile_shape": manifest.tile_shape}
    profile = {f"{split}_tiles": manifest.splits[split].tiles for split in SPLITS}
    dataset = Dataset(
        name=manifest.name[:500],
        digest=manifest.digest[:36],  # MLflow keeps no more
        source_type="uri",
        source=json.dumps({"uri": manifest.source}),
        schema=json.dumps(schema),
        profile=json.dumps(profile | {"classes": len(manifest.class_names)}),
    )
    with tracking.reported("log the data set"):
        tags = [InputTag("mlflow.data.context", "training")]
        tracking.client().log_inputs(run_id, datasets=[DatasetInput(dataset, tags)])
