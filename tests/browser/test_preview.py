"""The page of a class map in the browser."""

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.support.contrast import assert_dark_is_readable
from tilepipe.components.predict_scenes.output.class_colors import class_colors
from tilepipe.components.predict_scenes.output.class_map import ClassCounts
from tilepipe.components.predict_scenes.output.prediction_item import Provenance
from tilepipe.components.predict_scenes.output.preview import PreviewFacts, preview_page, preview_png
from tilepipe.components.shared.inference.drift import BandDrift, Drift

NAMES = ("AnnualCrop", "<img src=x onerror=alert(1)>", "H" * 60)
framed_and_wide = pytest.mark.parametrize("framed", [True, False], ids=["framed", "wide"])


@pytest.fixture
def page():
    """Return the page of a small map."""
    classes = np.array([[0, 1, 2], [1, 1, 255]], np.uint8)
    colors = class_colors(NAMES, {})
    counts = ClassCounts(np.array([1, 3, 1]), np.array([90, 240, 70]), nodata=1)
    provenance = Provenance(
        name="S2B-1",
        scene="s3://scenes/" + "S2B_MSIL1C_20230613T105621_N0509_R094_T31TCJ" * 2 + ".tif",
        scene_is_item=False,
        scene_name="S2B_MSIL1C_20230613T105621_N0509_R094_T31TCJ_20230613T123456",
        time=None,
        created=datetime(2026, 11, 29, tzinfo=UTC),
        model="models:/eurosat@champion",
        model_name="eurosat",
        model_version="3",
        model_digest="0123456789abcdef" * 4,
        settings={"tile": "64 x 64 pixels", "stride": "32 pixels"},
    )
    drift = Drift(
        reference="the evaluation of " + "e" * 80,
        classes=(),
        bands=(BandDrift("B04", expected_mean=900.0, expected_std=120.0, mean=1290.0, std=130.0, distance=3.25),),
        values={"classes": 0.3, "bands": 3.25},
        mean_confidence=0.8,
    )
    facts = PreviewFacts(6, 5, (2, 3), "640 m")
    return preview_page(preview_png(classes, colors), counts, NAMES, colors, provenance, facts, drift)


@framed_and_wide
def test_it_is_quiet_and_fits(show, page, framed):
    shown = show(page, framed=framed)
    shown.assert_quiet_and_fits()


@framed_and_wide
def test_map_and_legend_are_there(show, page, framed):
    shown = show(page, framed=framed)
    picture = shown.document.get_by_role("img")
    assert picture.count() == 1
    assert picture.evaluate("node => [node.naturalWidth, node.naturalHeight]") == [510, 340]
    assert picture.bounding_box()["width"] > 400
    legend, *_ = shown.document.get_by_role("table").all()
    rows = [row.inner_text() for row in legend.get_by_role("row").all()[1:]]
    assert len(rows) == 3
    assert rows[0].startswith("<img src=x onerror=alert(1)>")
    assert "60.0" in rows[0]
    assert "80.0" in rows[0]


def test_dark_colors_can_be_read(show, page):
    assert_dark_is_readable(show(page), texts=40)
