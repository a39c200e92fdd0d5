import dataclasses
import re

from tilepipe.components.evaluate.report.evaluation_summary import render_summary

NAMES = ("Annual|Crop", "<img src=x onerror=alert(1)>", "[a](javascript:x)")


def test_it_says_what_was_found(make_evaluation):
    summary = render_summary(make_evaluation())
    assert summary.startswith("# tiny \\(synthetic\\)\n")
    assert re.search(r"Right on \d+ of 90 tiles of the test split: \*\*\d+\.\d\u202f%\*\*", summary)
    for name in ("AnnualCrop", "Forest", "SeaLake", "validation"):
        assert f"{name} |" in summary


def test_it_says_where_there_is_no_test_split(make_evaluation):
    assert "This data set has no test split" in render_summary(make_evaluation(test=False))


def test_tables_are_whole_whatever_the_names(make_evaluation):
    for block in render_summary(make_evaluation(NAMES)).split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.strip().split("\n")}) == 1


def test_names_are_inert(make_evaluation):
    summary = render_summary(make_evaluation(NAMES, name="<script>alert(1)</script>\n# Other"))
    assert not re.search(r"(?<!\\)[<\[]", summary)
    assert "\n# Other" not in summary


def test_tiles_that_were_left_out_are_stated(make_evaluation):
    found = make_evaluation()
    manifest = found.manifest.model_copy(update={"left_out": {"it is | missing": 2}})
    assert "unusable" not in render_summary(found)
    text = render_summary(dataclasses.replace(found, manifest=manifest))
    assert "2 of 272 tiles were unusable" in text
    assert "2 because it is \\| missing" in text
