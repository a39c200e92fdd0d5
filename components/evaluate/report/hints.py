"""Hints on what to try next: causes of errors that the figures point to, the clearest first.

Each hint names the figure that it comes from, so that a reader can judge it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Child, Markup, element, join

HINTS_SHOWN = 6
_SURE = 0.9
"""Probability from which a wrong prediction is called confident."""
_FEW_TILES = 10
_MOST_NAMES = 5
"""Number of classes that a hint lists by name."""
_GAP = 0.05
"""Difference between two fractions that is worth a hint."""
_CLASS_WEIGHTS = """train_options='{"class_weights": "balanced"}'"""


class Hint(NamedTuple):
    """A thing to try, and why."""

    title: str
    reason: Markup


def hints(evaluation: Evaluation) -> list[Hint]:
    """Derive at most `HINTS_SHOWN` hints, the clearest first."""
    found = (
        *_chance(evaluation),
        *_missing_classes(evaluation),
        *_label_errors(evaluation),
        *_similar_classes(evaluation),
        *_few_training_tiles(evaluation),
        *_fit(evaluation),
        *_other_distribution(evaluation),
        *_variants(evaluation),
        *_calibration(evaluation),
        *_precision_of_figures(evaluation),
    )
    return list(found[:HINTS_SHOWN])


def _chance(evaluation: Evaluation) -> Iterator[Hint]:
    kappa = evaluation.headline.agreement.get("cohen_kappa", 1.0)
    if kappa < 0.1:
        reason = join(
            f"Cohen\u2019s kappa is {kappa:.3f}, so the answers are hardly better than guesses. Look at the curves of "
            "the loss: if it does not fall, change ",
            _code("train_learning_rate"),
            "; if it falls on training tiles only, check that the labels of the splits mean the same.",
        )
        yield Hint("Check the training before anything else", reason)


def _missing_classes(evaluation: Evaluation) -> Iterator[Hint]:
    support, names = evaluation.headline.figures.support, evaluation.manifest.class_names
    split = SPLIT_NAMES[evaluation.headline_split]
    absent = [names[i] for i in np.flatnonzero(support == 0)]
    few = [names[i] for i in np.flatnonzero((support > 0) & (support < _FEW_TILES))]
    if absent:
        yield Hint(f"Add {split} tiles of classes without any", join("Nothing is known about ", _listed(absent), "."))
    if few:
        reason = join("Fewer than ", _FEW_TILES, " tiles: ", _listed(few), ". Figures of these classes are guesses.")
        yield Hint(f"Add {split} tiles of small classes", reason)


def _label_errors(evaluation: Evaluation) -> Iterator[Hint]:
    sure = sum(tile.probability >= _SURE for tile in evaluation.shown.mistakes)
    if sure:
        reason = join(
            f"At least {tiles(sure)} {'is' if sure == 1 else 'are'} wrong with a probability of {percent(_SURE, 0)} or "
            "more (Most confident mistakes). If the pictures look right, correct the labels at their source, or drop "
            "the tiles with ",
            _code("data_where"),
            ".",
        )
        yield Hint("Check the labels of the most confident mistakes", reason)


def _similar_classes(evaluation: Evaluation) -> Iterator[Hint]:
    confusion = evaluation.headline.confusion
    wrong = confusion.sum() - np.trace(confusion)
    between = np.triu(confusion + confusion.T, 1)
    if wrong < _FEW_TILES or len(confusion) < 3:
        return
    one, other = np.unravel_index(between.argmax(), between.shape)
    share = between[one, other] / wrong
    if share >= 0.25:
        names = evaluation.manifest.class_names
        pair = join(_name(names[one]), " and ", _name(names[other]))
        reason = join(
            f"{percent(share, 0)} of all mistakes are between ",
            pair,
            ". More training tiles of both help, a band or index that separates them, or one class for both (",
            _code("data_recode"),
            ").",
        )
        yield Hint("Separate the two classes that are confused most, or merge them", reason)


def _weighs_classes(evaluation: Evaluation) -> bool:
    settings = evaluation.model.settings if evaluation.model else {}
    return any(name.endswith("class_weights") and value != "none" for name, value in settings.items())


def _few_training_tiles(evaluation: Evaluation) -> Iterator[Hint]:
    names, f1 = evaluation.manifest.class_names, evaluation.headline.figures.f1
    counts = np.array([evaluation.manifest.splits["train"].tiles_per_class[name] for name in names])
    typical, mean = float(np.median(counts)), evaluation.headline.figures.overall["macro_f1"]
    weak = [i for i in evaluation.weakest_first() if f1[i] < mean - _GAP and counts[i] < typical / 2]
    if weak:
        listed = _listed([f"{names[i]} ({counts[i]:,})" for i in weak])
        reason = join(
            f"Weak classes with less than half of the usual {typical:,.0f} training tiles: ",
            listed,
            ". Add tiles",
            *(() if _weighs_classes(evaluation) else (", or weigh the classes: ", _code(_CLASS_WEIGHTS))),
            ".",
        )
        yield Hint("Add training tiles of weak classes", reason)


def _fit(evaluation: Evaluation) -> Iterator[Hint]:
    history = evaluation.history
    if not history.has_validation:
        return
    gap = history.best["accuracy"] - history.best["val_accuracy"]
    if gap > 2 * _GAP:
        reason = join(
            f"Training accuracy is {percent(history.best['accuracy'])}, validation accuracy "
            f"{percent(history.best['val_accuracy'])}: the model overfits. Try more kinds of ",
            _code("train_augmentation"),
            ", a higher ",
            _code("dropout"),
            " in ",
            _code("model_options"),
            ", or more tiles.",
        )
        yield Hint("Train with more variety", reason)
    elif history.best_epoch == len(history.epochs) and history.best["val_accuracy"] < 1:
        reason = join(
            f"The best epoch is the last of {len(history.epochs)}, so the model was probably still improving. Raise ",
            _code("train_epochs"),
            ".",
        )
        yield Hint("Train longer", reason)


def _other_distribution(evaluation: Evaluation) -> Iterator[Hint]:
    if len(evaluation.scores) == 2:
        drop = evaluation.scores["val"].accuracy - evaluation.headline.accuracy
        interval = evaluation.headline.intervals.get("accuracy")
        if drop > _GAP and interval and evaluation.scores["val"].accuracy > interval.high:
            reason = join(
                f"Test accuracy is {percent(drop)} below validation accuracy, more than chance explains. Validation "
                "tiles resemble the training tiles more; split both by place or origin (",
                _code("split_by"),
                ").",
            )
            yield Hint("Choose the model on tiles like those of the test", reason)
    if len(evaluation.groups) > 1:
        group = next((one for one in evaluation.groups if one.tiles >= _FEW_TILES), None)
        if group and group.accuracy < evaluation.headline.accuracy - 2 * _GAP:
            reason = join(
                _name(group.name),
                f": {percent(group.accuracy)} of {tiles(group.tiles)}. Look for what differs "
                "there, such as season, sensor or labelling, and add training tiles of its kind.",
            )
            yield Hint("Look at the weakest group", reason)


def _variants(evaluation: Evaluation) -> Iterator[Hint]:
    averaged = evaluation.averaged.get(evaluation.headline_split)
    if averaged and averaged.accuracy - evaluation.headline.accuracy >= 0.01:
        reason = join(
            f"Averaged over its variants, a tile is right in {percent(averaged.accuracy)} instead of "
            f"{percent(evaluation.headline.accuracy)} of all cases, so the answer depends on the orientation. Train "
            "longer with ",
            _code("flip"),
            " and ",
            _code("quarter_turn"),
            ", or predict with averages where their cost does not matter.",
        )
        yield Hint("Average over the variants of a tile", reason)


def _calibration(evaluation: Evaluation) -> Iterator[Hint]:
    scores = evaluation.headline
    if scores.calibration_error > _GAP:
        stated = sum(one.tiles * one.probability for one in scores.reliability) / scores.tiles
        over = stated > scores.accuracy
        remedy: tuple[Child, ...] = (
            (" Try ", _code("""train_options='{"label_smoothing": 0.1}'"""), ".") if over else (" Train longer.",)
        )
        direction = "too sure" if over else "not sure enough"
        text = f"Probabilities are off by {percent(scores.calibration_error)} on average; the model is {direction}."
        yield Hint("Do not use the probabilities as they are", join(text, *remedy))


def _precision_of_figures(evaluation: Evaluation) -> Iterator[Hint]:
    interval = evaluation.headline.intervals.get("accuracy")
    if interval and interval.high - interval.low > 0.1:
        split = SPLIT_NAMES[evaluation.headline_split]
        reason = join(
            f"Accuracy lies between {percent(interval.low)} and {percent(interval.high)}. Differences between models "
            "that are smaller than that mean little."
        )
        yield Hint(f"Evaluate on more {split} tiles", reason)


def _listed(names: list[str]) -> Markup:
    shown = [join(", " if place else None, _name(name)) for place, name in enumerate(names[:_MOST_NAMES])]
    more = len(names) - _MOST_NAMES
    return join(*shown, f" and {more:,} more" if more > 0 else None)


def _name(name: str) -> Markup:
    return element("strong", breakable(name), class_="name")


def _code(text: str) -> Markup:
    return element("code", text)
