"""What an evaluation found, as the report, the summary and the figures for KFP and MLflow need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from tilepipe.components.evaluate.metrics import Confusion, RocCurve, SplitScores, roc_curve, score, top_confusions
from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import Manifest, Split

MISTAKES_SHOWN = 12
CONFUSIONS_SHOWN = 10
LARGEST_MATRIX = 200
"""Classes up to which a confusion matrix is drawn, and given to Kubeflow: beyond, an artifact's metadata near the 4 MiB
that a gRPC message may have, and nobody reads a million cells."""


class Mistake(NamedTuple):
    """One tile that the model got wrong."""

    tile_id: str
    label: str
    predicted: str
    probability: float
    """That the model gave to the wrong class."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of each split that holds tiles, and what explains those of the headline split."""

    manifest: Manifest
    history: History
    scores: Mapping[Split, SplitScores]
    """Test before validation; only splits that hold tiles."""
    roc: RocCurve
    """Of the headline split."""
    mistakes: tuple[Mistake, ...]
    """Of the headline split, the most confident first."""

    @classmethod
    def of(cls, manifest: Manifest, history: History, predictions: Sequence[SplitPredictions]) -> Self:
        """Work out all figures.

        Args:
            manifest: what the shards hold.
            history: of the training.
            predictions: one entry a split, the headline split first.

        Returns:
            The evaluation.
        """
        headline = predictions[0]
        return cls(
            manifest=manifest,
            history=history,
            scores={one.split: score(one.labels, one.probabilities) for one in predictions},
            roc=roc_curve(headline.labels, headline.probabilities),
            mistakes=confident_mistakes(headline, manifest.class_names, MISTAKES_SHOWN),
        )

    @property
    def headline_split(self) -> Split:
        """`test`, or `val` where the data have no test split."""
        return next(iter(self.scores))

    @property
    def headline(self) -> SplitScores:
        """Figures of the headline split."""
        return self.scores[self.headline_split]

    @property
    def remark(self) -> str:
        """What to bear in mind when reading the headline, or empty."""
        if self.headline_split == "test":
            return ""
        return (
            "This data set has no test split, so these are the validation figures. The best epoch was chosen on the "
            "same tiles: expect somewhat less on new ones."
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
        """Whether the confusion matrix is small enough to be shown."""
        return len(self.manifest.class_names) <= LARGEST_MATRIX

    @property
    def confusions(self) -> list[Confusion]:
        """The most frequent mistakes of the headline split."""
        return top_confusions(self.headline.confusion, CONFUSIONS_SHOWN)

    def weakest_first(self) -> list[int]:
        """Classes of the headline split by rising F1, then order; those without a tile last."""
        f1 = self.headline.f1
        return sorted(range(len(f1)), key=lambda i: (bool(np.isnan(f1[i])), 0.0 if np.isnan(f1[i]) else f1[i], i))

    def scalars(self) -> dict[str, float]:
        """Each figure of each split under `<split>_<figure>`, all finite."""
        return {f"{split}_{name}": value for split, one in self.scores.items() for name, value in one.scalars().items()}


def confident_mistakes(predictions: SplitPredictions, class_names: tuple[str, ...], limit: int) -> tuple[Mistake, ...]:
    """Find the wrong answers that the model was surest of: often these are wrong labels.

    Args:
        predictions: of one split, sorted by tile id.
        class_names: in the order of the labels.
        limit: how many at most.

    Returns:
        By falling probability, then tile id.
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
