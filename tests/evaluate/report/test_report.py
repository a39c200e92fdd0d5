import dataclasses
import re
from html.parser import HTMLParser

import pytest

from tilepipe.components.evaluate.report.report import render_report

EVIL = ("<img src=x onerror=alert(1)>", '"><script>alert(2)</script>', "javascript:alert(3)", "a & b")
VOID = {"meta", "wbr", "input"}


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
    assert {"script", "img", "iframe", "link", "object"}.isdisjoint(outline.tags)
    assert outline.addresses == []
    assert not re.search(r"url\(|@import|https?:", page.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    assert "default-src &#x27;none&#x27;" in page


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
    assert found.mistakes[0].tile_id in text
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
