"""The page of a prediction: its tiles, classes and drift from the training data."""

from tilepipe.components.shared.inference.drift import METHODS, Drift
from tilepipe.components.shared.inference.prediction_plan import PredictionPlan
from tilepipe.components.shared.pages.dark_style import DARK_STYLE
from tilepipe.components.shared.pages.formatting import DASH, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Markup, element
from tilepipe.components.shared.pages.page import figures, headings, html_page, number, section, table
from tilepipe.components.shared.pages.style import PAGE_STYLE
from tilepipe.components.shared.version import VERSION

_MOST_CLASSES = 200


def render_drift_page(plan: PredictionPlan, predicted: int, drift: Drift, overall: dict[str, float]) -> str:
    """Render the page as self-contained HTML without scripts; `overall` is empty without labels."""
    version = f" version {plan.model_version}" if plan.model_version else ""
    return html_page(
        f"{plan.model_name}: predictions",
        PAGE_STYLE + DARK_STYLE,
        element(
            "header",
            element("p", "Predictions", class_="over"),
            element("h1", f"{plan.model_name}{version}"),
            element("p", _summary(plan, predicted), class_="lede"),
            *(element("p", text, class_="remark") for text in _remarks(plan, drift)),
            figures([(_words(name), _figure(name, value), "") for name, value in overall.items()]),
        ),
        section("Drift", _drift_note(drift), _drift_table(plan, drift)),
        section("Classes", "Share of the tiles by predicted class.", _class_table(drift), long=True),
        section("Bands", "Digital numbers of valid pixels.", _band_table(drift), long=True),
        element("footer", f"Written by tilepipe {VERSION}."),
    )


def _words(figure: str) -> str:
    return "labelled tiles" if figure == "labelled" else figure.replace("_", " ").replace("f1", "F1")


def _figure(name: str, value: float) -> str:
    return f"{value:,.0f}" if name == "labelled" else percent(value)


def _summary(plan: PredictionPlan, predicted: int) -> str:
    if not plan.tiles:
        return f"Nothing to predict: {tiles(plan.known)} of the source have been predicted before."
    before = f" {tiles(plan.known)} of the source have been predicted before." if plan.known else ""
    return f"{tiles(predicted)} of {plan.tiles:,} predicted.{before}"


def _remarks(plan: PredictionPlan, drift: Drift) -> list[str]:
    limits = plan.options.max_drift
    found = [
        f"The drift of {kind} is {value:.3g}, beyond the limit of {limits[kind]:g}."
        for kind, value in drift.values.items()
        if kind in limits and value > limits[kind]
    ]
    if plan.other_source:
        found.append(plan.remark())
    if drift.new_classes:
        found.append(f"Predicted now, but never in the reference: {', '.join(drift.new_classes[:10])}.")
    return found


def _drift_note(drift: Drift) -> str:
    if not drift.values:
        return "There is nothing to compare."
    against = f" Classes and confidence are compared with {drift.reference}." if drift.reference else ""
    return f"Distances from the training data; 0 is none.{against}"


def _drift_table(plan: PredictionPlan, drift: Drift) -> Markup | None:
    if not drift.values:
        return None
    rows = [
        element(
            "tr",
            element("td", kind),
            number(f"{value:.3f}"),
            number(f"{plan.options.max_drift[kind]:g}" if kind in plan.options.max_drift else DASH),
            element("td", METHODS[kind]),
        )
        for kind, value in drift.values.items()
    ]
    return table("Drift", headings("of", "#distance", "#limit", "method"), rows, wide=True)


def _class_table(drift: Drift) -> Markup | None:
    shown = sorted(drift.classes, key=lambda one: (-one.found, one.name))[:_MOST_CLASSES]
    rows = [
        element(
            "tr",
            element("td", breakable(one.name)),
            number(percent(one.found)),
            number(DASH if one.expected is None else percent(one.expected)),
        )
        for one in shown
    ]
    return table("Classes", headings("class", "#predicted", "#reference"), rows) if rows else None


def _band_table(drift: Drift) -> Markup | None:
    rows = [
        element(
            "tr",
            element("td", breakable(one.band)),
            number(_text(one.mean)),
            number(_text(one.expected_mean)),
            number(_text(one.std)),
            number(_text(one.expected_std)),
            number(DASH if one.distance is None else f"{one.distance:.3f}"),
        )
        for one in drift.bands
    ]
    head = headings("band", "#mean", "#in training", "#deviation", "#in training", "#distance")
    return table("Bands", head, rows, wide=True) if rows else None


def _text(value: float | None) -> str:
    return DASH if value is None else f"{value:,.4g}"
