import re

import pytest

from tests.support.packed import manifest_for
from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.model_summary import render_summary
from tilepipe.components.prepare.networks.architectures import build_model


def summary_of(architecture, manifest, options, weights="random, seed 0", freeze=False):
    model = build_model(architecture, manifest, options)
    if freeze:
        model.get_layer("backbone").trainable = False
    return render_summary(model, manifest, options, weights)


@pytest.fixture(scope="module")
def summary():
    manifest = manifest_for((8, 8, 2), classes=("Annual|Crop", "<b>Sea</b>", "[a](b)"))
    return summary_of("cnn", manifest, ModelOptions(filters=(4, 8), dense_units=8))


@pytest.fixture(scope="module")
def nested():
    options = ModelOptions(indices=("NDVI",), input_size_pixels=96)
    weights = "s3://bucket/weights.npz, SHA-256 abc"
    return summary_of("mobilenet_v2", manifest_for((48, 64, 12)), options, weights, freeze=True)


def cells(summary):
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in summary.splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.replace("&nbsp;", "").strip() for cell in row[1:]] for row in rows}


def test_each_layer_is_a_row(summary):
    # 3 * 3 * 4 * 8 weights and 8 biases; each weight once for each of 4 x 4 pixels that the first block leaves
    assert cells(summary)["block2\\_conv"] == ["Conv2D", "4 x 4 x 8", "296", "0.00"]
    assert cells(summary)["block1\\_norm"] == ["BatchNormalization", "8 x 8 x 4", "16", "0.00"]


def test_total_and_size_are_given(summary):
    total = int(re.search(r"\*\*([\d,]+) parameters\*\*", summary)[1].replace(",", ""))
    layers = [row for row in cells(summary).values() if len(row) == 4 and row[0] != "kind"]
    assert sum(int(row[2].replace(",", "")) for row in layers) == total
    table = cells(summary)
    assert table["weights as float32"] == [f"{total * 4 / 2**20:.2f} MiB"]
    assert table["running means and variances"] == ["24"]  # two for each of 4 + 8 filters
    assert table["trainable parameters"] == [f"{total - 24:,}"]
    assert table["frozen parameters"] == ["0"]


def test_a_network_within_is_a_row_for_each_resolution(nested):
    rows = [row for row in cells(nested).values() if len(row) == 4 and "convolutions" in row[0]]
    assert [row[1].rsplit(" x ", 1)[0] for row in rows] == ["48 x 64", "24 x 32", "12 x 16", "6 x 8", "3 x 4"]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 2_257_984 + 3 * 3 * 10 * 32  # 13 channels, not 3


def test_frozen_scaled_and_added_layers_are_reported(nested):
    table = cells(nested)
    assert table["trainable parameters"] == [f"{1280 * 3 + 3:,}"]
    assert "Works at 96 x 128 pixels" in nested
    assert "First weights: s3://bucket/weights.npz, SHA-256 abc." in nested.replace("\\", "")
    assert table["B08"] == ["1,000.00", "300.00"]
    assert table["NDVI"] == ["\\(B08 - B04\\) / \\(B08 + B04\\)"]


def test_names_from_outside_are_harmless(summary):
    assert "Annual\\|Crop" in summary
    assert not re.search(r"(?<!\\)<", summary)
    assert "\\[a\\]\\(b\\)" in summary
