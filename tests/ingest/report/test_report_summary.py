import re

import pytest

from tests.support.ingested import CLASSES, SELECTION, info_for, scattered, table_of
from tilepipe.components.ingest.report import wording
from tilepipe.components.ingest.report.facts import SelectionFacts, make_report
from tilepipe.components.ingest.report.report_summary import render_summary
from tilepipe.components.shared.pages.formatting import DASH

EVIL = ("Annual|Crop", "<img src=x onerror=alert(1)>", "[a](javascript:x)")


def summary_of(rows, classes=CLASSES, selection=SELECTION, **changes):
    return render_summary(make_report(table_of(rows), info_for(classes, **changes), selection))


def test_it_says_what_the_table_holds():
    summary = summary_of(scattered(200))
    assert summary.startswith("# eurosat-sample \\(synthetic\\)\n")
    assert "200 tiles of 3 classes: 140 training, 30 validation, 30 test." in summary
    assert "| Groups | &nbsp;&nbsp;14 | &nbsp;&nbsp;4 | &nbsp;&nbsp;4 |" in summary
    assert re.search(r"\| Smallest distance, training . test \| &nbsp;&nbsp;[\d.]+ k?m \|", summary)
    assert "| no label | &nbsp;&nbsp;8 |" in summary
    assert r"B02, B03, B04, B08 \(stated by the source's metadata\)" in summary
    assert "**" not in summary


def test_it_warns():
    rows = scattered(100)
    rows[0].update(checksum=rows[99]["checksum"], bbox=rows[99]["bbox"], group=rows[99]["group"])
    summary = summary_of(rows)
    assert "**1 group is in more than one split" in summary
    assert "**2 tiles have an exact duplicate in another split.**" in summary
    assert "**Tiles of different splits are in the same place: training and test.**" in summary


def test_names_from_outside_are_text_and_tables_stay_whole():
    selection = SelectionFacts(found=100, left_out=((EVIL[1], 3),), split_how=EVIL[2])
    summary = summary_of(scattered(100, EVIL), EVIL, selection, name="<script>\n# Other", source=EVIL[2])
    assert not re.search(r"(?<!\\)[<\[]", summary)
    assert "\n# Other" not in summary
    for block in summary.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_many_classes_are_cut_short():
    names = tuple(f"class{i:03d}" for i in range(70))
    summary = summary_of(scattered(100, names), names)
    assert "class049" in summary
    assert "class050" not in summary
    assert "And 20 more classes." in summary


@pytest.mark.parametrize(
    ("metres", "shown"),
    [(None, DASH), (0, "0 m"), (0.03, "0.03 m"), (854.3, "854 m"), (999.7, "1.0 km"), (3_877_400, "3,877 km")],
)
def test_lengths(metres, shown):
    assert wording.length(metres) == shown


@pytest.mark.parametrize(("area", "shown"), [(None, DASH), (0.4096, "0.41 km²"), (12_363.7, "12,364 km²")])
def test_areas(area, shown):
    assert wording.area(area) == shown
