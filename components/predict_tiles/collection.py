"""Collect the predictions of all parts in one table, compare them with the training data, and keep them."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilepipe.components.predict_tiles.band_moments import BandMoments, read_moments
from tilepipe.components.predict_tiles.drift.drift_page import render_drift_page
from tilepipe.components.predict_tiles.drift.references import find_reference
from tilepipe.components.predict_tiles.prediction_rows import read_predictions, write_predictions
from tilepipe.components.shared.errors import ArtifactError, DriftError
from tilepipe.components.shared.figures import classification_figures
from tilepipe.components.shared.inference.bundle_model import BundleModel, load_model
from tilepipe.components.shared.inference.drift import Drift, check_drift, compare, compare_bands
from tilepipe.components.shared.inference.model_address import ModelFile
from tilepipe.components.shared.inference.prediction_plan import PredictionPlan, read_plan
from tilepipe.components.shared.inference.prediction_store import PredictionStore
from tilepipe.components.shared.storage.atomic import write_whole
from tilepipe.components.shared.tiles.quarantine import (
    allowed_tiles,
    count_by_reason,
    read_quarantine,
    too_many,
    write_quarantine,
)
from tilepipe.components.shared.tracking import tracking

logger = logging.getLogger("tilepipe.collect")

ARTIFACT_FOLDER = "predictions"
"""Folder of the files in the MLflow run."""

_HASHED_IDS = 65_536


@dataclass(frozen=True)
class PartFiles:
    """Outputs of `plan`, and of all workers in any order."""

    plan: Path
    bundle: Path
    reference: Path
    predictions: Sequence[Path]
    quarantines: Sequence[Path]
    moments: Sequence[Path]


@dataclass(frozen=True)
class CollectedFiles:
    """Paths of the outputs."""

    predictions: Path
    quarantine: Path
    drift: Path
    page: Path
    metrics: Path


@dataclass(frozen=True)
class Collected:
    """Result of the collection."""

    rows: int
    partition: str
    """Address of the file in `output_uri`; empty if nothing was added."""
    scalars: dict[str, float]
    """Figures by name, all finite."""


@dataclass
class _Tally:
    """Counts of the predictions."""

    class_names: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    counts: Counter[str] = field(default_factory=Counter)
    confidences: list[npt.NDArray[np.float32]] = field(default_factory=list)
    other_labels: int = 0
    """Tiles whose label is not a class of the model."""
    rows: int = 0

    def add(self, table: pa.Table) -> None:
        names = pa.array(self.class_names, pa.string())
        predicted = pc.index_in(table["class"], value_set=names).to_numpy()
        self.counts.update({self.class_names[place]: int(n) for place, n in enumerate(np.bincount(predicted)) if n})
        self.confidences.append(table["confidence"].to_numpy())
        self.rows += table.num_rows
        labels: Any = pc.index_in(table["label"], value_set=names)
        known = pc.is_valid(labels).to_numpy()
        self.other_labels += table.num_rows - table["label"].null_count - int(known.sum())
        if known.any():
            truth = labels.fill_null(0).to_numpy()[known]
            np.add.at(self.confusion, (truth, predicted[known]), 1)


def collect(inputs: PartFiles, outputs: CollectedFiles) -> Collected:
    """Write one table of all parts, sorted by `tile_id`, with figures and drift, and add it to `output_uri`.

    A step that is started again writes the same table under the same name.

    Raises:
        ArtifactError: A part is missing, damaged, given twice or of another run.
        TileError: More tiles were left out than are allowed.
        DriftError: The drift exceeds a limit; then nothing is added to `output_uri`.
        TrackingError: The tracking server does not accept the results.
        StorageError: `output_uri` cannot be written.
    """
    plan = read_plan(inputs.plan)
    file = ModelFile(inputs.bundle, plan.model_uri, plan.model_digest, plan.model_name, plan.model_version)
    model = load_model(file, threads=1)
    tally = _merge(plan, inputs.predictions, outputs.predictions)
    rejected = read_quarantine(inputs.quarantines)
    if tally.rows + len(rejected) != plan.tiles:
        raise ArtifactError(
            f"Each of the {plan.tiles:,} tiles must be predicted or left out once. Received: {tally.rows:,} predicted "
            f"and {len(rejected):,} left out. Pass the outputs of all workers of one `predict_tiles` step."
        )
    allowed = allowed_tiles(plan.options.max_quarantine_percent, plan.source_tiles)
    if len(rejected) > allowed:
        raise too_many(allowed, plan.source_tiles, rejected, parameter="predict_options")
    if rejected:
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in count_by_reason(rejected).items())
        logger.warning("%s of %s tiles were LEFT OUT: %s", f"{len(rejected):,}", f"{plan.tiles:,}", reasons)
    write_quarantine(rejected, outputs.quarantine)
    overall = _label_figures(tally)
    drift = _drift(inputs, model, tally)
    scalars = {"tiles": float(tally.rows), "left_out": float(len(rejected)), "known": float(plan.known)}
    scalars |= overall | drift.scalars()
    write_whole(outputs.drift, json.dumps(drift.to_json(), indent=1, allow_nan=False) + "\n")
    write_whole(outputs.page, render_drift_page(plan, tally.rows, drift, overall) + "\n")
    write_whole(outputs.metrics, json.dumps(scalars, indent=1, allow_nan=False) + "\n")
    run_id = _track(plan, scalars, outputs)
    check_drift(drift, plan.options.max_drift)
    _check_blank_bands(drift, plan)
    partition = _append(plan, outputs.predictions) if plan.output_uri and tally.rows else ""
    tracking.close_run(run_id, "FINISHED")
    logger.info("%s tiles predicted%s", f"{tally.rows:,}", f", added to {partition}" if partition else "")
    return Collected(tally.rows, partition, scalars)


def _merge(plan: PredictionPlan, paths: Sequence[Path], output: Path) -> _Tally:
    """Write the rows of all parts in the order of their numbers; ids must increase from row to row."""
    parts: dict[int, Any] = {}
    for path in paths:
        rows, metadata = read_predictions(path)
        if metadata.get("model_digest") != plan.model_digest or metadata.get("part") in parts:
            raise _other_run(f"part {metadata.get('part')} twice, or of another model, in {path.name}")
        parts[int(metadata["part"])] = rows
    if sorted(parts) != list(range(plan.parts)):
        raise _other_run(f"parts {sorted(parts)}")
    classes = len(plan.class_names)
    tally = _Tally(plan.class_names, np.zeros((classes, classes), np.int64))
    last = ""
    with write_predictions(output, plan, known=plan.known) as writer:
        for part in range(plan.parts):
            for table in parts[part]:
                last = _check_order(table["tile_id"], last)
                tally.add(table)
                writer.write(table)
    return tally


def _check_blank_bands(drift: Drift, plan: PredictionPlan) -> None:
    """Warn of bands without any valid pixel, whose distance cannot be measured; with a limit they are an error."""
    if not drift.classes or not drift.blank_bands:
        return
    bands = ", ".join(drift.blank_bands)
    if "bands" in plan.options.max_drift:
        raise DriftError(
            "Every band must have valid pixels if max_drift limits the bands. Received: tiles without any in "
            f"{bands}. Look for these bands at their source, or leave the limit for bands out of predict_options."
        )
    logger.warning("no tile has a valid pixel in %s: the model predicts without what these bands show", bands)


def _check_order(column: "pa.ChunkedArray[Any]", last: str) -> str:
    """Check that ids increase, so that none occurs twice; return the last one."""
    ids = column.combine_chunks()
    increases = pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py()
    if not len(ids):
        return last
    if not increases or (last and not last < ids[0].as_py()):
        raise _other_run(f"ids that do not increase near {ids[0].as_py()}")
    return str(ids[-1].as_py())


def _other_run(received: str) -> ArtifactError:
    return ArtifactError(
        "There must be one table of predictions of each part, sorted by `tile_id` and of the plan's model. "
        f"Received: {received}. Pass the outputs of all workers of one `predict_tiles` step."
    )


def _label_figures(tally: _Tally) -> dict[str, float]:
    """Compute the figures of the tiles whose label is a class of the model; empty without any."""
    labelled = int(tally.confusion.sum())
    if tally.other_labels:
        logger.warning("labels of %s tiles are not classes of the model and are ignored", f"{tally.other_labels:,}")
    if not labelled:
        return {}
    return {"labelled": float(labelled), **classification_figures(tally.confusion).overall}


def _drift(inputs: PartFiles, model: BundleModel, tally: _Tally) -> Drift:
    moments = BandMoments.empty([one.mean for one in model.statistics])
    for path in inputs.moments:
        moments.merge(read_moments(path))
    counts = {name: tally.counts[name] for name in model.class_names}
    confidences = np.concatenate(tally.confidences) if tally.confidences else np.empty(0, np.float32)
    bands = compare_bands(model.statistics, moments.means(), moments.deviations())
    reference = find_reference(inputs.reference, model) if tally.rows else None
    drift = compare(counts, confidences, bands if tally.rows else (), reference)
    if drift.values:
        logger.info("drift from the training data: %s", drift.text())
    return drift


def _track(plan: PredictionPlan, scalars: dict[str, float], outputs: CollectedFiles) -> str:
    """Log figures and page to MLflow; return the run, which stays open."""
    if not plan.experiment or not tracking.is_configured():
        return tracking.UNTRACKED
    tags = {"tilepipe.model": plan.model_name, "tilepipe.bundle_sha256": plan.model_digest}
    run_id = tracking.open_run(plan.experiment, f"predict {plan.model_name}", tags)
    tracking.log_params(run_id, {"model_uri": plan.model_uri, "model_version": plan.model_version})
    tracking.log_metrics(run_id, scalars)
    tracking.log_file(run_id, outputs.drift, ARTIFACT_FOLDER, name="drift.json")
    tracking.log_file(run_id, outputs.page, ARTIFACT_FOLDER, name="page.html")
    return run_id


def _append(plan: PredictionPlan, predictions: Path) -> str:
    """Add the table to `output_uri`, without tiles that another run has added since the plan was made."""
    store = PredictionStore(plan.output_uri, plan.class_names)
    rows, _ = read_predictions(predictions)
    ids = pa.concat_tables([table.select(["tile_id"]) for table in rows])["tile_id"].combine_chunks()
    name = f"predictions-{plan.created}-{_digest(plan, ids)}.parquet"
    others = (known.ids for known in store.known_tiles(besides=name))  # of one partition at a time
    repeated: list[Any] = [pc.unique(column.filter(pc.is_in(column, value_set=ids))) for column in others]
    found: Any = pa.concat_arrays([pa.array([], pa.string()), *repeated])
    if not len(found):
        return store.append(name, predictions)
    logger.warning("%s tiles were predicted by another run meanwhile, and are not added again", f"{len(found):,}")
    with TemporaryDirectory(prefix="tilepipe-") as folder:
        rest = Path(folder) / name
        with write_predictions(rest, plan, known=plan.known) as writer:
            for table in read_predictions(predictions)[0]:
                is_new: Any = pc.invert(pc.is_in(table["tile_id"], value_set=found))
                writer.write(table.filter(is_new))
        return store.append(name, rest) if writer.rows else ""


def _digest(plan: PredictionPlan, ids: "pa.Array[Any]") -> str:
    """Return a digest of model and tiles, so that runs that were planned in the same second have other names."""
    digest = hashlib.sha256(plan.model_digest.encode())
    for start in range(0, len(ids), _HASHED_IDS):
        digest.update("\n".join(map(str, ids[start : start + _HASHED_IDS].to_pylist())).encode() + b"\n")
    return digest.hexdigest()[:8]
