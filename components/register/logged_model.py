"""The files of a model in MLflow: the bundle as an artifact, and ONNX as an MLflow model that pyfunc loads."""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.contracts.bundle import read_bundle
from tilepipe.components.shared.inference.bundle_model import BundleModel
from tilepipe.components.shared.registry.version_tags import BUNDLE_ARTIFACT, BUNDLE_FOLDER, BUNDLE_SHA256
from tilepipe.components.shared.tracking.logged_models import conda_environment

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = "onnx"
"""Name of the logged model; `train` logs the Keras model under another."""

_MODEL, _ITEM, _CARD = "model.onnx", "item.json", "README.md"


def log_bundle(client: "MlflowClient", run_id: str, bundle: Path, digest: str) -> str:
    """Log a bundle, and its card and item so that MLflow's page shows them, as artifacts of a run.

    The folder contains the start of the bundle's digest: a run whose model is exported again has two bundles, and the
    first must stay as it was registered.

    Returns:
        Address of the bundle, `runs:/<run>/bundle/<digest>/model.tar.gz.bin`.
    """
    place = f"{BUNDLE_FOLDER}/{digest[:12]}"
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        link = Path(folder) / BUNDLE_ARTIFACT  # MLflow names an artifact after its file
        link.symlink_to(bundle.resolve())
        for name, content in read_bundle(bundle, names=(_ITEM, _CARD)).items():
            (Path(folder) / name).write_bytes(content)
        for path in sorted(Path(folder).iterdir()):
            client.log_artifact(run_id, str(path), place)
    return f"runs:/{run_id}/{place}/{BUNDLE_ARTIFACT}"


def log_onnx_model(client: "MlflowClient", run_id: str, model: BundleModel, bundle: Path) -> str:
    """Log the ONNX model of a bundle as an MLflow model of a run, unless an earlier attempt has done so.

    Returns:
        Id of the MLflow model, such as `m-0123`.
    """
    run = client.get_run(run_id)
    quoted = f"source_run_id = '{run_id}'"
    for logged in client.search_logged_models([run.info.experiment_id], quoted):
        if logged.tags.get(BUNDLE_SHA256) == model.digest and logged.status == "READY":
            return str(logged.model_id)
    import mlflow.onnx
    import onnx
    import onnxruntime
    from mlflow.models import Model

    configuration = model.files["configuration.json"]
    created = client.create_logged_model(
        run.info.experiment_id,
        name=MODEL_NAME,
        source_run_id=run_id,
        tags={BUNDLE_SHA256: model.digest},
        params=run.data.params,
    )
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # ignore a lock file in the working folder
    # Not `mlflow.onnx.log_model`, which writes to the active experiment and run of the process.
    Model.log(
        artifact_path=None,
        flavor=mlflow.onnx,
        model_id=created.model_id,
        run_id=run_id,
        step=int(configuration.get("best_epoch", 0)),
        onnx_model=onnx.load_model_from_string(read_bundle(bundle, names=(_MODEL,))[_MODEL]),
        onnx_execution_providers=["CPUExecutionProvider"],  # the one of the required onnxruntime
        save_as_external_data=False,  # in one file, which can be copied on its own
        signature=_signature(model),
        input_example=model.example(),
        conda_env=conda_environment({"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}),
        metadata={"bands": list(model.bands), "class_names": list(model.class_names)},
    )
    _log_parity(client, run_id, str(created.model_id), configuration.get("parity", {}))
    return str(created.model_id)


def _signature(model: BundleModel) -> Any:  # noqa: ANN401 - MLflow ships no types
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # The input is unnamed: MLflow would pass a named one as a dictionary only.
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(model.dtype), (-1, *model.tile_shape))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(model.class_names)), "probabilities")]),
    )


def _log_parity(client: "MlflowClient", run_id: str, model_id: str, parity: Mapping[str, Any]) -> None:
    """Log the comparison with Keras as figures of this model; without its id MLflow takes the first of the run."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    figures = {name: float(value) for name, value in parity.items() if isinstance(value, int | float)}
    metrics = [Metric(name, value, now, 0, model_id=model_id, run_id=run_id) for name, value in sorted(figures.items())]
    if metrics:
        client.log_batch(run_id, metrics=metrics)
