"""Small PR and ROC plots, one pair per class."""

import math

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.figures.class_ranking import ClassCurves, Curve
from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.formatting import DASH, breakable, percent
from tilepipe.components.shared.pages.markup import Markup, element

_SIZE, _LEFT, _BOTTOM, _TOP, _RIGHT = 132.0, 24.0, 28.0, 8.0, 8.0


def small_curves(evaluation: Evaluation) -> Markup:
    """Draw precision against recall, and true against false positive rate, of each class that has curves.

    The list needs `CURVES_STYLE`.
    """
    return element(
        "ul", *(_pair(evaluation, index, curves) for index, curves in evaluation.curves.items()), class_="pr"
    )


def _pair(evaluation: Evaluation, index: int, curves: ClassCurves) -> Markup:
    name, ranking = evaluation.manifest.class_names[index], evaluation.headline.ranking
    precision, auc = percent(ranking.average_precision[index]), ranking.auc[index]
    area = DASH if math.isnan(auc) else f"{auc:.3f}"
    plots = (
        _plot(curves.precision_recall, f"Precision against recall of {name}", "recall", "precision"),
        _plot(curves.roc, f"True against false positive rate of {name}", "false positives", "true positives"),
    )
    return element(
        "li",
        element("span", breakable(name), class_="name"),
        element("span", f"AP {precision}, AUC {area}", class_="soft"),
        element("span", *plots, class_="two"),
    )


def _plot(curve: Curve | None, description: str, across: str, up: str) -> Markup | None:
    if curve is None:
        return None
    x = plot.Scale(0, 1, _LEFT, _SIZE - _RIGHT)
    y = plot.Scale(0, 1, _SIZE - _BOTTOM, _TOP)
    bottom, left = f"{y(0):.1f}", f"{x(0):.1f}"
    frame = element(
        "path", d=f"M{left} {y(1):.1f}V{bottom}H{x(1):.1f}M{left} {y(1):.1f}H{x(1):.1f}", fill="none", stroke=plot.LINE
    )
    marks = [plot.label(text, x(value), y(0) + 11, anchor="middle", size=9) for text, value in (("0", 0.0), ("1", 1.0))]
    marks.append(plot.label("1", x(0) - 4, y(1) + 3, anchor="end", size=9))
    words = [
        plot.label(across, x(0.5), _SIZE - 6, anchor="middle", size=9),
        plot.text(
            up,
            0,
            0,
            text_anchor="middle",
            fill=plot.SOFT,
            font_size=9,
            transform=f"translate({x(0) - 8:.1f} {y(0.5):.1f}) rotate(-90)",
        ),
    ]
    line = plot.line([(x(a), y(b)) for a, b in zip(curve.x.tolist(), curve.y.tolist(), strict=True)])
    return element(
        "svg",
        frame,
        *marks,
        *words,
        line,
        viewBox=f"0 0 {_SIZE:.0f} {_SIZE:.0f}",
        width=f"{_SIZE:.0f}",
        height=f"{_SIZE:.0f}",
        role="img",
        aria_label=description,
        font_family=plot.FONT,
    )


CURVES_STYLE = """
.pr{list-style:none;display:grid;grid-template-columns:repeat(auto-fill,minmax(17.5rem,1fr));gap:1rem 1.4rem;
margin:.8rem 0 0;padding:0;font-size:.85rem;line-height:1.35}
.pr li{min-width:0;break-inside:avoid}
.pr .name{font-weight:500;overflow-wrap:anywhere;display:block}
.two{display:flex;gap:.4rem;margin-top:.2rem}
"""
"""Style of the small plots."""
