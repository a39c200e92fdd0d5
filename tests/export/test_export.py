"""Tests of the exported files as their users read them."""

import json
import re

import numpy as np
import onnxruntime
import pystac
import pytest

from tests.export.conftest import write_tiles
from tilepipe.components.shared.contracts.bundle import read_bundle
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.errors import ArtifactError, ParameterError


def test_onnx_gives_the_answers_of_keras_for_any_batch_size(run, inputs, manifest):
    _, outputs = run()
    session = onnxruntime.InferenceSession(str(outputs.onnx_model), providers=["CPUExecutionProvider"])
    assert [(value.name, value.type) for value in session.get_inputs()] == [("tiles", "tensor(uint16)")]
    assert [(value.name, value.type) for value in session.get_outputs()] == [("probabilities", "tensor(float)")]
    model = load_model(inputs.model, manifest)
    rng = np.random.default_rng(0)
    for batch in (1, 5, 64):
        tiles = rng.integers(0, 9000, (batch, *manifest.tile_shape), dtype=np.uint16)
        (found,) = session.run(None, {"tiles": tiles})
        np.testing.assert_allclose(found, model.predict_on_batch(tiles), atol=1e-5)


def test_the_facts_hold_the_comparison(run):
    facts, _ = run(options={"parity_tiles": 7})
    assert facts["parity_tiles"] == 7
    assert 0 <= facts["parity_max_difference"] < 1e-5
    assert facts["parity_differing_labels"] == 0
    assert facts["opset"] == 17
    assert facts["onnx_tiles_per_second"] > 0
    json.dumps(facts, allow_nan=False)


def test_the_bundle_holds_what_a_user_needs(run, inputs, manifest):
    facts, outputs = run(name="forests")
    files = read_bundle(outputs.bundle)
    assert facts["name"] == "forests"
    assert files["model.onnx"] == outputs.onnx_model.read_bytes()
    assert files["model.keras"] == inputs.model.read_bytes()
    assert json.loads(files["labels.json"]) == {"0": "Forest", "1": "SeaLake", "2": "Industrial"}
    bands = json.loads(files["bands.json"])
    assert [band["band"] for band in bands["bands"]] == list(manifest.bands)
    assert bands["dtype"] == "uint16"
    report = json.loads(files["classification_report.json"])
    assert report["classes"]["Forest"] == pytest.approx(
        {"tiles": 6, "recall": 5 / 6, "precision": 5 / 7, "f1": 10 / 13}
    )
    assert json.loads(files["configuration.json"])["best_epoch"] == 2
    assert files["README.md"] == outputs.card.read_bytes()
    assert files["item.json"] == outputs.item.read_bytes()


def test_the_item_describes_input_and_output(run, manifest):
    _, outputs = run()
    item = pystac.Item.from_file(str(outputs.item))
    (source,), (result,) = item.properties["mlm:input"], item.properties["mlm:output"]
    assert source["input"] == {
        "shape": [-1, 8, 8, 2],
        "dim_order": ["batch", "height", "width", "bands"],
        "data_type": "uint16",
    }
    assert source["bands"] == item.properties["bands"] == [{"name": band} for band in manifest.bands]
    assert [entry["name"] for entry in result["classification:classes"]] == ["Forest", "SeaLake", "Industrial"]
    assert item.bbox == [10.0, 50.0, 11.5, 50.5]
    assert item.properties["start_datetime"] == "2026-01-01T00:00:00Z"
    assert item.properties["end_datetime"] == "2026-02-01T00:00:00Z"
    assert item.assets["model"].roles == ["mlm:model", "data"]


def test_tiles_without_a_place_give_an_item_with_a_geometry(run, inputs):
    write_tiles(inputs.tiles, placed=False)
    _, outputs = run()
    item = json.loads(outputs.item.read_text())
    assert item["bbox"] == [-180, -90, 180, 90]
    assert item["geometry"]["type"] == "Polygon"
    assert item["properties"]["datetime"] == item["properties"]["created"]


def test_the_card_names_the_weakest_class_first(run):
    _, outputs = run()
    card = outputs.card.read_text()
    rows = card.partition("## Weakest classes")[2].splitlines()
    assert rows[4].startswith("| Industrial | 0.000 | 2 |")
    assert "| accuracy | 0.7000 |" in card
    assert "nan" not in card.lower()


def test_the_bundle_is_copied_under_its_name_and_time(run, tmp_path):
    facts, outputs = run(bundle_uri=str(tmp_path / "models"), name="forests")
    (copy,) = (tmp_path / "models").glob("*/model.tar.gz")
    assert facts["bundle_uri"] == str(copy)
    assert re.fullmatch(r"forests-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d", copy.parent.name)
    assert copy.read_bytes() == outputs.bundle.read_bytes()


def test_an_evaluation_of_other_classes_is_refused(run, inputs):
    inputs.confusion.write_text(json.dumps({"split": "val", "class_names": ["a"], "rows": [[1]]}))
    with pytest.raises(ArtifactError, match=r"must be of the manifest's classes .* Received: a confusion matrix of"):
        run()


def test_nothing_is_written_where_onnx_differs(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tilepipe.components.export.export.open_session", lambda _: lambda tiles: np.full((len(tiles), 3), 1 / 3)
    )
    with pytest.raises(ArtifactError, match=r"must be within 0.0001 .* give options.max_difference=0"):
        run()
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bundle_uri": "https://example.org/models"}, "`bundle_uri` must be a local folder or s3://"),
        ({"options": {"opset": 19}}, "opset"),
        ({"name": "../up"}, "name"),
    ],
)
def test_wrong_parameters_are_refused(run, given, message):
    with pytest.raises(ParameterError, match=message):
        run(**given)
