"""Register an exported model in MLflow: its files in the training's run, and a version with alias `challenger`."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.logged_model import log_bundle, log_onnx_model
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.inference.bundle_model import BundleModel, load_model
from tilepipe.components.shared.inference.model_address import ModelFile
from tilepipe.components.shared.registry.client import set_despite_others, versions_of
from tilepipe.components.shared.registry.registered_version import is_tilepipes
from tilepipe.components.shared.registry.version_tags import (
    BUNDLE_SHA256,
    BUNDLE_URI,
    CHALLENGER,
    CODE_VERSION,
    DATASET_DIGEST,
    FIGURE_PREFIX,
    IMAGE,
    PIPELINE_RUN,
    TEST_SHARDS,
    TRAINING_TILES,
)
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.shared.version import VERSION

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("tilepipe.register")

_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "calibration_error", "tiles")
"""Figures of each split that a version's tags hold."""


@dataclass(frozen=True)
class Lineage:
    """Facts about a model that its bundle does not hold."""

    image: str = ""
    """Container image of the training."""
    test_shards: tuple[str, ...] = ()
    """Addresses of the folders with test shards."""
    contents: tuple[str, ...] = ()
    """Addresses of the tables of packed tiles, with the digest of each tile's pixels."""


def register(config: RegisterConfig, bundle: Path, sha256: str, lineage: Lineage) -> str:
    """Register a model as the challenger; a bundle that is registered already is not registered again.

    Args:
        config: Parameters of the step.
        bundle: The bundle.
        sha256: SHA-256 that `export` stated, in hexadecimal; empty if it is not known.
        lineage: Further facts about the model.

    Returns:
        Name and version, such as `forests/3`; empty if the training was not tracked.

    Raises:
        ArtifactError: The bundle is damaged or was changed, or its model does not take the tiles that it describes.
        SourceError: The MLflow run was deleted, or the name is that of a model that is not tilepipe's.
        TrackingError: MLflow cannot be reached or denies access.
    """
    run_id = config.mlflow_run_id
    if run_id == tracking.UNTRACKED or not tracking.is_configured():
        logger.warning("The training is not tracked in MLflow: its model is not registered.")
        return ""
    model = load_model(ModelFile(bundle, str(bundle), sha256))
    model.predict(model.example())
    name = config.name or str(model.files["configuration.json"]["name"])
    with tracking.reported(f"register {name}"):
        client = tracking.client()
        _check_run(client, run_id)
        known = _versions_of(client, name, model.digest)
        version = known[0] if known else _create(client, run_id, name, model, bundle, lineage)
        set_despite_others(lambda: client.set_registered_model_alias(name, CHALLENGER, version))
    logger.info("%s %s/%s, alias %s", "was registered before as" if known else "registered", name, version, CHALLENGER)
    return f"{name}/{version}"


def _check_run(client: "MlflowClient", run_id: str) -> None:
    if not tracking.exists(client, run_id):
        raise SourceError(
            f"A model is registered with the MLflow run of its training, which must exist {tracking.in_mlflow()}. "
            f"Received: mlflow_run_id={run_id!r}, which was deleted or is not there. Restore it with "
            f"`mlflow runs restore --run-id {run_id}`, or train again without KFP's cache."
        )


def _versions_of(client: "MlflowClient", name: str, digest: str) -> list[int]:
    """List the versions of a bundle, the oldest first.

    Raises:
        SourceError: The name is that of a model that is not tilepipe's.
    """
    found = versions_of(client, name)
    foreign = sorted(int(version.version) for version in found if not is_tilepipes(version.tags))
    if foreign:
        raise SourceError(
            f"A registered model must hold only versions that `register` made. Received: name={name!r}, whose version "
            f"{foreign[0]} has no tag {BUNDLE_SHA256}. Give another `name`."
        )
    return sorted(int(version.version) for version in found if version.tags[BUNDLE_SHA256] == digest)


def _create(client: "MlflowClient", run_id: str, name: str, model: BundleModel, bundle: Path, lineage: Lineage) -> int:
    """Log the files and create the version, which has its tags from the start; return its number."""
    tags = _tags(model, lineage) | {BUNDLE_URI: log_bundle(client, run_id, bundle, model.digest)}
    model_id = log_onnx_model(client, run_id, model, bundle)
    _create_name(client, name)
    created = int(
        client.create_model_version(
            name, f"models:/{model_id}", run_id, tags, description=_describe(model), model_id=model_id
        ).version
    )
    oldest = _versions_of(client, name, model.digest)[0]
    if oldest != created:  # another attempt of this step ran at the same time
        client.delete_model_version(name, str(created))
    return oldest


def _create_name(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={CODE_VERSION: VERSION}, description="Classifier of image tiles.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _tags(model: BundleModel, lineage: Lineage) -> dict[str, str]:
    configuration = model.files["configuration.json"]
    tags = {
        BUNDLE_SHA256: model.digest,
        DATASET_DIGEST: str(configuration["dataset"]["digest"]),
        PIPELINE_RUN: tracking.kfp_run_id(),
        IMAGE: lineage.image,
        CODE_VERSION: str(configuration.get("versions", {}).get("tilepipe", VERSION)),
        TEST_SHARDS: _addresses(lineage.test_shards),
        TRAINING_TILES: _addresses(lineage.contents),
        **{f"{FIGURE_PREFIX}{name}": f"{value:.6g}" for name, value in _figures(model).items()},
    }
    return {key: value for key, value in tags.items() if value}


def _addresses(uris: Sequence[str]) -> str:
    return json.dumps(list(uris)) if uris else ""


def _figures(model: BundleModel) -> dict[str, float]:
    found = model.files["figures.json"]
    names = [f"{split}_{figure}" for split in ("val", "test") for figure in _FIGURES]
    return {name: float(found[name]) for name in names if name in found}


def _describe(model: BundleModel) -> str:
    """Describe a version in Markdown, for MLflow's page."""
    configuration: dict[str, Any] = model.files["configuration.json"]
    figures = _figures(model)
    split = "test" if "test_accuracy" in figures else "val"
    lines = [
        f"{configuration.get('network', 'Classifier')} for {len(model.class_names)} classes of {model.height} x "
        f"{model.width} tiles, {model.dtype}, bands {', '.join(model.bands)}."
    ]
    shown = [(name.replace("_", " "), figures.get(f"{split}_{name}")) for name in _FIGURES if name != "tiles"]
    if stated := [f"{name} {value:.4f}" for name, value in shown if value is not None]:
        lines.append(f"On {split}: {', '.join(stated)}.")
    if data := configuration["dataset"].get("name"):
        lines.append(f"Trained on {data}.")
    return "\n\n".join(lines)[:5000]
