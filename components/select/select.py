"""Rank the candidates of all workers, and write the winner and a comparison."""

import logging
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.select.config import SelectConfig
from tilepipe.components.select.ranked_table import render_summary, write_ranking
from tilepipe.components.select.sweep_page import render_comparison
from tilepipe.components.shared.contracts.candidates import MODEL_FILE, Outcome, ranked, read_outcomes
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import ArtifactError, ParameterError
from tilepipe.components.shared.storage.atomic import whole_file, write_whole
from tilepipe.components.shared.tracking import earlier_runs, tracking

logger = logging.getLogger("tilepipe.select")

ARTIFACT_FOLDER = "sweep"
"""Folder of the files in the MLflow run."""


@dataclass(frozen=True)
class Outputs:
    """Files to write."""

    winner: Path
    model: Path
    history: Path
    ranking: Path
    comparison: Path
    summary: Path


def select(config: SelectConfig, folders: Sequence[Path], manifest_path: Path, outputs: Outputs) -> Outcome:
    """Rank the candidates and write the outputs.

    Returns:
        The outcome of the winner.

    Raises:
        ArtifactError: an input is damaged or missing.
        ParameterError: no candidate was trained to its end, or none has the metric.
        TrackingError: the tracking server does not accept the results.
    """
    manifest = read_manifest(manifest_path)
    outcomes = ranked([outcome for folder in folders for outcome in read_outcomes(folder)])
    winner = _winner(outcomes)
    model = next((path for folder in folders if (path := folder / winner.name / MODEL_FILE).is_file()), None)
    if model is None or winner.history is None:
        raise ArtifactError(
            f"The outcomes must have the model of the best candidate. Received: no model of {winner.name}. Run the "
            "sweep again with this version of tilepipe."
        )
    with whole_file(outputs.model) as partial:
        shutil.copyfile(model, partial)
    winner.history.write(outputs.history)
    winner.write(outputs.winner)
    write_ranking(outcomes, outputs.ranking)
    write_whole(outputs.comparison, render_comparison(outcomes, manifest))
    write_whole(outputs.summary, render_summary(outcomes))
    counts = Counter(outcome.status for outcome in outcomes)
    logger.info(
        "%s is the best of %d: %s %.4f; %d finished, %d stopped, %d failed",
        winner.name,
        len(outcomes),
        winner.metric,
        winner.value,
        *(counts[status] for status in ("finished", "stopped", "failed")),
    )
    _track(config, winner, outcomes, outputs)
    return winner


def _winner(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the best outcome, if it was trained to its end and has the metric."""
    if not outcomes:
        raise ArtifactError("A comparison needs outcomes of candidates. Received: none. Run the sweep again.")
    winner = outcomes[0]
    if winner.status != "finished":
        reasons = Counter(outcome.reason for outcome in outcomes if outcome.status == "failed")
        listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        raise ParameterError(
            f"At least one candidate must be trained to its end. Received: {len(outcomes)} candidates, of which "
            f"{sum(reasons.values())} failed: {listed} Correct `tune_space` or the parameters of all candidates."
        )
    if math.isnan(winner.value):  # it is sorted to the end: no finished candidate has the metric
        known = sorted(
            {name for one in outcomes if one.history for name in one.history.best if name.startswith("val_")}
        )
        raise ParameterError(
            f"`tune_metric` must be a metric of a candidate. Received: tune_metric={winner.metric!r}, which none has. "
            f"Use one of: {', '.join(known[:20])}."
        )
    return winner


def _track(config: SelectConfig, winner: Outcome, outcomes: Sequence[Outcome], outputs: Outputs) -> None:
    run_id = tracking.open_run(config.experiment, "sweep", {})
    earlier_runs.nest_interrupted(run_id, [outcome.mlflow_run_id for outcome in outcomes])
    tracking.log_params(
        run_id,
        {f"winner.{name}": value for name, value in winner.parameters.items()}
        | {"winner.candidate": winner.name, "winner.mlflow_run_id": winner.mlflow_run_id},
    )
    figures = {f"winner/{name}": value for name, value in (winner.history.best if winner.history else {}).items()}
    statuses = Counter(outcome.status for outcome in outcomes)
    tracking.log_metrics(run_id, figures | {f"candidates/{status}": count for status, count in statuses.items()})
    tracking.log_file(run_id, outputs.comparison, ARTIFACT_FOLDER, name="comparison.html")
    tracking.log_file(run_id, outputs.ranking, ARTIFACT_FOLDER, name="ranking.json")
