"""Results of an evaluation, for the report, the summary, KFP and MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from tilepipe.components.evaluate.config import EvaluateOptions
from tilepipe.components.evaluate.figures.group_figures import GroupFigures, group_figures
from tilepipe.components.evaluate.figures.metrics import (
    Confusion,
    RocCurve,
    SplitScores,
    roc_curve,
    score,
    top_confusions,
)
from tilepipe.components.evaluate.figures.speed import Speed
from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.evaluate.tiles.tile_facts import TileFacts
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import Manifest, Split
from tilepipe.components.shared.figures import class_labels

CONFUSIONS_SHOWN = 10
AVERAGED_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "calibration_error")
"""Figures that are also reported for probabilities averaged over variants of each tile."""
LARGEST_MATRIX = 200
"""Largest number of classes for which a confusion matrix is drawn and passed to Kubeflow. A larger one approaches the
4 MiB that a gRPC message may have, and is not readable."""


class Mistake(NamedTuple):
    """A tile with a wrong prediction."""

    tile_id: str
    label: str
    predicted: str
    probability: float
    """Predicted probability of the wrong class."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of each split that has tiles, and details of the headline split."""

    manifest: Manifest
    history: History
    scores: Mapping[Split, SplitScores]
    """Scores per split, test before validation; only splits that have tiles."""
    roc: RocCurve
    """ROC curve of the headline split."""
    mistakes: tuple[Mistake, ...]
    """Wrong predictions of the headline split, the most confident first."""
    speed: Speed | None = None
    """Size and speed of the model; None if they were not measured."""
    averaged: Mapping[Split, SplitScores] = field(default_factory=dict)
    """Scores of the probabilities averaged over variants of each tile, per split; empty without variants."""
    groups: tuple[GroupFigures, ...] = ()
    """Figures of the groups of the headline split, the weakest first; empty without groups."""

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        history: History,
        predictions: Sequence[SplitPredictions],
        *,
        options: EvaluateOptions | None = None,
        speed: Speed | None = None,
        facts: TileFacts | None = None,
    ) -> Self:
        """Compute all figures.

        Args:
            manifest: description of the shards.
            history: figures of each epoch of the training.
            predictions: one entry per split, the headline split first.
            options: settings of the figures and of the report. Defaults to those of `EvaluateOptions`.
            speed: size and speed of the model. Defaults to None: not measured.
            facts: groups and places of the tiles of the headline split. Defaults to None: unknown.

        Returns:
            The evaluation.
        """
        headline, options = predictions[0], options or EvaluateOptions()
        settings = {"top_k": options.top_k, "resamples": options.bootstrap_resamples, "seed": options.seed}
        return cls(
            manifest=manifest,
            history=history,
            scores={one.split: score(one.labels, one.probabilities, **settings) for one in predictions},
            roc=roc_curve(headline.labels, headline.probabilities),
            mistakes=confident_mistakes(headline, manifest.class_names, options.mistakes),
            speed=speed,
            averaged={
                one.split: score(one.labels, one.averaged, **settings | {"resamples": 0})
                for one in predictions
                if one.averaged is not None
            },
            groups=group_figures(facts.groups, headline.labels, headline.predicted) if facts else (),
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
        f1 = self.headline.f1
        return sorted(range(len(f1)), key=lambda i: (bool(np.isnan(f1[i])), 0.0 if np.isnan(f1[i]) else f1[i], i))

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
        """Return the figures for Kubeflow: `scalars`, and size and speed of the model."""
        return self.scalars() | (self.speed.scalars() if self.speed else {})

    def tracked_figures(self) -> dict[str, float]:
        """Return the figures for MLflow: those for Kubeflow, and `<split>_<figure>/<class>` of the headline split.

        `val_` becomes `best_val_`: training logs `val_accuracy` per epoch; these are the figures of the best epoch.
        """
        labels = class_labels(self.manifest.class_names)
        figures = self.shown_figures()
        for label, one in zip(labels, self.class_figures(), strict=True):
            figures |= {
                f"{self.headline_split}_{name}/{label}": value
                for name, value in one.items()
                if isinstance(value, float)
            }
        return {f"best_{name}" if name.startswith("val_") else name: value for name, value in figures.items()}

    def class_figures(self) -> list[dict[str, str | int | float | None]]:
        """Return the figures of each class in the headline split; None where a figure is undefined."""
        scores = self.headline
        values = {
            "recall": scores.recall,
            "precision": scores.precision,
            "f1": scores.f1,
            "average_precision": scores.ranking.average_precision,
            "auc": scores.ranking.auc,
        }
        return [
            {
                "name": name,
                "tiles": int(scores.support[i]),
                **{key: None if np.isnan(value[i]) else float(value[i]) for key, value in values.items()},
            }
            for i, name in enumerate(self.manifest.class_names)
        ]


def confident_mistakes(predictions: SplitPredictions, class_names: tuple[str, ...], limit: int) -> tuple[Mistake, ...]:
    """Find the wrong predictions with the highest probability; often, their labels are wrong.

    Args:
        predictions: predictions of one split, sorted by tile id.
        class_names: names of the classes, in the order of the labels.
        limit: maximum number of predictions.

    Returns:
        The predictions, by descending probability, then by tile id.
    """
    predicted, probability = predictions.predicted, predictions.probability
    wrong = np.flatnonzero(predicted != predictions.labels)
    order = wrong[np.argsort(-probability[wrong], kind="stable")][:limit]
    return tuple(
        Mistake(
            predictions.tile_ids[i],
            class_names[predictions.labels[i]],
            class_names[predicted[i]],
            float(probability[i]),
        )
        for i in order
    )
