import math
import re
from xml.etree import ElementTree

import pytest

from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.pages.curves import FIGURES, curve_panel, curves_drawing, drawn_figures


def history_of(val_losses, best_epoch=1):
    epochs = [
        {"loss": loss * 0.9, "accuracy": 1 / (1 + loss), "val_loss": loss, "val_accuracy": 0.9 / (1 + loss)}
        for loss in val_losses
    ]
    return History(metric="val_loss", best_epoch=best_epoch, epochs=tuple(epochs))


HISTORIES = {
    "one epoch": history_of([0.7]),
    "flat": history_of([0.5, 0.5, 0.5], 2),
    "perfect": history_of([0.0, 0.0]),
    "falling": history_of([2.0, 1.0, 0.5], 3),
    "huge": history_of([1e6, 3.0]),
    "tiny": history_of([1e-7, 2e-7]),
    "long": history_of([1 + 1 / (i + 1) for i in range(1000)], 1000),
}


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("figure", FIGURES)
def test_all_is_drawn_within_the_picture(name, figure):
    svg = ElementTree.fromstring(curve_panel(HISTORIES[name], figure))
    width, height = (float(side) for side in svg.attrib["viewBox"].split()[2:])
    points = [
        tuple(float(value) for value in point.split(","))
        for line in svg.iter("{http://www.w3.org/2000/svg}polyline")
        for point in line.attrib["points"].split()
    ]
    points += [
        (float(circle.attrib["cx"]), float(circle.attrib["cy"]))
        for circle in svg.iter("{http://www.w3.org/2000/svg}circle")
    ]
    assert points
    assert all(math.isfinite(x) and 0 <= x <= width and 0 <= y <= height for x, y in points)
    ticks = [text for text in svg.iter("{http://www.w3.org/2000/svg}text") if text.attrib["text-anchor"] == "end"]
    assert 2 <= len(ticks) <= 8


def test_a_lower_loss_is_drawn_lower():
    svg = ElementTree.fromstring(curve_panel(HISTORIES["falling"], "loss"))
    for line in svg.iter("{http://www.w3.org/2000/svg}polyline"):
        heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
        assert heights == sorted(heights)  # SVG counts downwards
        assert len(set(heights)) == 3


def test_the_best_epoch_is_named_and_described():
    drawn = curve_panel(HISTORIES["falling"], "accuracy")
    assert "best epoch 3: 60.0 %" in drawn
    assert re.search(r'aria-label="Accuracy against 3 epochs[^"]*best, epoch 3', drawn)


def test_the_drawing_holds_both_figures():
    drawing = curves_drawing(HISTORIES["falling"])
    svg = ElementTree.fromstring(drawing)
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}polyline"))) == 4
    assert ">Loss</text>" in drawing
    assert "Accuracy" in drawing


def with_more(rates, balanced=0.5):
    more = [{"learning_rate": rate, "val_balanced_accuracy": balanced} for rate in rates]
    history = history_of([1.0] * len(rates))
    return history.model_copy(update={"epochs": tuple(a | b for a, b in zip(history.epochs, more, strict=True))})


def test_balanced_accuracy_and_a_rate_that_changed_are_drawn_too():
    assert drawn_figures(history_of([1.0, 2.0])) == FIGURES
    assert drawn_figures(with_more([0.1, 0.1])) == (*FIGURES, "balanced_accuracy")
    history = with_more([1e-3, 5e-4, 1e-5])
    assert drawn_figures(history) == (*FIGURES, "balanced_accuracy", "learning_rate")
    drawing = curves_drawing(history)
    assert "best epoch 1: 50.0 %" in drawing
    assert "Learning rate against 3 epochs; 0.001 in the first and 1e-5 in the last." in drawing


@pytest.mark.parametrize("rates", [(1e-3, 5e-4, 1e-5), (0.1, 0.01), (1e-7, 3e-7), (2.0, 100.0)])
def test_ticks_of_a_rate_are_short_and_different(rates):
    svg = ElementTree.fromstring(curve_panel(with_more(rates), "learning_rate"))
    texts = svg.iter("{http://www.w3.org/2000/svg}text")
    ticks = [text.text for text in texts if text.attrib["text-anchor"] == "end"]
    assert len(set(ticks)) == len(ticks) >= 3
    assert max(map(len, ticks)) <= 6
    assert ticks[0] == "0"


def test_a_loss_below_zero_is_drawn_within_the_picture():
    svg = ElementTree.fromstring(curve_panel(history_of([-0.2, -0.5, -0.9], 3), "loss"))
    points = [p for line in svg.iter("{http://www.w3.org/2000/svg}polyline") for p in line.attrib["points"].split()]
    assert all(0 <= float(point.split(",")[1]) <= 236 for point in points)
