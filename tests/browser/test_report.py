import itertools
import re

import pytest

from tests.support.contrast import assert_dark_is_readable
from tilepipe.components.evaluate.report.report import render_report

EUROSAT = (
    "AnnualCrop",
    "Forest",
    "HerbaceousVegetation",
    "Highway",
    "Industrial",
    "Pasture",
    "PermanentCrop",
    "Residential",
    "River",
    "SeaLake",
)
LONG = [f"{i}. A class with a long name, as some nomenclatures have it, number {i}" for i in range(10)]
UNBREAKABLE = [f"{'Donaudampfschifffahrtsgesellschaft' * 2}{i}" for i in range(3)]
MANY = [f"{kind}{place}" for kind in ("Forest", "Meadow", "Crop", "Shore") for place in "ABCDEFGHIJ"]
EVIL = [
    "<img src=x onerror=alert(1)>",
    '"><script>alert(2)</script>',
    "</style><script>alert(3)</script>",
    "<svg onload=alert(4)>",
    "javascript:alert(5)",
    "<b>&amp;",
]
NAMES = {
    "two": ("diatom", "other"),
    "ten": EUROSAT,
    "long": LONG,
    "unbreakable": UNBREAKABLE,
    "many": MANY,
    "evil": EVIL,
}


@pytest.mark.parametrize("framed", [True, False], ids=["framed", "wide"])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_it_is_quiet_and_fits(show, make_evaluation, names, framed):
    shown = show(render_report(make_evaluation(names)), framed=framed)
    shown.assert_quiet_and_fits()


@pytest.mark.parametrize("framed", [True, False], ids=["framed", "wide"])
def test_texts_and_figures_are_there(show, make_evaluation, framed):
    found = make_evaluation(EUROSAT)
    shown = show(render_report(found), framed=framed)
    assert shown.document.inner_text("h1") == "eurosat-sample (synthetic)"
    text = shown.document.inner_text("body").replace("\u202f", " ")
    assert f"{found.headline.accuracy:.1%}".replace("%", " %") in text
    for expected in ("Most frequent mistakes", "Calibration error", "best epoch 9", "B02, B03, B04, B08", *EUROSAT):
        assert expected in text
    curves = shown.document.query_selector_all(".curves svg[role=img]")
    assert len(curves) == 2
    assert all(curve.bounding_box()["width"] > 400 for curve in curves)
    matrix = shown.document.get_by_role("table", name="Confusion matrix of the test split")
    numbers = [int(cell) for cell in matrix.locator("td b").all_inner_texts()]
    assert sum(numbers) == found.headline.tiles


@pytest.mark.parametrize("framed", [True, False], ids=["framed", "wide"])
@pytest.mark.parametrize("names", [EUROSAT, LONG, MANY], ids=["ten", "long", "many"])
def test_labels_and_numbers_of_the_matrix_do_not_overlap(show, make_evaluation, names, framed):
    shown = show(render_report(make_evaluation(names, tiles=50_000)), framed=framed)
    columns, rows = shown.boxes(".matrix .upright"), shown.boxes(".matrix .label")
    assert len(columns) == len(rows) == len(names)
    assert all(one[2] <= other[0] for one, other in itertools.pairwise(columns))
    assert all(one[3] <= other[1] for one, other in itertools.pairwise(rows))
    assert max(box[3] for box in columns) <= min(box[1] for box in rows)
    spilled = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth || n.scrollHeight > n.clientHeight).length"
    assert shown.document.eval_on_selector_all(".matrix tbody td", spilled) == 0


def test_ten_classes_need_no_scrolling_in_kubeflow(show, make_evaluation):
    shown = show(render_report(make_evaluation(EUROSAT)))
    hidden = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth).length"
    assert shown.document.eval_on_selector_all(".scroll", hidden) == 0


def test_names_from_outside_are_text(show, make_evaluation):
    shown = show(render_report(make_evaluation(EVIL, name=EVIL[2])))
    assert shown.document.inner_text("h1") == EVIL[2]
    labels = shown.document.eval_on_selector_all(".matrix .label", "nodes => nodes.map(n => n.textContent)")
    assert labels == EVIL
    assert shown.document.query_selector("img, script, b b") is None
    assert shown.complaints == []


def test_a_script_that_got_in_all_the_same_would_not_run(show, make_evaluation):
    page = render_report(make_evaluation(EUROSAT))
    shown = show(
        page.replace("<header>", "<header><script>document.title = 'taken'</script><img src=x onerror=alert(1)>")
    )
    assert shown.document.title() != "taken"
    assert len([c for c in shown.complaints if "Content Security Policy" in c]) >= 2
    assert shown.requests == []


def test_many_classes_show_tiles_or_shares(show, make_evaluation):
    shown = show(render_report(make_evaluation(MANY)))
    cell = shown.document.locator(".matrix td.r7, .matrix td.r8, .matrix td.r9").first
    assert re.fullmatch(r"\d+", cell.inner_text())
    shown.document.get_by_label("% of the true class").check()
    assert re.fullmatch(r"\d+\u202f%", cell.inner_text())
    region = shown.document.get_by_role("region", name="Confusion matrix of the test split")
    region.focus()
    shown.page.keyboard.press("ArrowRight")
    for _ in range(100):  # asked from here: waiting within the page takes an `eval`, which its own policy forbids
        if shown.document.eval_on_selector(".heat-map .scroll", "node => node.scrollLeft") > 0:
            break
        shown.page.wait_for_timeout(50)
    else:
        pytest.fail("the arrow key does not scroll the matrix")
    assert shown.overflow() == 0


def test_it_prints(show, make_evaluation):
    shown = show(render_report(make_evaluation(MANY)), framed=False)
    assert shown.page.pdf(format="A4").startswith(b"%PDF")
    shown.page.emulate_media(media="print")
    assert not shown.document.locator(".switch").is_visible()
    assert shown.document.locator("h1").is_visible()


@pytest.mark.parametrize("framed", [True, False], ids=["framed", "wide"])
def test_pictures_are_drawn_without_the_network(show, make_evaluation, pictured, framed):
    found = pictured(make_evaluation(EUROSAT))
    shown = show(render_report(found), framed=framed)
    sizes = shown.document.eval_on_selector_all("img", "nodes => nodes.map(n => [n.naturalWidth, n.clientWidth])")
    assert len(sizes) == len(list(found.shown))
    assert all(natural == 64 and width >= 40 for natural, width in sizes)
    assert (shown.complaints, shown.requests) == ([], [])


@pytest.mark.parametrize("framed", [True, False], ids=["framed", "wide"])
def test_dark_colors_can_be_read(show, make_evaluation, framed):
    shown = show(render_report(make_evaluation(EUROSAT, skill=1.5)), framed=framed)
    assert_dark_is_readable(shown, texts=400)


def test_the_matrix_says_where_it_scrolls(show, make_evaluation):
    page = render_report(make_evaluation(EUROSAT))
    hidden = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth).length"
    for width, scrolls in ((375, True), (1280, False)):
        shown = show(page, framed=False, size=(width, 800))
        assert shown.document.eval_on_selector_all(".heat-map .scroll", hidden) == scrolls
        assert shown.document.locator(".sideways").is_visible() == scrolls
        assert shown.overflow() == 0


def test_a_phone_can_show_it(show, make_evaluation):
    shown = show(render_report(make_evaluation(LONG, test=False)), framed=False, size=(360, 640))
    assert shown.overflow() == 0
    assert "This data set has no test split" in shown.document.inner_text(".remark")
