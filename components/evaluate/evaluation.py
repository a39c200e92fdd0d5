"""Results of an evaluation, for the report, the summary, KFP and MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from tilepipe.components.evaluate.config import EvaluateOptions
from tilepipe.components.evaluate.figures.arrays import Floats
from tilepipe.components.evaluate.figures.class_ranking import ClassCurves
from tilepipe.components.evaluate.figures.group_figures import GroupFigures, group_figures
from tilepipe.components.evaluate.figures.metrics import (
    Confusion,
    RocCurve,
    SplitScores,
    roc_curve,
    score,
    top_confusions,
)
from tilepipe.components.evaluate.figures.model_facts import ModelFacts
from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.evaluate.tiles.choice import CLASSES_WITH_TILES, CONFUSED_TILES, Chooser, ShownTiles
from tilepipe.components.evaluate.tiles.tile_facts import TileFacts
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import Manifest, Split
from tilepipe.components.shared.figures import PER_CLASS, class_labels

CLASSES_WITH_CURVES = 40
"""Largest number of classes of which curves are drawn, the weakest ones."""
CONFUSIONS_SHOWN = 10
AVERAGED_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "calibration_error")
"""Figures that are also reported for probabilities averaged over variants of each tile."""
FIRST_FIGURES = ("accuracy", "loss", "macro_f1")
"""Figures of the headline split that Kubeflow also shows without the name of the split."""
LARGEST_MATRIX = 200
"""Largest number of classes for which a confusion matrix is drawn and passed to Kubeflow. A larger one approaches the
4 MiB that a gRPC message may have, and is not readable."""


class ErrorPlaces(NamedTuple):
    """Locations of the tiles of the headline split that have coordinates."""

    centers: Floats
    """Longitude and latitude in degrees, `(tiles, 2)`."""
    wrong: npt.NDArray[np.bool_]
    """True where the prediction is wrong, `(tiles,)`."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of each split that has tiles, and details of the headline split."""

    manifest: Manifest
    history: History
    scores: Mapping[Split, SplitScores]
    """Scores per split, test before validation; only splits that have tiles."""
    roc: RocCurve
    """ROC curve of the headline split."""
    shown: ShownTiles
    """Tiles of the headline split in the report."""
    curves: Mapping[int, ClassCurves] = field(default_factory=dict)
    """Curves by class, the weakest classes of the headline split first."""
    model: ModelFacts | None = None
    """Size, settings and speed of the model; None if they are unknown."""
    averaged: Mapping[Split, SplitScores] = field(default_factory=dict)
    """Scores of the probabilities averaged over variants of each tile, per split; empty without variants."""
    groups: tuple[GroupFigures, ...] = ()
    """Figures of the groups of the headline split, the weakest first; empty without groups."""
    places: ErrorPlaces | None = None
    """Locations of the tiles; None if they have none."""

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        history: History,
        predictions: Sequence[SplitPredictions],
        *,
        options: EvaluateOptions | None = None,
        model: ModelFacts | None = None,
        facts: TileFacts | None = None,
    ) -> Self:
        """Compute all figures.

        Args:
            manifest: description of the shards.
            history: figures of each epoch of the training.
            predictions: one entry per split, the headline split first.
            options: settings of the figures and of the report. Defaults to those of `EvaluateOptions`.
            model: size, settings and speed of the model. Defaults to None: unknown.
            facts: groups and places of the tiles of the headline split. Defaults to None: unknown.
        """
        headline, options = predictions[0], options or EvaluateOptions()
        settings = {"top_k": options.top_k, "resamples": options.bootstrap_resamples, "seed": options.seed}
        scores = {one.split: score(one.labels, one.probabilities, **settings) for one in predictions}
        weakest = weakest_first(scores[headline.split].figures.f1)
        return cls(
            manifest=manifest,
            history=history,
            scores=scores,
            roc=roc_curve(headline.labels, headline.probabilities),
            shown=_shown(headline, manifest, scores[headline.split], options, facts.uris if facts else ()),
            curves={index: scores[headline.split].ranking.curves[index] for index in weakest[:CLASSES_WITH_CURVES]},
            model=model,
            averaged={
                one.split: score(one.labels, one.averaged, **settings | {"resamples": 0})
                for one in predictions
                if one.averaged is not None
            },
            groups=group_figures(facts.groups, headline.labels, headline.predicted) if facts else (),
            places=_places(headline, facts) if facts else None,
        )

    @property
    def headline_split(self) -> Split:
        """The test split, or the validation split if there is no test split."""
        return next(iter(self.scores))

    @property
    def headline(self) -> SplitScores:
        """Figures of the headline split."""
        return self.scores[self.headline_split]

    @property
    def remark(self) -> str:
        """Caveat about the headline figures, or empty."""
        if self.headline_split == "test":
            return ""
        return (
            "This data set has no test split, so these are the validation figures. The best epoch was chosen on the "
            "same tiles, so expect somewhat lower figures on new ones."
        )

    @property
    def left_out(self) -> str:
        """Sentence on the tiles that `pack` left out, with reasons, or empty; it contains text from outside."""
        left_out = sum(self.manifest.left_out.values())
        if not left_out:
            return ""
        total = left_out + sum(split.tiles for split in self.manifest.splits.values())
        reasons = "; ".join(f"{count:,} because {reason}" for reason, count in self.manifest.left_out.items())
        return f"{left_out:,} of {total:,} tiles were unusable, and pack left them out: {reasons}."

    @property
    def matrix_is_shown(self) -> bool:
        """True if the confusion matrix is small enough to be shown."""
        return len(self.manifest.class_names) <= LARGEST_MATRIX

    @property
    def confusions(self) -> list[Confusion]:
        """The most frequent mistakes of the headline split."""
        return top_confusions(self.headline.confusion, CONFUSIONS_SHOWN)

    def weakest_first(self) -> list[int]:
        """Sort the classes of the headline split by ascending F1, then by order; classes without tiles come last."""
        return weakest_first(self.headline.figures.f1)

    def scalars(self) -> dict[str, float]:
        """Return each figure of each split as `<split>_<figure>`, all finite.

        Those of the headline split have bounds beside them. Times are not among them, so that the same predictions give
        the same figures.
        """
        figures = {
            f"{split}_{name}": value for split, one in self.scores.items() for name, value in one.scalars().items()
        }
        for split, one in self.averaged.items():
            scalars = one.scalars()
            figures |= {f"{split}_averaged_{name}": scalars[name] for name in AVERAGED_FIGURES}
        if self.groups:
            accuracies = [group.accuracy for group in self.groups]
            figures[f"{self.headline_split}_mean_group_accuracy"] = float(np.mean(accuracies))
            figures[f"{self.headline_split}_lowest_group_accuracy"] = min(accuracies)
            figures[f"{self.headline_split}_groups"] = float(len(accuracies))
        return figures | {f"{self.headline_split}_{name}": value for name, value in self.headline.bounds().items()}

    def shown_figures(self) -> dict[str, float]:
        """Return the figures for Kubeflow: `scalars`, size and speed of the model, and some without the split.

        Kubeflow sorts its table by name and shows ten figures at a time. Without these, times came first, and the loss
        on the fourth page.
        """
        scalars = self.scalars()
        first = {name: scalars.get(f"{self.headline_split}_{name}") for name in FIRST_FIGURES}
        return {name: value for name, value in first.items() if value is not None} | scalars | self._model_figures()

    def _model_figures(self) -> dict[str, float]:
        return self.model.scalars() if self.model else {}

    def tracked_figures(self) -> dict[str, float]:
        """Return the figures for MLflow: `scalars`, size and speed of the model, and figures of each class.

        Those of the classes are of the headline split, as `<split>_<figure>/<class>`.
        `val_` becomes `best_val_`: training logs `val_accuracy` per epoch; these are the figures of the best epoch.
        """
        labels = class_labels(self.manifest.class_names)
        figures = self.scalars() | self._model_figures()
        for label, one in zip(labels, self.class_figures(), strict=True):
            figures |= {
                f"{self.headline_split}_{name}/{label}": value
                for name, value in one.items()
                if isinstance(value, float)
            }
        return {f"best_{name}" if name.startswith("val_") else name: value for name, value in figures.items()}

    def class_figures(self) -> list[dict[str, str | int | float | None]]:
        """Return the figures of each class in the headline split; None where a figure is undefined."""
        figures, ranking = self.headline.figures, self.headline.ranking
        values = {name: getattr(figures, name) for name in PER_CLASS}
        values |= {"average_precision": ranking.average_precision, "auc": ranking.auc}
        return [
            {
                "name": name,
                "tiles": int(figures.support[i]),
                **{key: None if np.isnan(value[i]) else float(value[i]) for key, value in values.items()},
            }
            for i, name in enumerate(self.manifest.class_names)
        ]


