"""The verdict as one HTML page."""

import numpy as np

from tilepipe.components.gate.judgement.paired_comparison import Comparison
from tilepipe.components.gate.judgement.verdict import p_value
from tilepipe.components.gate.record import Judgement
from tilepipe.components.shared.pages.dark_style import DARK_STYLE
from tilepipe.components.shared.pages.formatting import DASH, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Markup, element, join
from tilepipe.components.shared.pages.page import facts, figures, headings, html_page, number, section, table
from tilepipe.components.shared.pages.style import PAGE_STYLE
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256, DATASET_DIGEST, PIPELINE_RUN
from tilepipe.components.shared.version import VERSION

_STYLE = f"""{PAGE_STYLE}
ul.remark{{max-width:46rem;padding-left:2rem}}
ul.remark,th.name{{overflow-wrap:anywhere}}
{DARK_STYLE}"""
_TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
}
_ADVICE = {
    "accepted": "It may become champion.",
    "refused": "It must not become champion; a person can override this with a reason.",
    "undecided": "A person has to decide.",
}


def render_page(judgement: Judgement) -> str:
    """Write the page as an HTML document."""
    version = judgement.version
    title = f"{version.name}, version {version.version}: {judgement.outcome}"
    sections = [_floors(judgement), _comparison(judgement), _classes(judgement), _facts(judgement)]
    return html_page(title, _STYLE, _header(judgement), *sections, _footer(judgement))


def _header(judgement: Judgement) -> Markup:
    version, verdict = judgement.version, judgement.verdict
    against = f"champion version {judgement.champion}" if judgement.champion.isdecimal() else "no champion"
    lede = element(
        "p", element("strong", judgement.outcome.capitalize()), f". {_ADVICE[judgement.outcome]}", class_="lede"
    )
    return element(
        "header",
        element("p", "Verdict of the gate", class_="over"),
        element("h1", f"{version.name}, version {version.version}"),
        element("p", f"Judged against {against}, on {tiles(len(judgement.predictions.labels))}.", class_="note"),
        lede,
        element("ul", *(element("li", reason) for reason in verdict.reasons), class_="remark"),
        _headline(judgement),
    )


def _headline(judgement: Judgement) -> Markup | None:
    overall = judgement.figures.overall
    if not overall:
        return None
    shown = ("accuracy", "balanced_accuracy", "macro_f1")
    rows = [(_TITLES[name], percent(overall[name]), "all test tiles") for name in shown]
    if judgement.comparison is not None:
        difference = judgement.comparison.differences["accuracy"]
        interval = f"95 % interval {_points(difference.low)} to {_points(difference.high)}"
        rows.append(("Difference of the accuracy to the champion", _points(difference.value), f"points, {interval}"))
    return figures(rows)


def _floors(judgement: Judgement) -> Markup | None:
    if not judgement.floors:
        return None
    rows = [
        element(
            "tr",
            element("th", breakable(floor.name), scope="row", class_="name"),
            number(percent(floor.minimum)),
            number(percent(floor.value)),
            element("td", "met" if floor.is_met else "missed" if floor.is_measured else "not measured"),
        )
        for floor in judgement.floors
    ]
    head = headings("Figure", "#Floor", "#Challenger", "")
    return section("Floors", "On all test tiles of the challenger.", table("Floors", head, rows))


def _comparison(judgement: Judgement) -> Markup | None:
    comparison = judgement.comparison
    if comparison is None:
        return None
    rows = [
        element(
            "tr",
            element("th", _TITLES[name], scope="row"),
            number(percent(found.champion)),
            number(percent(found.challenger)),
            number(_points(found.value)),
            number(f"{_points(found.low)} to {_points(found.high)}"),
        )
        for name, found in comparison.differences.items()
    ]
    head = headings("", "#Champion", "#Challenger", "#Points", "#95 % interval")
    excluded = judgement.excluded_tiles
    note = f"On the same {tiles(comparison.tiles)}" + (
        f"; {tiles(excluded)} on which the champion was trained or selected are left out." if excluded else "."
    )
    return section(
        "Champion and challenger", note, table("Comparison", head, rows, wide=True), _disagreements(comparison)
    )


def _disagreements(comparison: Comparison) -> Markup:
    return element(
        "p",
        f"Only the champion is right on {tiles(comparison.only_champion)}, only the challenger on "
        f"{tiles(comparison.only_challenger)}; McNemar\u2019s exact test: p = {p_value(comparison.p_value)}.",
    )


def _classes(judgement: Judgement) -> Markup | None:
    if judgement.comparison is None:
        return None
    champion, challenger = judgement.figures_of_both()
    order = np.argsort(np.nan_to_num(challenger.recall - champion.recall, nan=np.inf), kind="stable")
    rows = [
        element(
            "tr",
            element("th", breakable(judgement.class_names[index]), scope="row", class_="name"),
            number(f"{challenger.support[index]:,}"),
            number(percent(float(champion.recall[index]))),
            number(percent(float(challenger.recall[index]))),
            number(percent(float(champion.f1[index]))),
            number(percent(float(challenger.f1[index]))),
        )
        for index in map(int, order)
    ]
    head = headings("Class", "#Tiles", "#Recall, champion", "#Recall, challenger", "#F1, champion", "#F1, challenger")
    return section("Classes", "Largest loss of recall first.", table("Classes", head, rows, wide=True), long=True)


def _facts(judgement: Judgement) -> Markup:
    version = judgement.version
    rows = {
        "Model": version.name,
        "Version": str(version.version),
        "Judged at": judgement.at.isoformat(timespec="seconds"),
        "Bundle": version.tags[BUNDLE_SHA256],
        "Data": version.tags.get(DATASET_DIGEST, DASH),
        "Run": version.tags.get(PIPELINE_RUN, DASH),
    }
    return section("Version", None, facts((name, join(breakable(value))) for name, value in rows.items()))


def _points(value: float) -> str:
    """Format a difference of fractions in percentage points."""
    return f"{100 * value + 0.0:+.1f}"


def _footer(judgement: Judgement) -> Markup:
    return element("footer", f"Written by tilepipe {VERSION} on {judgement.at:%Y-%m-%d}.")
