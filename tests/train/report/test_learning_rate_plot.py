import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from tilepipe.components.train.optimization.learning_rate_finder import find_rate
from tilepipe.components.train.report.learning_rate_plot import rate_drawing

SVG = "{http://www.w3.org/2000/svg}"


def loss_at(rate):
    """Falls from 2 to 0.5 around 1e-3, and grows beyond 0.1."""
    return 0.5 + 1.5 / (1 + (rate / 1e-3)) + (rate / 0.1) ** 2


def drawn(curve):
    return ET.fromstring(rate_drawing(curve))  # well-formed, or this raises


def words(svg):
    return [text.text for text in svg.iter(f"{SVG}text")]


def test_it_says_and_shows_the_suggestion():
    curve = find_rate(loss_at, steps=100)
    svg = drawn(curve)
    assert svg.get("role") == "img"
    assert f"suggested: {curve.suggestion:.2g}" in svg.get("aria-label")
    assert "until the loss diverged" in svg.get("aria-label")
    assert f"suggested: {curve.suggestion:.2g}" in words(svg)
    assert {"10⁻⁷", "10⁻¹", "10⁰", "learning rate"} <= set(words(svg))
    assert len(list(svg.iter(f"{SVG}circle"))) == len(curve.rates)


def test_decades_are_equally_wide():
    svg = drawn(find_rate(loss_at, steps=100))
    places = [float(text.get("x")) for text in svg.iter(f"{SVG}text") if text.text.startswith("10")]
    widths = [after - before for before, after in pairwise(places)]
    assert widths == pytest.approx([widths[0]] * len(widths), abs=0.2)


@pytest.mark.parametrize(
    "step",
    [
        loss_at,
        lambda rate: 1.0,
        lambda rate: 1.0 if rate < 1e-6 else 1e30,
        lambda rate: 1.0 if rate < 1.1e-7 else float("nan"),
    ],
    ids=["usual", "flat", "a jump", "one point"],
)
def test_all_stays_within_the_picture(step):
    svg = drawn(find_rate(step, steps=100))
    points = [point.split(",") for line in svg.iter(f"{SVG}polyline") for point in line.get("points").split()]
    points += [(dot.get("cx"), dot.get("cy")) for dot in svg.iter(f"{SVG}circle")]
    points += [(line.get("x1"), line.get("y1")) for line in svg.iter(f"{SVG}line")]
    assert all(46 <= float(x) <= 396 and 40 <= float(y) <= 196 for x, y in points)


def test_without_a_suggestion_none_is_shown():
    svg = drawn(find_rate(lambda rate: 1.0, steps=100))
    assert "no suggestion, since the loss did not fall" in svg.get("aria-label")
    assert not [word for word in words(svg) if word.startswith("suggested")]
