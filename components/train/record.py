"""The training in MLflow: what went in, the figures as they come, and the model."""

import json
import logging
import os
import platform
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared import tracking
from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.manifest import SPLITS, Manifest
from tilepipe.components.train.config import TrainConfig

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("tilepipe.train")

MODEL_NAME = "model"
ARTIFACT_FOLDER = "training"
PAUSE_SECONDS = 60.0
"""How long a server that failed is left alone: asking a dead one costs a training half a minute each time."""

_NAMES = {"loss": "train_loss", "accuracy": "train_accuracy"}
_NOT_LOGGED = {"seconds"}


def open_run(config: TrainConfig, manifest: Manifest) -> str:
    """Open the run, or take up the pipeline's; see `tracking.open_run`."""
    name = os.environ.get("KFP_WORKFLOW_NAME") or manifest.name
    tags = {"tilepipe.data": manifest.name, "tilepipe.data_digest": manifest.digest}
    return tracking.open_run(config.experiment, name, tags)


def log_inputs(run_id: str, config: TrainConfig, manifest: Manifest, model: "keras.Model", device: str) -> None:
    """Log what the training starts from: every parameter, facts of the data and the model, and the data set.

    Raises:
        TrackingError: the server does not take them.
    """
    facts = {
        "data.name": manifest.name,
        "data.source": manifest.source,
        "data.snapshot": manifest.snapshot,
        "data.digest": manifest.digest,
        "data.bands": ", ".join(manifest.bands),
        "data.dtype": manifest.dtype,
        "data.tile_shape": " x ".join(map(str, manifest.tile_shape)),
        "data.classes": len(manifest.class_names),
        "data.class_names": ", ".join(manifest.class_names),
        **{f"data.{split}_tiles": manifest.splits[split].tiles for split in SPLITS},
        "model.name": model.name,
        "model.parameters": model.count_params(),
        "device": device,
    }
    tracking.log_params(run_id, {**_flat(config.model_dump()), **facts})
    tracking.log_dataset(
        run_id,
        name=manifest.name,
        digest=manifest.digest,
        source=manifest.source,
        schema={"bands": manifest.bands, "dtype": manifest.dtype, "tile_shape": manifest.tile_shape},
        profile={f"{split}_tiles": manifest.splits[split].tiles for split in SPLITS}
        | {"classes": len(manifest.class_names)},
        context="training",
    )


class EpochLog:
    """Sends each epoch's figures as it ends; what a failing server misses goes with the next success.

    Args:
        run_id: the MLflow run, or `tracking.UNTRACKED`.
        pause_seconds: how long to leave a server alone that failed.
    """

    def __init__(self, run_id: str, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._run_id, self._pause_seconds = run_id, pause_seconds
        self._waiting: deque[tuple[int, dict[str, float]]] = deque()
        self._not_before = -float("inf")

    def __call__(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Take an epoch's figures, and send all that wait."""
        metrics = {_NAMES.get(name, name): value for name, value in figures.items() if name not in _NOT_LOGGED}
        self._waiting.append((epoch, metrics))
        if time.monotonic() >= self._not_before:
            self.flush()

    def flush(self) -> None:
        """Send all figures that wait; never raises, since figures are not worth a training."""
        while self._waiting and self._run_id != tracking.UNTRACKED:
            epoch, metrics = self._waiting[0]
            try:
                tracking.log_metrics(self._run_id, metrics, epoch)
            except TrackingError as error:
                self._not_before = time.monotonic() + self._pause_seconds
                logger.warning("Figures of %d epochs wait to be tracked: %s", len(self._waiting), error)
                return
            self._waiting.popleft()


def log_results(
    run_id: str, manifest: Manifest, model: "keras.Model", best_epoch: int, files: Mapping[str, str]
) -> None:
    """Log the trained model and the training's pages; a server that fails now costs them, and no more.

    Args:
        run_id: the MLflow run, or `tracking.UNTRACKED`.
        manifest: what the model was trained on.
        model: with the weights of its best epoch.
        best_epoch: the model's figures in MLflow are those of this epoch.
        files: name -> text of what shall lie beside the model.
    """
    if run_id == tracking.UNTRACKED:
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder) / name
                path.write_text(text, encoding="utf-8")
                tracking.log_file(run_id, path, ARTIFACT_FOLDER)
        tracking.set_tags(run_id, {"tilepipe.best_epoch": str(best_epoch)})
        _log_model(run_id, manifest, model, best_epoch)
    except TrackingError as error:
        logger.warning("The model is trained and kept as the step's output, but not in MLflow: %s", error)


class _KerasFlavor:
    """MLflow's flavour for Keras 3, which forgets to make the folder that the input example goes into.

    https://github.com/mlflow/mlflow/issues/16183
    """

    @staticmethod
    def save_model(path: str, **settings: Any) -> None:  # noqa: ANN401 - whatever `Model.log` hands on
        """Save a model as `mlflow.keras` does."""
        import mlflow.keras

        Path(path).mkdir(parents=True)
        mlflow.keras.save_model(path=path, **settings)


def _log_model(run_id: str, manifest: Manifest, model: "keras.Model", best_epoch: int) -> None:
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    dtype = np.dtype(manifest.dtype)
    # Without names: MLflow would hand named tensors on as a dictionary, which Keras warns about.
    signature = ModelSignature(
        inputs=Schema([TensorSpec(dtype, (-1, *manifest.tile_shape))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(manifest.class_names)))]),
    )
    means = np.array([band.mean for band in manifest.statistics])
    example = np.broadcast_to(means.astype(dtype), (1, *manifest.tile_shape)).copy()
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # no lock file of whatever folder this runs in
    with tracking.reported("log the model"):
        mlflow = tracking.client()
        run = mlflow.get_run(run_id)
        # Not `mlflow.keras.log_model`: it writes to whatever experiment and run the process has made its own.
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
            conda_env=_environment(),
            metadata={"bands": list(manifest.bands), "class_names": list(manifest.class_names), "data": manifest.name},
        )


def _environment() -> dict[str, Any]:
    """What the model needs, named: MLflow would else run it in a process of its own to see what it imports."""
    import keras
    import numpy as np
    import tensorflow as tf
    from mlflow.version import VERSION

    packages = {"mlflow": VERSION, "keras": keras.version(), "tensorflow": tf.__version__, "numpy": np.__version__}
    return {
        "name": "tilepipe",
        "channels": ["conda-forge"],
        "dependencies": [
            f"python={platform.python_version()}",
            "pip",
            {"pip": [f"{name}=={version}" for name, version in packages.items()]},
        ],
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots; lists as JSON."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found
