"""Confusion matrix as an SVG file, which MLflow shows in the artifacts of a run."""

import math

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.report.palette import INK, RIGHT, WRONG, ink_on, ramp, right_level, wrong_level
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES, short_count, short_percent, shortened
from tilepipe.components.shared.pages.markup import Markup, element
from tilepipe.components.shared.pages.plot import FONT, SOFT, WHITE, text

_CELL, _CHARACTER, _MARGIN, _HEADING = 44, 6.7, 16, 44
_LONGEST_NAME = 32
_EMPTY = "#f3f5f7"


def confusion_figure(evaluation: Evaluation) -> str:
    """Draw the confusion matrix of the headline split as a self-contained SVG document."""
    names = [shortened(name, _LONGEST_NAME) for name in evaluation.manifest.class_names]
    label = _CHARACTER * max(map(len, names)) + 2 * _MARGIN
    left, top = label, label + _HEADING
    width, height = (math.ceil(start + _CELL * len(names) + _MARGIN) for start in (left, top))
    title = f"{evaluation.manifest.name}: confusion matrix of the {SPLIT_NAMES[evaluation.headline_split]} split"
    drawing = element(
        "svg",
        element("title", title),
        element("rect", width=width, height=height, fill=WHITE),
        text(title, _MARGIN, 26, font_size=15, font_weight="600"),
        *_labels(names, left, top),
        *_cells(evaluation, left, top),
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        role="img",
        font_family=FONT,
        font_size=11,
        fill=INK,
    )
    return f"{drawing}\n"


def _labels(names: list[str], left: float, top: float) -> list[Markup]:
    drawn = [text("true ↓  predicted →", left - 8, top - 8, text_anchor="end", fill=SOFT)]
    for i, name in enumerate(names):
        middle = _CELL * (i + 0.5)
        drawn.append(text(name, left - 8, top + middle + 4, text_anchor="end"))
        drawn.append(text(name, 0, 0, transform=f"translate({left + middle + 4:.1f} {top - 8:.1f}) rotate(-90)"))
    return drawn


def _cells(evaluation: Evaluation, left: float, top: float) -> list[Markup]:
    confusion, support = evaluation.headline.confusion, evaluation.headline.figures.support
    drawn = []
    for row in range(len(confusion)):
        for column in range(len(confusion)):
            x, y, count = left + _CELL * column, top + _CELL * row, int(confusion[row, column])
            right = row == column
            share = count / support[row] if support[row] else 0.0
            level = right_level(share) if right else wrong_level(share)
            blank = not support[row] or not (count or right)
            fill = _EMPTY if blank else ramp(RIGHT if right else WRONG, level)
            drawn.append(element("rect", x=x + 0.5, y=y + 0.5, width=_CELL - 1, height=_CELL - 1, fill=fill))
            if not blank:
                ink = ink_on(fill)
                middle = x + _CELL / 2
                drawn.append(
                    text(short_count(count), middle, y + 20, text_anchor="middle", font_weight="600", fill=ink)
                )
                drawn.append(text(short_percent(share), middle, y + 34, text_anchor="middle", font_size=10, fill=ink))
    return drawn
