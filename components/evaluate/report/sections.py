"""Tables of the report, one function per section."""

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.figures.model_facts import ModelFacts
from tilepipe.components.evaluate.report.tile_gallery import strip
from tilepipe.components.shared.contracts.manifest import SPLITS, Manifest
from tilepipe.components.shared.pages.formatting import DASH, SPLIT_NAMES, TIMES, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Child, Markup, element, join
from tilepipe.components.shared.pages.page import bar, facts, figures, headings, number, table

GROUPS_SHOWN = 10


_SPLIT_ROWS = (
    ("Tiles", "tiles"),
    ("Accuracy", "accuracy"),
    ("Accuracy, averaged over variants", "averaged_accuracy"),
    ("Balanced accuracy", "balanced_accuracy"),
    ("Macro precision", "macro_precision"),
    ("Macro recall", "macro_recall"),
    ("Macro F1", "macro_f1"),
    ("Macro F1, averaged over variants", "averaged_macro_f1"),
    ("Weighted F1", "weighted_f1"),
    ("Macro average precision", "macro_average_precision"),
    ("Macro AUC", "macro_auc"),
    ("Cohen\u2019s kappa", "cohen_kappa"),
    ("Matthews correlation", "matthews_correlation"),
    ("Loss (cross-entropy)", "loss"),
    ("Calibration error", "calibration_error"),
)
_PLAIN_NUMBERS = frozenset({"macro_auc", "cohen_kappa", "matthews_correlation", "loss"})
_WITH_INTERVAL = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "cohen_kappa", "matthews_correlation")
UNDEFINED = "undefined"


def splits_table(evaluation: Evaluation) -> Markup:
    """Build the table of figures, one column per split; a figure that no split has is left out."""
    scalars, k = evaluation.scalars(), evaluation.headline.top_k
    shown = list(_SPLIT_ROWS)
    shown.insert(3, (f"Top-{k} accuracy", f"top_{k}_accuracy"))
    rows = [
        element(
            "tr",
            element("th", title, scope="row"),
            *(number(figure(name, scalars.get(f"{split}_{name}"))) for split in evaluation.scores),
        )
        for title, name in shown
        if any(f"{split}_{name}" in scalars for split in evaluation.scores)
    ]
    head = [element("th", SPLIT_NAMES[split], scope="col", class_="number") for split in evaluation.scores]
    return table("Figures of each split", [element("td"), *head], rows)


def classes_table(evaluation: Evaluation) -> Markup:
    """Build the table of precision, recall and F1 per class, weakest class first."""
    scores, names = evaluation.headline.figures, evaluation.manifest.class_names
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
            element(
                "td",
                element("span", breakable(names[one.label]), taken_for, breakable(names[one.predicted]), class_="name"),
                strip(examples, evaluation.shown),
            ),
            number(f"{one.tiles:,}"),
            number(percent(one.share), bar(one.share, wrong=True)),
        )
        for one, examples in zip(evaluation.confusions, evaluation.shown.confused, strict=True)
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


def typical_tiles(evaluation: Evaluation) -> Markup:
    """Build the list of tiles that are typical of each class."""
    names, shown = evaluation.manifest.class_names, evaluation.shown
    kinds = [
        element(
            "div",
            element("dt", breakable(names[index]), class_="name"),
            element("dd", strip(examples, shown) or element("span", "none recognized", class_="soft")),
        )
        for index, examples in shown.typical.items()
    ]
    return element("dl", *kinds, class_="kinds")


def groups_table(evaluation: Evaluation) -> Markup:
    """Build the table of the groups with the lowest accuracy."""
    rows = [
        element(
            "tr",
            element("th", breakable(group.name), scope="row", class_="name"),
            number(f"{group.tiles:,}"),
            number(f"{group.classes:,}"),
            number(percent(group.accuracy), bar(group.accuracy)),
        )
        for group in evaluation.groups[:GROUPS_SHOWN]
    ]
    return table("Accuracy of each group, lowest first", headings("Group", "#Tiles", "#Classes", "#Right"), rows)


def model_list(model: ModelFacts) -> Markup:
    """Build the list of facts about the model: size, speed on this machine and settings of the training."""
    rows: list[tuple[str, Child]] = [
        ("Network", breakable(model.architecture)),
        ("Layers", f"{model.layers:,}"),
        ("Parameters", f"{model.parameters:,}"),
        ("File", file_size(model.file_bytes)),
    ]
    rows += [
        (f"Batch of {size:,}", timing(f"{milliseconds / size:,.2f} ms per tile"))
        for size, milliseconds in model.milliseconds.items()
    ]
    rows.append(("Rate", timing(f"{model.tiles_per_second:,.0f} tiles per second on this machine")))
    settings = [(name, breakable(value)) for name, value in model.settings.items()]
    title = element("summary", f"{len(settings)} settings of the training")
    return join(facts(rows), element("details", title, facts(settings)) if settings else None)


def timing(words: str) -> Markup:
    """Mark a time, which differs from run to run."""
    return element("span", words, class_="timing")


def file_size(count: int) -> str:
    """Format a number of bytes, such as `1.4 MB`."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


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
    """Build the list of headline figures with their intervals."""
    scores, scalars = evaluation.headline, evaluation.headline.scalars()
    k = scores.top_k
    shown = (
        ("Accuracy", "accuracy", f"{scores.tiles - scores.correct:,} of {tiles(scores.tiles)} wrong"),
        ("Balanced accuracy", "balanced_accuracy", "mean recall of the classes"),
        ("Macro F1", "macro_f1", "mean F1 of the classes"),
        ("Loss", "loss", "cross-entropy"),
        ("Cohen\u2019s kappa", "cohen_kappa", "agreement beyond chance"),
        ("Matthews correlation", "matthews_correlation", "from \u22121 to 1"),
        *(((f"Top-{k} accuracy", f"top_{k}_accuracy", f"true class among {k}"),) if k else ()),
        ("Macro AUC", "macro_auc", "mean area under the ROC curves"),
    )
    return figures(
        (title, figure(name, scalars.get(name), digits=3), f"{_interval(evaluation, name)}{aside}")
        for title, name, aside in shown
    )


def interval_note(evaluation: Evaluation) -> str:
    """Explain the ranges beside the headline figures, or why there are none."""
    if not evaluation.headline.intervals:
        return "No bootstrap intervals: all tiles agree, or none were requested."
    missing = [name for name in _WITH_INTERVAL if name not in evaluation.headline.intervals]
    undefined = " A figure on which all tiles agree has no range." if missing else ""
    return f"Ranges are {percent(0.95, 0)} bootstrap intervals over the tiles.{undefined}"


def _interval(evaluation: Evaluation, name: str) -> str:
    interval = evaluation.headline.intervals.get(name)
    if interval is None:
        return ""
    low, high = (figure(name, value, digits=3) for value in interval)
    return f"{low} to {high}; "


def figure(name: str, value: float | None, digits: int = 4) -> str:
    """Format a figure by its name; None is undefined."""
    if value is None:
        return UNDEFINED
    if name == "tiles":
        return f"{value:,.0f}"
    return f"{value:.{digits}f}".replace("-", "\u2212") if name in _PLAIN_NUMBERS else percent(value)
