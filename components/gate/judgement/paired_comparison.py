"""Comparison of two models on the same tiles: McNemar's exact test and a paired bootstrap."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")
"""Figures whose difference gets an interval."""
CONFIDENCE = 0.95
_CELLS_AT_ONCE = 4_000_000
"""Largest number of counts that the bootstrap holds at once, 32 MB as 64-bit integers."""


class Difference(NamedTuple):
    """Difference of one figure, challenger minus champion."""

    champion: float
    challenger: float
    low: float
    high: float
    """Ends of the 95 % interval of the difference."""

    @property
    def value(self) -> float:
        """The difference; above 0 where the challenger is better."""
        return self.challenger - self.champion


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same tiles."""

    tiles: int
    only_champion: int
    """Tiles on which the champion is right and the challenger is wrong."""
    only_challenger: int
    """Tiles on which the challenger is right and the champion is wrong."""
    p_value: float
    """Two-sided, of McNemar's exact test; 1 without such tiles."""
    differences: dict[str, Difference]
    """The figures of `COMPARED` by name."""


def mcnemar(only_one: int, only_other: int) -> float:
    """Compute the two-sided p-value of McNemar's exact test.

    Under the null hypothesis, each tile on which exactly one of two models is right is equally likely to be either's.
    https://en.wikipedia.org/wiki/McNemar%27s_test#Variations

    Args:
        only_one: tiles on which only the first model is right.
        only_other: tiles on which only the second model is right.

    Returns:
        The p-value; 1 without any such tile, since then nothing speaks for a difference.
    """
    from scipy.stats import binomtest

    disagreements = only_one + only_other
    if not disagreements:  # binomtest takes no zero trials
        return 1.0
    return float(binomtest(only_one, disagreements, 0.5).pvalue)


def compare(
    labels: Labels, champion: Labels, challenger: Labels, classes: int, *, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Compare two models.

    The bootstrap draws tiles with replacement and takes the percentiles of the difference, which are defined even if
    all resamples are equal. Tiles with the same label and predictions are interchangeable, so it draws their counts:
    memory and time depend on the number of distinct combinations, not of tiles.

    Args:
        labels: true classes, `(tiles,)`, at least one tile.
        champion: classes that the champion predicts, `(tiles,)`.
        challenger: classes that the challenger predicts, `(tiles,)`.
        classes: number of classes.
        resamples: number of bootstrap resamples. Defaults to 2000.
        seed: random seed; the same seed gives the same interval. Defaults to 0.
    """
    champion_right, challenger_right = champion == labels, challenger == labels
    only_champion = int((champion_right & ~challenger_right).sum())
    only_challenger = int((challenger_right & ~champion_right).sum())
    combinations, tiles = np.unique(np.stack([labels, champion, challenger], axis=1), axis=0, return_counts=True)
    observed = _figures_of_both(tiles[None, :], combinations, classes)
    drawn = _resample(tiles, combinations, classes, resamples, np.random.default_rng(seed))
    tail = 100 * (1 - CONFIDENCE) / 2
    differences = {}
    for index, name in enumerate(COMPARED):
        low, high = np.percentile(drawn[:, 1, index] - drawn[:, 0, index], [tail, 100 - tail])
        first, second = (float(value) for value in observed[0, :, index])
        differences[name] = Difference(first, second, float(low), float(high))
    return Comparison(
        tiles=len(labels),
        only_champion=only_champion,
        only_challenger=only_challenger,
        p_value=mcnemar(only_champion, only_challenger),
        differences=differences,
    )


def _resample(
    tiles: NDArray[np.int64], combinations: Labels, classes: int, resamples: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return the figures of both models in each resample, `(resamples, 2, figures)`."""
    total, at_once = int(tiles.sum()), max(1, _CELLS_AT_ONCE // max(len(tiles), classes * classes))
    parts = [
        _figures_of_both(
            random.multinomial(total, tiles / total, min(at_once, resamples - start)), combinations, classes
        )
        for start in range(0, resamples, at_once)
    ]
    return np.concatenate(parts)


def _figures_of_both(counts: NDArray[np.int64], combinations: Labels, classes: int) -> NDArray[np.float64]:
    """Compute the figures of `COMPARED`.

    Args:
        counts: tiles of each combination, `(resamples, combinations)`.
        combinations: label, champion's and challenger's prediction, `(combinations, 3)`.
        classes: number of classes.

    Returns:
        Figures of champion and challenger, `(resamples, 2, figures)`.
    """
    figures = [_figures(counts, combinations[:, 0], combinations[:, column], classes) for column in (1, 2)]
    return np.stack(figures, axis=1)


def _figures(counts: NDArray[np.int64], labels: Labels, predicted: Labels, classes: int) -> NDArray[np.float64]:
    """Compute the figures of one model, `(resamples, figures)`; macro averages are over the classes with tiles."""
    support = _per_class(counts, labels, classes)
    answered = _per_class(counts, predicted, classes)
    is_right = labels == predicted
    right = _per_class(counts[:, is_right], labels[is_right], classes)
    present = support > 0
    # As in shared/figures.py: F1 is 2 TP / (2 TP + FP + FN), and 0 for a class that is never predicted.
    recall = np.divide(right, support, out=np.zeros(support.shape), where=present)
    f1 = np.divide(2 * right, support + answered, out=np.zeros(support.shape), where=present)
    occurring = present.sum(axis=1)
    accuracy = right.sum(axis=1) / counts.sum(axis=1)
    return np.stack([accuracy, recall.sum(axis=1) / occurring, f1.sum(axis=1) / occurring], axis=1)


def _per_class(counts: NDArray[np.int64], index: Labels, classes: int) -> NDArray[np.int64]:
    """Sum the counts of the combinations of each class, `(resamples, classes)`."""
    belongs = index[:, None] == np.arange(classes)
    sums: NDArray[np.int64] = counts @ belongs.astype(np.int64)
    return sums
