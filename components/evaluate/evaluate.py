"""Evaluate a model on validation and test tiles and write the results."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tilepipe.components.evaluate.config import EvaluateConfig
from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.figures.model_facts import ModelFacts
from tilepipe.components.evaluate.predict import SplitPredictions, predict_split
from tilepipe.components.evaluate.prediction_table import write_predictions
from tilepipe.components.evaluate.report.confusion_figure import confusion_figure
from tilepipe.components.evaluate.report.evaluation_summary import render_summary
from tilepipe.components.evaluate.report.report import render_report
from tilepipe.components.evaluate.tiles.thumbnails import with_pictures
from tilepipe.components.evaluate.tiles.tile_facts import read_tile_facts
from tilepipe.components.shared.contracts.history import read_history
from tilepipe.components.shared.contracts.manifest import Manifest, Split, read_manifest
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.contracts.samples import choose_samples, write_samples
from tilepipe.components.shared.errors import SplitError
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES
from tilepipe.components.shared.storage.atomic import write_whole
from tilepipe.components.shared.tracking import earlier_runs, logged_models, tracking

logger = logging.getLogger("tilepipe.evaluate")

ARTIFACT_FOLDER = "evaluation"
"""Folder of the files in the MLflow run, and among the artifacts of the model."""

DATA_FOLDER = "data"
"""Folder of the files about the data in the MLflow run."""

TRACKED_MODEL = "model"
"""Name of the Keras model that `train` logs in MLflow."""

GROUPS_LISTED = 1000
"""Largest number of groups in the JSON, the weakest ones."""


@dataclass(frozen=True)
class Inputs:
    """Paths of the artifacts of earlier steps."""

    val_shards: tuple[Path, ...]
    """Folders, one per packed part."""
    test_shards: tuple[Path, ...]
    manifest: Path
    model: Path
    history: Path
    tiles: Path | None = None
    """Tile table; None if there is none."""
    data_files: Mapping[str, Path] = field(default_factory=dict, kw_only=True)
    """Files about the data that the MLflow run gets besides the evaluation, by name."""


@dataclass(frozen=True)
class Outputs:
    """Paths of the files to write."""

    metrics: Path
    confusion: Path
    summary: Path
    report: Path
    predictions: Path
    samples: Path


def evaluate(config: EvaluateConfig, inputs: Inputs, outputs: Outputs) -> Evaluation:
    """Predict on the validation and test tiles, write the outputs, and close the MLflow run.

    Raises:
        ArtifactError: an input is damaged, or model, manifest and shards do not match.
        SplitError: both splits are empty.
        TrackingError: the tracking server does not accept the results.
    """
    earlier_runs.continue_run(config.mlflow_run_id)
    manifest, history = read_manifest(inputs.manifest), read_history(inputs.history)
    splits = _splits_to_measure(manifest)
    model = load_model(inputs.model, manifest)
    from tilepipe.components.shared.layers.fused_norm import fused_normalization  # Keras, loaded quietly before

    folders: dict[Split, tuple[Path, ...]] = {"val": inputs.val_shards, "test": inputs.test_shards}
    variations = config.options.test_time_augmentation
    with fused_normalization(model):
        predictions = [
            predict_split(model, folders[split], split, manifest, config.batch_size, variations) for split in splits
        ]
    sampled = splits[-1]  # val, where it has tiles
    write_samples(choose_samples(folders[sampled], sampled, manifest), outputs.samples)
    settings = logged_models.read_params(config.mlflow_run_id)
    facts = read_tile_facts(inputs.tiles, predictions[0].tile_ids) if inputs.tiles else None
    found = Evaluation.of(
        manifest,
        history,
        predictions,
        options=config.options,
        model=ModelFacts.of(model, inputs.model, manifest, settings),
        facts=facts,
    )
    found = replace(found, shown=with_pictures(found.shown, predictions[0], folders[splits[0]], manifest))
    _write(found, predictions, outputs)
    for split, scores in reversed(list(found.scores.items())):  # the headline split last, as the result of the step
        logger.info("%s: accuracy %.4f, loss %.4f, %s tiles", split, scores.accuracy, scores.loss, f"{scores.tiles:,}")
    _track(config.mlflow_run_id, found, outputs, inputs.data_files)
    return found


def _splits_to_measure(manifest: Manifest) -> list[Split]:
    """List the splits that have tiles, the headline split first."""
    order: tuple[Split, ...] = ("test", "val")
    splits = [split for split in order if manifest.splits[split].tiles]
    if not splits:
        raise SplitError(
            "A model is evaluated on validation or test tiles. Received: a manifest with "
            f"{manifest.splits['train'].tiles:,} training tiles and no others. Give `ingest` other `split_fractions`, "
            "`split_files` or a `split_property`."
        )
    if splits[0] != "test":
        logger.warning("There are no test tiles: the %s figures are the headline.", SPLIT_NAMES[splits[0]])
    return splits


def _write(found: Evaluation, predictions: list[SplitPredictions], outputs: Outputs) -> None:
    confusion = {
        "split": found.headline_split,
        "class_names": list(found.manifest.class_names),
        "rows": found.headline.confusion.tolist(),
        "classes": found.class_figures(),
        "groups": [group._asdict() for group in found.groups[:GROUPS_LISTED]],
        "intervals": {name: list(interval) for name, interval in found.headline.intervals.items()},
    }
    # KFP stores figures in the metadata of the artifacts only, but its local runner treats a task as cached only if
    # each artifact has a file. The files therefore repeat the figures as JSON.
    write_whole(outputs.metrics, _as_json(found.scalars()))
    write_whole(outputs.confusion, _as_json(confusion))
    write_whole(outputs.summary, render_summary(found))
    write_whole(outputs.report, render_report(found))
    write_predictions(predictions, found.manifest, outputs.predictions)


def _track(run_id: str, found: Evaluation, outputs: Outputs, data_files: Mapping[str, Path]) -> None:
    if run_id == tracking.UNTRACKED:
        return
    # A run may have several models, such as Keras and ONNX, so the figures state their model.
    model_id = logged_models.find_model(run_id, TRACKED_MODEL)
    tracking.log_metrics(run_id, found.tracked_figures(), model_id=model_id)
    with TemporaryDirectory() as folder:
        # MLflow names an artifact after its file, and KFP's file names are not descriptive: hence links.
        links = {
            "metrics.json": outputs.metrics,
            "report.html": outputs.report,
            "predictions.parquet": outputs.predictions,
        }
        for name, target in links.items():
            (Path(folder) / name).symlink_to(target.resolve())
        if found.matrix_is_shown:
            (Path(folder) / "confusion.svg").write_text(confusion_figure(found), encoding="utf-8")
        for path in sorted(Path(folder).iterdir()):
            tracking.log_file(run_id, path, ARTIFACT_FOLDER)
        if model_id:
            logged_models.log_model_files(model_id, Path(folder), ARTIFACT_FOLDER)
    for name, target in data_files.items():
        tracking.log_file(run_id, target, DATA_FOLDER, name=name)
    # Last, since a finished run is taken to be complete.
    tracking.close_run(run_id, "FINISHED")


def _as_json(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
