"""The judgement on a version, and its JSON document."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from tilepipe.components.gate.judgement.floors import FloorResult
from tilepipe.components.gate.judgement.paired_comparison import Comparison
from tilepipe.components.gate.judgement.verdict import Outcome, Verdict
from tilepipe.components.gate.paired_predictions import PairedPredictions
from tilepipe.components.shared.figures import (
    PER_CLASS,
    ClassificationFigures,
    classification_figures,
    confusion_matrix,
)
from tilepipe.components.shared.registry.registered_version import RegisteredVersion
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256
from tilepipe.components.shared.version import VERSION

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the gate found out about a version."""

    version: RegisteredVersion
    champion: str
    """Number of the champion that it was compared with, or `none`."""
    at: datetime
    verdict: Verdict
    class_names: tuple[str, ...]
    predictions: PairedPredictions
    floors: tuple[FloorResult, ...]
    comparison: Comparison | None
    """None without a champion, or if the two could not be compared."""

    @property
    def outcome(self) -> Outcome:
        """Outcome of the verdict."""
        return self.verdict.outcome

    @property
    def figures(self) -> ClassificationFigures:
        """The challenger's figures on all test tiles."""
        return self.predictions.figures(len(self.class_names))

    @property
    def excluded_tiles(self) -> int:
        """Number of test tiles on which the champion was trained."""
        return 0 if self.comparison is None else len(self.predictions.labels) - self.comparison.tiles

    def figures_of_both(self) -> tuple[ClassificationFigures, ClassificationFigures]:
        """Return the figures of champion and challenger on the tiles that both predicted."""
        common, classes = self.predictions.is_common, len(self.class_names)
        labels = self.predictions.labels[common]
        champion, challenger = (
            classification_figures(confusion_matrix(labels, predicted[common], classes))
            for predicted in (self.predictions.champion, self.predictions.challenger)
        )
        return champion, challenger


def as_document(judgement: Judgement) -> dict[str, Any]:
    """Describe a judgement as JSON; undefined figures are null."""
    comparison = judgement.comparison
    return {
        "schema_version": SCHEMA_VERSION,
        "tilepipe_version": VERSION,
        "model": judgement.version.name,
        "version": judgement.version.version,
        "bundle_sha256": judgement.version.tags[BUNDLE_SHA256],
        "champion": None if not judgement.champion.isdecimal() else int(judgement.champion),
        "at": judgement.at.isoformat(timespec="seconds"),
        "outcome": judgement.outcome,
        "reasons": list(judgement.verdict.reasons),
        "test_tiles": len(judgement.predictions.labels),
        "figures": _figures(judgement.figures, judgement.class_names),
        "floors": [
            {"figure": floor.name, "minimum": floor.minimum, "value": _or_null(floor.value), "met": floor.is_met}
            for floor in judgement.floors
        ],
        "comparison": None if comparison is None else _comparison(judgement, comparison),
    }


def _comparison(judgement: Judgement, comparison: Comparison) -> dict[str, Any]:
    champion, challenger = judgement.figures_of_both()
    return {
        "tiles": comparison.tiles,
        "excluded_tiles": judgement.excluded_tiles,
        "only_champion_right": comparison.only_champion,
        "only_challenger_right": comparison.only_challenger,
        "mcnemar_p_value": comparison.p_value,
        "differences": {
            name: {"difference": found.value, "low": found.low, "high": found.high}
            for name, found in comparison.differences.items()
        },
        "champion": _figures(champion, judgement.class_names),
        "challenger": _figures(challenger, judgement.class_names),
    }


def _figures(figures: ClassificationFigures, class_names: tuple[str, ...]) -> dict[str, Any]:
    per_class: dict[str, Any] = {name: {"tiles": int(figures.support[i])} for i, name in enumerate(class_names)}
    for figure in PER_CLASS:
        values: np.ndarray[Any, Any] = getattr(figures, figure)
        for name, value in zip(class_names, values, strict=True):
            per_class[name][figure] = _or_null(float(value))
    return {**figures.overall, "classes": per_class}


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None
