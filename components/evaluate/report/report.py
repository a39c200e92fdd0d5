"""Evaluation report as one HTML page."""

import numpy as np

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.figures.metrics import top_confusions
from tilepipe.components.evaluate.report import sections
from tilepipe.components.evaluate.report.error_map import error_map, legend_of_errors
from tilepipe.components.evaluate.report.heat_map import ROOMY_CLASSES, heat_map
from tilepipe.components.evaluate.report.hints import hints
from tilepipe.components.evaluate.report.reliability_plot import reliability_plot
from tilepipe.components.evaluate.report.report_style import STYLE
from tilepipe.components.evaluate.report.small_curves import small_curves
from tilepipe.components.evaluate.report.tile_gallery import cards
from tilepipe.components.shared.contracts.history import History, in_words
from tilepipe.components.shared.pages.curves import FIGURES, curve_panel
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Child, Markup, element, join
from tilepipe.components.shared.pages.page import html_page, pair, section
from tilepipe.components.shared.version import VERSION

TIES_NAMED = 3
"""Largest number of equally weak classes, or equally frequent mistakes, that are named."""


def render_report(evaluation: Evaluation) -> str:
    """Write the report as an HTML document."""
    name = evaluation.manifest.name
    title = f"{name}: evaluation report"
    return html_page(title, STYLE, _header(evaluation), *_sections(evaluation), _footer(evaluation))


def _header(evaluation: Evaluation) -> Markup:
    manifest = evaluation.manifest
    about = f"{len(manifest.class_names)} classes, tiles of {sections.tile_shape(manifest)}"
    return element(
        "header",
        element("p", "Evaluation report", class_="over"),
        element("h1", manifest.name),
        element("p", about, class_="note"),
        element("p", *_lede(evaluation), class_="lede"),
        _weakness(evaluation),
        element("p", evaluation.remark, class_="remark") if evaluation.remark else None,
        element("p", breakable(evaluation.left_out), class_="remark") if evaluation.left_out else None,
        sections.headline_list(evaluation),
        element("p", sections.interval_note(evaluation), class_="note"),
    )


def _lede(evaluation: Evaluation) -> list[Child]:
    from scipy.stats import binomtest

    scores = evaluation.headline
    # Where all tiles agree, a bootstrap says nothing, but Wilson's interval of a share still does.
    low, high = scores.intervals.get("accuracy") or binomtest(scores.correct, scores.tiles).proportion_ci(
        method="wilson"
    )
    return [
        f"The model is right on {scores.correct:,} of {tiles(scores.tiles)} of the "
        f"{SPLIT_NAMES[evaluation.headline_split]} split: ",
        element("strong", percent(scores.accuracy)),
        f" ({percent(0.95, 0)} interval {percent(low)} to {percent(high)}).",
    ]


def _weakness(evaluation: Evaluation) -> Markup | None:
    if not evaluation.confusions:
        return None
    f1 = evaluation.headline.figures.f1
    confusions = top_confusions(evaluation.headline.confusion, limit=len(f1) ** 2)
    weakest = [index for index in evaluation.weakest_first() if f1[index] == np.nanmin(f1)]
    most = [one for one in confusions if one.tiles == confusions[0].tiles]
    return element(
        "p",
        f"Weakest class{'' if len(weakest) == 1 else 'es'}: ",
        _ties([_bold(evaluation, index) for index in weakest]),
        f", F1 {percent(f1[weakest[0]])}. ",
        f"Most frequent mistake{'' if len(most) == 1 else 's (equally frequent)'}: ",
        _ties([join(_bold(evaluation, a.label), " taken for ", _bold(evaluation, a.predicted)) for a in most]),
        f", {tiles(most[0].tiles)}{'' if len(most) == 1 else ' each'}.",
    )


def _bold(evaluation: Evaluation, index: int) -> Markup:
    return element("strong", breakable(evaluation.manifest.class_names[index]), class_="name")


def _ties(named: list[Markup]) -> Markup:
    shown, more = named[:TIES_NAMED], len(named) - TIES_NAMED
    last = ", " if more > 0 else " and "
    gaps = [None, *[", "] * (len(shown) - 2), *[last] * (len(shown) > 1)]
    tied = (join(gap, one) for gap, one in zip(gaps, shown, strict=True))
    return join(*tied, f" and {more} more" if more > 0 else None)


