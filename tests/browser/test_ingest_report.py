import dataclasses

import pytest

from tests.support.contrast import assert_dark_is_readable, contrast
from tests.support.ingested import CLASSES, SELECTION, box, info_for, scattered, table_of
from tilepipe.components.ingest.report.facts import SelectionFacts, make_report
from tilepipe.components.ingest.report.report_page import render_page
from tilepipe.components.ingest.report.split_map import SPLIT_COLORS

EVIL = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(2)</script>',
    "</style><script>alert(3)</script>",
    "Donaudampfschifffahrtsgesellschaft" * 3,
)
MANY = tuple(f"{kind}{place}" for kind in ("Forest", "Meadow", "Crop", "Shore") for place in "ABCDEFGHIJ")
SIZES = {"framed": (480, 600), "wide": (1000, 900)}
sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def page(rows=None, classes=CLASSES, selection=SELECTION, **changes):
    rows = rows or scattered(3000, classes)
    selection = dataclasses.replace(selection, found=max(selection.found, len(rows) + 50))
    return render_page(make_report(table_of(rows), info_for(classes, **changes), selection))


def islands():
    """Report of tiles on both sides of the antimeridian, with duplicates, in many classes."""
    rows = scattered(5000, MANY, longitude=(176, 184), latitude=(-20, -15))
    for i in range(40):
        rows[i]["checksum"] = rows[4970 + i % 20]["checksum"]
        rows[i]["bbox"] = rows[4970 + i % 20]["bbox"]
    return rows


def evil_page():
    selection = SelectionFacts(
        found=500,
        left_out=((EVIL[0], 3),),
        recode={EVIL[1]: EVIL[2], EVIL[2]: None},
        dropped_labels={EVIL[2]: 1},
        split_how=EVIL[2],
    )
    rows = scattered(400, EVIL)
    rows[0].update(tile_id=EVIL[0], checksum=EVIL[1])
    rows[-1].update(tile_id=EVIL[3], checksum=EVIL[1])
    return page(rows, EVIL, selection, name=EVIL[0], source=EVIL[1], bands=EVIL[:2])


PAGES = {
    "usual": page,
    "islands": lambda: page(islands(), MANY),
    "nowhere": lambda: page(scattered(90, located=False), selection=SelectionFacts(found=90), bands=()),
    "one place": lambda: page([{"split": s, "label": "Forest", "bbox": box(11, 47)} for s in ("train", "val")] * 2),
    "evil": evil_page,
}


@sizes
@pytest.mark.parametrize("made", PAGES.values(), ids=PAGES)
def test_it_is_quiet_and_fits(show, tmp_path, made, size):
    shown = show(made(), framed=size == SIZES["framed"], size=size)
    shown.assert_quiet_and_fits()
    shown.page.screenshot(path=tmp_path / "screenshot.png")
    hidden = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth).length"
    assert shown.document.eval_on_selector_all(".scroll", hidden) == 0
    spilled = (
        "nodes => nodes.filter(n => n.getBoundingClientRect().right > document.documentElement.clientWidth).length"
    )
    assert shown.document.eval_on_selector_all("main *", spilled) == 0


def test_the_map_has_dots_of_each_split_within_its_frame(show):
    shown = show(page())
    assert len(set(SPLIT_COLORS.values())) == 3
    dots = {"train": 0, "val": 0, "test": 0}
    frame = shown.document.query_selector(".map rect").bounding_box()
    for split, color in SPLIT_COLORS.items():
        path = shown.document.query_selector(f".map .dots-{split}")
        style = "fill" if split != "train" else "stroke"
        red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
        assert path.evaluate(f"node => getComputedStyle(node).{style}") == f"rgb({red}, {green}, {blue})"
        dots[split] = path.get_attribute("d").count("M")
        inside = path.bounding_box()
        assert frame["x"] - 1 <= inside["x"]
        assert inside["x"] + inside["width"] <= frame["x"] + frame["width"] + 1
        assert frame["y"] - 1 <= inside["y"]
        assert inside["y"] + inside["height"] <= frame["y"] + frame["height"] + 1
    assert dots == {"train": 2100, "val": 450, "test": 450}


@pytest.mark.parametrize(
    "made", [PAGES["usual"], PAGES["islands"], PAGES["one place"]], ids=["usual", "islands", "one"]
)
def test_words_on_the_map_do_not_overlap(show, made):
    shown = show(made())
    assert len(shown.boxes(".map text")) >= 4
    shown.assert_words_do_not_overlap(".map")


def test_no_word_of_a_name_is_broken_on_a_phone(show):
    shown = show(page(classes=("AnnualCrop", "HerbaceousVegetation", "PermanentCrop")), framed=False, size=(390, 900))
    lines = """nodes => nodes.flatMap(n => [...n.childNodes].filter(c => c.nodeType == 3).map(text => {
        const range = document.createRange(); range.selectNodeContents(text);
        return range.getClientRects().length }))"""
    assert set(shown.document.eval_on_selector_all(".classes tbody th", lines)) == {1}
    assert shown.overflow() == 0


def test_names_from_outside_are_text(show):
    shown = show(evil_page())
    assert shown.document.inner_text("h1") == EVIL[0]
    assert shown.document.query_selector("img, script") is None
    names = shown.document.eval_on_selector_all(".classes tbody th", "nodes => nodes.map(n => n.textContent)")
    assert names == [*EVIL, "All"]


def test_figures_are_there(show):
    text = show(page()).document.inner_text("body").replace("\u202f", " ")
    for expected in ("3,000 tiles of 3 classes", "2,100 for training", "B02, B03, B04, B08 (stated by the source's"):
        assert expected in text
    for expected in ("by group, 70 / 15 / 15 %, seed 0", "no label", "Cloud", "dropped", "2026-01-01T00:00:00Z"):
        assert expected in text


def test_dark_colors_can_be_read(show):
    shown = show(page())
    assert_dark_is_readable(shown, texts=80)
    ground = shown.document.evaluate("getComputedStyle(document.body).backgroundColor")
    for split in SPLIT_COLORS:
        color = shown.document.eval_on_selector(f".part-{split}", "node => getComputedStyle(node).backgroundColor")
        assert contrast(color, ground) >= 3
