"""The gate's page in the browser: in Kubeflow's frame, on a wide screen and on a phone, light and dark."""

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.support.contrast import assert_dark_is_readable
from tilepipe.components.gate.judgement.floors import check_floors, parse_floors
from tilepipe.components.gate.judgement.paired_comparison import compare
from tilepipe.components.gate.judgement.verdict import Rules, judge
from tilepipe.components.gate.paired_predictions import PairedPredictions
from tilepipe.components.gate.record import Judgement
from tilepipe.components.gate.verdict_page import render_page
from tilepipe.components.shared.registry.registered_version import RegisteredVersion
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256

NAMES = ("AnnualCrop", "<img src=x onerror=alert(1)>", "H" * 60, *(f"Class {number}" for number in range(17)))
SCREENS = {"framed": (True, None), "wide": (False, None), "phone": (False, (360, 740))}


@pytest.fixture(scope="module")
def page():
    """Page of a refused challenger with floors, a champion and long names."""
    random = np.random.default_rng(0)
    labels = random.integers(0, len(NAMES), 2000)
    wrong = (labels + 1) % len(NAMES)
    champion, challenger = (np.where(random.random(2000) < share, labels, wrong) for share in (0.95, 0.8))
    predictions = PairedPredictions(labels, challenger, champion)
    floors = check_floors(parse_floors({"accuracy": 0.9, "recall[*]": 0.5}), predictions.figures(len(NAMES)), NAMES)
    comparison = compare(labels, champion, challenger, len(NAMES), resamples=100, seed=0)
    judgement = Judgement(
        version=RegisteredVersion("eurosat_rgb-" + "x" * 80, 3, "r", {BUNDLE_SHA256: "a" * 64}, ()),
        champion="2",
        at=datetime(2026, 11, 29, tzinfo=UTC),
        verdict=judge(floors, comparison, obstacles=("A " + "verylong" * 30,), rules=Rules()),
        class_names=NAMES,
        predictions=predictions,
        floors=tuple(floors),
        comparison=comparison,
    )
    return render_page(judgement)


@pytest.mark.parametrize(("framed", "size"), SCREENS.values(), ids=SCREENS)
def test_it_is_quiet_and_fits(show, page, framed, size):
    shown = show(page, framed=framed, size=size)
    shown.assert_quiet_and_fits()
    hidden = "nodes => nodes.map(node => node.scrollWidth - node.clientWidth)"
    assert shown.document.eval_on_selector_all(".scroll", hidden)[0] <= 0, "the floors do not fit"
    text = shown.document.inner_text("body")
    assert "It must not become champion" in text
    assert NAMES[1] in text


def test_dark_colors_can_be_read(show, page):
    assert_dark_is_readable(show(page), texts=100)