def _sections(evaluation: Evaluation) -> list[Markup | None]:
    names = evaluation.manifest.class_names
    split = SPLIT_NAMES[evaluation.headline_split]
    found = bool(evaluation.confusions)
    matrix = section(
        "Confusion matrix",
        f"Every tile of the {split} split, by its true class and the model's answer.",
        heat_map(evaluation.headline.confusion, names, f"Confusion matrix of the {split} split")
        if evaluation.matrix_is_shown
        else element("p", f"With {len(names):,} classes it is too large to be drawn; the predictions hold all of it."),
    )
    confusions = section(
        "Most frequent mistakes",
        f"In the {split} split." if found else "Not one tile of this split is wrong.",
        sections.confusions_table(evaluation) if found else None,
    )
    splits = section(
        "Splits", "Macro averages are over the classes that have tiles in the split.", sections.splits_table(evaluation)
    )
    classes = section("Classes", f"In the {split} split, weakest first.", sections.classes_table(evaluation), long=True)
    roomy = len(names) <= ROOMY_CLASSES
    return [
        _hints(evaluation),
        *(
            [pair(matrix, confusions, "fitted"), _mistakes(evaluation), classes]
            if roomy
            else [matrix, pair(confusions, splits), _mistakes(evaluation), classes]
        ),
        _typical(evaluation),
        _places(evaluation),
        _ranking(evaluation),
        _calibration(evaluation),
        section("Training", _training_note(evaluation.history), _curves(evaluation.history)),
        _splits_and_model(evaluation, splits if roomy else None),
        pair(
            section("Data set", None, sections.facts_list(evaluation.manifest)),
            section("Tiles", None, sections.counts_table(evaluation.manifest), long=True),
        ),
    ]


def _hints(evaluation: Evaluation) -> Markup | None:
    found = hints(evaluation)
    if not found:
        return None
    items = (element("li", element("strong", f"{hint.title}. "), hint.reason) for hint in found)
    return section("What to try next", None, element("ol", *items, class_="hints"), long=True)


def _mistakes(evaluation: Evaluation) -> Markup | None:
    if not evaluation.shown.mistakes:
        return None
    note = "The wrong answers that the model was surest of. Look at these tiles first: some may be labelled wrong. "
    gallery = cards(evaluation.shown.mistakes, evaluation.shown)
    return section("Most confident mistakes", f"{note}{evaluation.shown.bands}".strip(), gallery, long=True)


def _typical(evaluation: Evaluation) -> Markup | None:
    if not evaluation.shown.pictures:
        return None
    note = "The tiles of each class that the model recognizes with the highest probability, weakest class first."
    return section("Typical tiles", note, sections.typical_tiles(evaluation), long=True)


def _places(evaluation: Evaluation) -> Markup | None:
    parts = []
    if evaluation.places:
        note = f"Centers of the {SPLIT_NAMES[evaluation.headline_split]} tiles, in longitude and latitude."
        parts.append(section("Where it is wrong", note, legend_of_errors(), error_map(evaluation.places)))
    if evaluation.groups:
        groups = evaluation.groups
        mean = sum(group.accuracy for group in groups) / len(groups)
        note = (
            f"{len(groups):,} group{'' if len(groups) == 1 else 's'}, {percent(mean)} right on average; lowest first."
        )
        parts.append(section("Groups", note, sections.groups_table(evaluation)))
    return pair(parts[0], parts[1]) if len(parts) == 2 else parts[0] if parts else None


def _ranking(evaluation: Evaluation) -> Markup:
    all_drawn = len(evaluation.curves) == len(evaluation.manifest.class_names)
    note = (
        f"Each class against all others, {'' if all_drawn else f'the {len(evaluation.curves)} '}weakest first, at each "
        "threshold on its probability. AP is the average precision, AUC the area under the ROC curve."
    )
    return section("Precision, recall and ROC", note, small_curves(evaluation), long=True)


def _calibration(evaluation: Evaluation) -> Markup:
    scores = evaluation.headline
    error = percent(scores.calibration_error)
    table = section(
        "Can its probabilities be trusted?",
        "Of the tiles to which the model gives 80 %, 80 % should be right: then the bar ends at its tick.",
        sections.calibration_table(evaluation),
    )
    drawing = section(
        "Calibration",
        f"Expected calibration error: {error}. Below the dashed line the model is too sure, above it not sure enough.",
        reliability_plot(scores),
    )
    return pair(drawing, table)


def _splits_and_model(evaluation: Evaluation, splits: Markup | None) -> Markup | None:
    model = section("Model", None, sections.model_list(evaluation.model)) if evaluation.model else None
    return pair(splits, model) if splits and model else splits or model


def _training_note(history: History) -> str:
    epochs, minutes = len(history.epochs), sum(epoch["seconds"] for epoch in history.epochs) / 60
    took = f"{minutes:,.0f} minutes" if minutes >= 2 else f"{60 * minutes:,.0f} seconds"
    chosen = (
        f"the best by {in_words(history.metric)}"
        if history.has_validation
        else "the last, since there are no validation tiles"
    )
    return (
        f"{epochs} epoch{'' if epochs == 1 else 's'}, {took} of training. The model is that of "
        f"epoch {history.best_epoch}, {chosen}."
    )


def _curves(history: History) -> Markup:
    return element("div", *(curve_panel(history, figure) for figure in FIGURES), class_="pair curves")


def _footer(evaluation: Evaluation) -> Markup:
    packed_by = evaluation.manifest.tilepipe_version
    return element("footer", f"Written by tilepipe {VERSION}. Data packed by tilepipe {packed_by}.")
