"""Tables of the report, one function per section."""

import math

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.shared.contracts.manifest import SPLITS, Manifest
from tilepipe.components.shared.pages.formatting import DASH, SPLIT_NAMES, TIMES, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Child, Markup, element
from tilepipe.components.shared.pages.page import facts, figures, headings, number, table


def bar(share: float, *, wrong: bool = False, tick: float | None = None) -> Markup | None:
    """Draw a bar for a fraction, with an optional tick for a second one; None for NaN."""
    if math.isnan(share):
        return None
    fill = element("span", class_="wrong" if wrong else None, style=f"width:{100 * share:.1f}%")
    mark = None if tick is None else element("span", class_="tick", style=f"left:{100 * tick:.1f}%")
    return element("span", fill, mark, class_="bar", aria_hidden="true")


def splits_table(evaluation: Evaluation) -> Markup:
    """Build the table of figures, one column per split."""
    shown = (
        ("Tiles", "tiles"),
        ("Accuracy", "accuracy"),
        ("Balanced accuracy", "balanced_accuracy"),
        ("Macro precision", "macro_precision"),
        ("Macro recall", "macro_recall"),
        ("Macro F1", "macro_f1"),
        ("Loss (cross-entropy)", "loss"),
        ("Calibration error", "calibration_error"),
    )
    scalars = evaluation.scalars()
    rows = [
        element(
            "tr",
            element("th", title, scope="row"),
            *(number(_figure(name, scalars[f"{split}_{name}"])) for split in evaluation.scores),
        )
        for title, name in shown
    ]
    head = [element("th", SPLIT_NAMES[split], scope="col", class_="number") for split in evaluation.scores]
    return table("Figures of each split", [element("td"), *head], rows)


def classes_table(evaluation: Evaluation) -> Markup:
    """Build the table of precision, recall and F1 per class, weakest class first."""
    scores, names = evaluation.headline, evaluation.manifest.class_names
    rows = [
        element(
            "tr",
            element("th", breakable(names[i]), scope="row", class_="name"),
            number(f"{scores.support[i]:,}"),
            *(number(percent(f[i]), bar(f[i])) for f in (scores.precision, scores.recall, scores.f1)),
        )
        for i in evaluation.weakest_first()
    ]
    return table(
        "Figures of each class, weakest first", headings("Class", "#Tiles", "#Precision", "#Recall", "#F1"), rows
    )


def confusions_table(evaluation: Evaluation) -> Markup:
    """Build the table of the most frequent mistakes."""
    names = evaluation.manifest.class_names
    taken_for = element("span", " taken for ", class_="soft")
    rows = [
        element(
            "tr",
            element("td", breakable(names[one.label]), taken_for, breakable(names[one.predicted]), class_="name"),
            number(f"{one.tiles:,}"),
            number(percent(one.share), bar(one.share, wrong=True)),
        )
        for one in evaluation.confusions
    ]
    return table("Most frequent mistakes", headings("True class taken for another", "#Tiles", "#Of the class"), rows)


def calibration_table(evaluation: Evaluation) -> Markup:
    """Build the table of probability and accuracy, per range of probabilities."""
    rows = [
        element(
            "tr",
            element("th", f"{100 * one.low:.0f}{DASH}{percent(one.high, 0)}", scope="row"),
            number(f"{one.tiles:,}"),
            number(percent(one.probability)),
            number(percent(one.accuracy), bar(one.accuracy, tick=one.probability)),
        )
        for one in reversed(evaluation.headline.reliability)
    ]
    head = headings("Model's probability", "#Tiles", "#Mean", "#Right")
    return table("Probability against hit rate", head, rows)


def mistakes_table(evaluation: Evaluation) -> Markup:
    """Build the table of the wrong predictions with the highest probability."""
    rows = [
        element(
            "tr",
            element("td", element("code", breakable(one.tile_id))),
            element("td", breakable(one.label), class_="name"),
            element("td", breakable(one.predicted), class_="name"),
            number(percent(one.probability)),
        )
        for one in evaluation.mistakes
    ]
    return table("Most confident mistakes", headings("Tile", "Labelled", "Taken for", "#Probability"), rows)


def counts_table(manifest: Manifest) -> Markup:
    """Build the table of tiles per class and split."""
    counts = {split: manifest.splits[split].tiles_per_class for split in SPLITS}
    rows = [
        element(
            "tr",
            element("th", breakable(name), scope="row", class_="name"),
            *(number(f"{counts[split].get(name, 0):,}") for split in SPLITS),
            number(f"{sum(counts[split].get(name, 0) for split in SPLITS):,}"),
        )
        for name in manifest.class_names
    ]
    totals = [manifest.splits[split].tiles for split in SPLITS]
    last = element("tr", element("th", "All", scope="row"), *(number(f"{n:,}") for n in (*totals, sum(totals))))
    head = headings("Class", *(f"#{SPLIT_NAMES[split].capitalize()}" for split in SPLITS), "#All")
    return table("Tiles of each class in each split", head, [*rows, last])


def facts_list(manifest: Manifest) -> Markup:
    """Build the list of facts about the data: source, tile shape, bands and counts."""
    rows: list[tuple[str, Child]] = [
        ("Name", manifest.name),
        ("Source", breakable(manifest.source)),
        ("Snapshot", manifest.snapshot or "not stated"),
        ("Tile", tile_shape(manifest)),
        ("Bands", ", ".join(manifest.bands)),
        ("Classes", f"{len(manifest.class_names)}"),
        ("Tiles", ", ".join(f"{manifest.splits[s].tiles:,} {SPLIT_NAMES[s]}" for s in SPLITS)),
        ("Digest", element("code", manifest.digest)),
    ]
    return facts(rows)


def tile_shape(manifest: Manifest) -> str:
    """Describe size, bands and dtype of a tile."""
    height, width, bands = manifest.tile_shape
    return f"{height} {TIMES} {width} pixels, {bands} band{'' if bands == 1 else 's'}, {manifest.dtype}"


def headline_list(evaluation: Evaluation) -> Markup:
    """Build the list of headline figures."""
    scores = evaluation.headline
    scalars = scores.scalars()
    rows = (
        ("Accuracy", percent(scores.accuracy), f"{scores.tiles - scores.correct:,} of {tiles(scores.tiles)} wrong"),
        ("Balanced accuracy", percent(scores.balanced_accuracy), "mean recall of the classes"),
        ("Macro F1", percent(scalars["macro_f1"]), "mean F1 of the classes"),
        ("Loss", f"{scores.loss:.3f}", "cross-entropy"),
    )
    return figures(rows)


def _figure(name: str, value: float) -> str:
    if name == "tiles":
        return f"{value:,.0f}"
    return f"{value:.4f}" if name == "loss" else percent(value)
