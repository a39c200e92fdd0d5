import re

import pytest

from tests.packed import manifest_for
from tilepipe.components.prepare.architectures import build_model
from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.summary import render_summary


@pytest.fixture(scope="module")
def summary():
    manifest = manifest_for((8, 8, 2), classes=("Annual|Crop", "<b>Sea</b>", "[a](b)"))
    return render_summary(build_model("cnn", manifest, ModelOptions(filters=(4, 8), dense_units=8)), manifest)


def test_each_layer_is_a_row(summary):
    assert (
        "| block2\\_conv | &nbsp;&nbsp;Conv2D | &nbsp;&nbsp;4 x 4 x 8 | &nbsp;&nbsp;296 |" in summary
    )  # 3 * 3 * 4 * 8 weights and 8 biases
    rows = [line for line in summary.splitlines() if line.startswith("| ") and "---" not in line]
    columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert columns <= {4, 5}


def test_total_and_size_are_given(summary):
    total = int(re.search(r"\*\*([\d,]+) parameters\*\*", summary)[1].replace(",", ""))
    rows = re.findall(r"[\d x]+ \| &nbsp;&nbsp;([\d,]+) \|$", summary, re.MULTILINE)
    assert sum(int(row.replace(",", "")) for row in rows) == total
    assert f"{total * 4 / 2**20:.2f} MiB" in summary


def test_names_from_outside_are_harmless(summary):
    assert "Annual\\|Crop" in summary
    assert not re.search(r"(?<!\\)<", summary)
    assert "\\[a\\]\\(b\\)" in summary
