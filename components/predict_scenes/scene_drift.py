"""Drift of a scene from the training data, as figures for its page, Kubeflow and MLflow."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tilepipe.components.predict_scenes.output.class_map import ClassCounts
from tilepipe.components.predict_scenes.output.prediction_item import Provenance
from tilepipe.components.predict_scenes.scene.product_checks import Sample
from tilepipe.components.shared.inference.bundle_model import BundleModel
from tilepipe.components.shared.inference.drift import Drift, compare, compare_bands, evaluation_reference
from tilepipe.components.shared.tracking import nested_runs, tracking

logger = logging.getLogger("tilepipe.predict_scenes")

ARTIFACT_FOLDER = "predictions"
"""Folder of the files in the MLflow run."""


def compare_scene(model: BundleModel, counts: ClassCounts, sample: Sample | None) -> Drift:
    """Compare the classes and bands of a scene with those of the training data.

    A bundle has no confidences of its evaluation, so confidence is only averaged. `counts` has at least one pixel.
    """
    means, deviations = (sample.mean, sample.deviation) if sample else ({}, {})
    bands = compare_bands(
        model.statistics,
        [means.get(one.band, math.nan) for one in model.statistics],  # bands that are filled have no numbers
        [deviations.get(one.band, math.nan) for one in model.statistics],
    )
    mean = counts.confidence.sum() / counts.pixels.sum() / 100
    pixels = dict(zip(model.class_names, counts.pixels.tolist(), strict=True))
    drift = compare(pixels, np.array([mean], np.float32), bands, evaluation_reference(model))
    logger.info("drift from the training data: %s", drift.text())
    return drift


def track_scene(experiment: str, provenance: Provenance, figures: Mapping[str, float], page: Path) -> str:
    """Log the figures and the page of a scene to an MLflow run of its own, below that of the pipeline run if any.

    Returns:
        The run, which stays open; `tracking.UNTRACKED` without tracking.

    Raises:
        TrackingError: The tracking server does not accept the results.
    """
    if not experiment or not tracking.is_configured():
        return tracking.UNTRACKED
    tags = {"tilepipe.model": provenance.model_name, "tilepipe.bundle_sha256": provenance.model_digest}
    with nested_runs.nested(f"predict {provenance.name}"):
        run_id = tracking.open_run(experiment, "", tags)
    tracking.log_params(
        run_id,
        {"scene": provenance.scene, "model_uri": provenance.model, "model_version": provenance.model_version},
    )
    tracking.log_metrics(run_id, figures)
    tracking.log_file(run_id, page, ARTIFACT_FOLDER, name="page.html")
    return run_id