def weakest_first(f1: Floats) -> list[int]:
    """Sort classes by ascending F1, then by order; those whose F1 is undefined come last."""
    order: list[int] = np.argsort(f1, kind="stable").tolist()  # NumPy sorts NaN to the end
    return order


def _shown(
    predictions: SplitPredictions,
    manifest: Manifest,
    scores: SplitScores,
    options: EvaluateOptions,
    uris: Sequence[str],
) -> ShownTiles:
    chooser = Chooser(predictions, manifest.class_names, uris)
    confusions = top_confusions(scores.confusion, CONFUSIONS_SHOWN)
    weakest = weakest_first(scores.figures.f1)
    classes = [index for index in weakest if scores.figures.support[index]][:CLASSES_WITH_TILES]
    return ShownTiles(
        chooser.mistakes(options.mistakes),
        tuple(chooser.predicted_as(one.label, one.predicted, CONFUSED_TILES) for one in confusions),
        {index: chooser.predicted_as(index, index, options.examples) for index in classes},
    )


def _places(predictions: SplitPredictions, facts: TileFacts) -> ErrorPlaces | None:
    known = np.isfinite(facts.centers).all(axis=1)
    wrong = predictions.predicted != predictions.labels
    return ErrorPlaces(facts.centers[known], wrong[known]) if known.any() else None
