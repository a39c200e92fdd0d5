import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tilepipe.components.evaluate.evaluation import ErrorPlaces
from tilepipe.components.evaluate.figures.group_figures import GroupFigures
from tilepipe.components.evaluate.figures.model_facts import ModelFacts
from tilepipe.components.evaluate.report.report import render_report

ADDRESSES = ("https://example.org/1.tif", "s3://bucket/2.tif", "javascript:alert(4)", "/tiles/3.tif")
EVIL = ("<img src=x onerror=alert(1)>", '"><script>alert(2)</script>', "javascript:alert(3)", "a & b")
VOID = {"meta", "wbr", "input", "img"}


class Outline(HTMLParser):
    """Checks that each element is closed, and collects tags and addresses."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in {"src", "href", "action", "data", "srcset"}]
        assert [name for name, _ in attributes if name.startswith("on")] == []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_it_is_whole_and_holds_each_class(make_evaluation, classes):
    names = [f"class{i:02d}" for i in range(classes)]
    outline = Outline(render_report(make_evaluation(names, tiles=400)))
    for name in names:
        assert outline.text.count(name) >= 4


def test_nothing_runs_and_nothing_is_fetched(make_evaluation):
    page = render_report(make_evaluation(EVIL))
    outline = Outline(page)
    assert {"script", "iframe", "link", "object"}.isdisjoint(outline.tags)
    assert outline.addresses == []
    assert not re.search(r"url\(|@import|https?:", page.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    assert "default-src &#x27;none&#x27;" in page


def test_pictures_are_part_of_the_page_and_only_web_addresses_are_links(make_evaluation, pictured):
    found = pictured(make_evaluation(EVIL))
    mistakes = [tile._replace(uri=uri) for tile, uri in zip(found.shown.mistakes, ADDRESSES, strict=False)]
    page = render_report(dataclasses.replace(found, shown=dataclasses.replace(found.shown, mistakes=tuple(mistakes))))
    outline = Outline(page)
    assert "Pictures show band B08." in outline.text
    embedded = [address for address in outline.addresses if address.startswith("data:image/jpeg;base64,")]
    assert len(embedded) >= len(mistakes)
    assert set(outline.addresses) - set(embedded) == {"https://example.org/1.tif"}
    assert len(page) < 5e6


def test_the_most_confident_mistakes_have_their_words_and_ids(make_evaluation, pictured):
    found = pictured(make_evaluation())
    text = Outline(render_report(found)).text.replace("\u202f", " ")
    assert len(found.shown.mistakes) == 12
    for tile in found.shown.mistakes:
        assert f"{tile.label} taken for {tile.predicted}, {tile.probability:.1%}".replace("%", " %") in text
        assert tile.tile_id in text


def test_a_model_is_described_with_its_times_marked(make_evaluation):
    facts = ModelFacts("cnn", 7, 1234, 5678, {1: 2.0, 64: 32.0}, {"loss": "<focal>"})
    page = render_report(dataclasses.replace(make_evaluation(), model=facts))
    text = Outline(page).text
    for fact in ("1,234", "6 kB", "2.00 ms per tile", "0.50 ms per tile", "2,000 tiles per second", "1 settings"):
        assert fact in text
    assert "<focal>" in text
    untimed = re.sub(r'<span class="timing">.*?</span>', "", page)
    assert "ms per tile" not in untimed
    assert "tiles per second" not in untimed


def test_places_and_groups_are_shown_where_there_are_any(make_evaluation):
    found = make_evaluation()
    text = Outline(render_report(found)).text
    assert "Where it is wrong" not in text
    assert "Groups" not in text
    wrong = np.arange(90) < 5
    places = ErrorPlaces(np.stack([np.linspace(5, 15, 90), np.linspace(45, 55, 90)], axis=1), wrong)
    groups = tuple(GroupFigures(f"site {i}", 9, 3, i / 20) for i in range(20))
    page = render_report(dataclasses.replace(found, places=places, groups=groups))
    assert "Map of the tiles: 85 right, 5 wrong; from" in page
    assert len(re.findall(r"m-3-3l6 6m0-6l-6 6", page)) == 5
    text = Outline(page).text
    assert "20 groups, 47.5\u202f% right on average" in text
    assert "site 9" in text
    assert "site 10" not in text


def test_ties_are_named_as_ties(make_evaluation):
    text = Outline(render_report(make_evaluation([f"class{i}" for i in range(12)], tiles=24, skill=-9.0))).text
    assert re.search(r"Weakest classes: class\d+, class\d+, class\d+ and \d more, F1 0.0", text)
    assert re.search(r"Most frequent mistakes \(equally frequent\): .* and \d+ more, 1 tile each", text)


def test_undefined_figures_are_called_undefined(make_evaluation):
    text = Outline(render_report(make_evaluation(["one"]))).text
    assert "No bootstrap intervals: all tiles agree" in text
    assert "100.0\u202f% (95\u202f% interval 95.9\u202f% to 100.0\u202f%)" in text
    assert "undefined" in text
    assert "nan" not in text.lower().replace("nano", "")


def test_each_class_has_curves_up_to_a_limit(make_evaluation):
    page = render_report(make_evaluation([f"class{i:02d}" for i in range(45)], tiles=400))
    assert page.count("Precision against recall of class") == 40
    assert page.count("True against false positive rate of class") == 40
    assert "the 40 weakest first" in page


def test_the_heading_names_the_data_set(make_evaluation):
    page = render_report(make_evaluation(name="eurosat <synthetic>"))
    assert "<h1>eurosat &lt;synthetic&gt;</h1>" in page
    assert "<title>eurosat &lt;synthetic&gt;: evaluation report</title>" in page


def test_facts_are_there(make_evaluation):
    found = make_evaluation()
    text = Outline(render_report(found)).text
    for fact in (
        "B02, B08",
        "8 \u00d7 8 pixels, 2 bands, uint16",
        found.manifest.digest,
        "2026-01-01T00:00:00Z",
        "memory",
    ):
        assert fact in text
    assert f"of {found.headline.tiles} tiles wrong" in text
    assert found.shown.mistakes[0].tile_id in text
    assert "The model is that of epoch 4, the best by validation accuracy." in text
    assert "best epoch 4" in text  # in the curves


def test_a_missing_test_split_is_remarked(make_evaluation):
    assert "no test split" not in render_report(make_evaluation())
    page = render_report(make_evaluation(test=False))
    assert "This data set has no test split" in page
    assert "of the validation split" in page


def test_tiles_that_were_left_out_are_remarked(make_evaluation):
    found = make_evaluation()
    manifest = found.manifest.model_copy(update={"left_out": {"it is <b>missing": 2}})
    page = render_report(dataclasses.replace(found, manifest=manifest))
    assert "2 of 272 tiles were unusable" in Outline(page).text
    assert "<b>missing" not in page
    assert "unusable" not in render_report(found)


def test_too_many_classes_for_a_matrix_leave_the_rest_of_the_report(make_evaluation):
    text = Outline(render_report(make_evaluation([f"class{i:03d}" for i in range(201)], tiles=400))).text
    assert "With 201 classes it is too large to be drawn" in text
    assert "Most frequent mistakes" in text


def test_a_model_without_mistakes_has_a_report_too(make_evaluation):
    text = Outline(render_report(make_evaluation(skill=60))).text
    assert "Not one tile of this split is wrong." in text
    assert "Most confident mistakes" not in text
    assert "100.0\u202f%" in text


def test_the_same_evaluation_gives_the_same_page(make_evaluation):
    assert render_report(make_evaluation()) == render_report(make_evaluation())
