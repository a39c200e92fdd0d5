"""Evaluation report as one HTML page."""

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.figures.metrics import wilson_interval
from tilepipe.components.evaluate.report import sections
from tilepipe.components.evaluate.report.heat_map import ROOMY_CLASSES, heat_map
from tilepipe.components.evaluate.report.report_style import STYLE
from tilepipe.components.shared.contracts.history import History, in_words
from tilepipe.components.shared.pages.curves import FIGURES, curve_panel
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Child, Markup, element, join
from tilepipe.components.shared.pages.page import html_page, pair, section
from tilepipe.components.shared.version import VERSION


def render_report(evaluation: Evaluation) -> str:
    """Write the report.

    Args:
        evaluation: the evaluation.

    Returns:
        An HTML document.
    """
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
    )


def _lede(evaluation: Evaluation) -> list[Child]:
    scores = evaluation.headline
    low, high = wilson_interval(scores.correct, scores.tiles)
    return [
        f"The model is right on {scores.correct:,} of {tiles(scores.tiles)} of the "
        f"{SPLIT_NAMES[evaluation.headline_split]} split: ",
        element("strong", percent(scores.accuracy)),
        f" ({percent(0.95, 0)} interval {percent(low)} to {percent(high)}).",
    ]


def _weakness(evaluation: Evaluation) -> Markup | None:
    if not evaluation.confusions:
        return None
    names, worst, weakest = evaluation.manifest.class_names, evaluation.confusions[0], evaluation.weakest_first()[0]

    def bold(index: int) -> Markup:
        return element("strong", breakable(names[index]), class_="name")

    weakest_class = join("Weakest class: ", bold(weakest), f", F1 {percent(evaluation.headline.f1[weakest])}. ")
    frequent = join(bold(worst.label), " taken for ", bold(worst.predicted), f", {tiles(worst.tiles)}.")
    return element("p", weakest_class, "Most frequent mistake: ", frequent)


def _sections(evaluation: Evaluation) -> list[Markup | None]:
    split = SPLIT_NAMES[evaluation.headline_split]
    names = evaluation.manifest.class_names
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
    calibration = section(
        "Can its probabilities be trusted?",
        "Of the tiles to which the model gives 80 %, 80 % should be right: then the bar ends at its tick.",
        sections.calibration_table(evaluation),
    )
    mistakes = section(
        "Most confident mistakes",
        "The wrong answers that the model was surest of. Look at these tiles first: some may be labelled wrong.",
        sections.mistakes_table(evaluation),
        long=True,
    )
    classes = section("Classes", f"In the {split} split, weakest first.", sections.classes_table(evaluation), long=True)
    training = section("Training", _training_note(evaluation.history), *_curves(evaluation.history))
    roomy = len(names) <= ROOMY_CLASSES
    return [
        *([pair(matrix, confusions, "fitted"), classes] if roomy else [matrix, pair(confusions, splits), classes]),
        mistakes if found else None,
        training,
        pair(splits, calibration) if roomy else calibration,
        pair(
            section("Data set", None, sections.facts_list(evaluation.manifest)),
            section("Tiles", None, sections.counts_table(evaluation.manifest), long=True),
        ),
    ]


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


def _curves(history: History) -> list[Markup]:
    return [element("div", *(Markup(curve_panel(history, figure)) for figure in FIGURES), class_="pair curves")]


def _footer(evaluation: Evaluation) -> Markup:
    packed_by = evaluation.manifest.tilepipe_version
    return element("footer", f"Written by tilepipe {VERSION}. Data packed by tilepipe {packed_by}.")
