"""Tests of the exported files as their users read them."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import onnxruntime
import pystac
import pytest

from tests.export.conftest import write_tiles
from tests.support.scoring_server import score
from tilepipe.components.export.quantization import _Calibration
from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.register import Lineage, register
from tilepipe.components.shared.contracts.bundle import read_bundle
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.contracts.samples import read_samples, write_samples
from tilepipe.components.shared.errors import ArtifactError, ParameterError
from tilepipe.components.shared.inference.bundle_model import open_model
from tilepipe.components.shared.tracking import tracking

MLM_SCHEMA = os.environ.get("TILEPIPE_MLM_SCHEMA", "")
"""Path of the extension's own json-schema/schema.json, version 1.5.2."""


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
    product = Product(levels=("L2A",), platforms=("sentinel-2a", "sentinel-2b"), baselines=("05.09",), units=("1",))
    manifest.model_copy(update={"product": product}).write(inputs.manifest)
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
    assert list(json.loads(files["item.json"])["assets"]) == ["model"]
    assert open_model(str(outputs.bundle)).product == product
    card = outputs.card.read_text().replace("\\", "")
    assert "| platform | sentinel-2a, sentinel-2b |\n| processing baseline | 05.09 |" in card
    stated = json.loads(outputs.item.read_text())
    assert stated["properties"]["processing:level"] == "L2A"
    assert stated["properties"]["bands"][0]["unit"] == "1"
    assert any("/processing/" in extension for extension in stated["stac_extensions"])
    assert "platform" not in stated["properties"]  # there are two


def test_the_item_describes_input_and_output(run, manifest):
    _, outputs = run()
    item = pystac.Item.from_file(str(outputs.item))
    (source,), (result,) = item.properties["mlm:input"], item.properties["mlm:output"]
    assert source["input"] == {
        "shape": [-1, 8, 8, 2],
        "dim_order": ["batch", "height", "width", "bands"],
        "data_type": "uint16",
    }
    named = [{"name": band} for band in manifest.bands]
    assert source["bands"] == item.properties["bands"] == item.assets["model"].extra_fields["bands"] == named
    assert result["classification:classes"] == [
        {"value": index, "name": name, "description": name}
        for index, name in enumerate(["Forest", "SeaLake", "Industrial"])
    ]
    assert item.bbox == [10.0, 50.0, 11.5, 50.5]
    assert "processing:level" not in item.properties
    assert item.properties["start_datetime"] == "2026-01-01T00:00:00Z"
    assert item.properties["end_datetime"] == "2026-02-01T00:00:00Z"
    assert item.assets["model"].roles == ["mlm:model", "data"]
    assert {name: asset.href for name, asset in item.assets.items()} == {
        "model": "./model.onnx",
        "bundle": "./bundle.tar.gz",
    }


def test_the_card_of_a_training_without_validation_tiles_says_why_it_has_its_epoch(run, inputs):
    history = json.loads(inputs.history.read_text())
    inputs.history.write_text(json.dumps(history | {"metric": "last_epoch"}))
    _, outputs = run()
    assert "The weights are those of epoch 2 of 2, the last, without validation tiles." in outputs.card.read_text()


def test_items_follow_the_schema_of_stac(run):
    _, outputs = run()
    for content in (outputs.item.read_bytes(), read_bundle(outputs.bundle)["item.json"]):
        stated = json.loads(content)
        pystac.Item.from_dict({**stated, "stac_extensions": []}).validate()  # pystac has only STAC's own schemas
        del stated["assets"]["model"]["bands"]
        with pytest.raises(pystac.STACValidationError):
            pystac.Item.from_dict({**stated, "stac_extensions": []}).validate()


@pytest.mark.skipif(not MLM_SCHEMA, reason="TILEPIPE_MLM_SCHEMA does not name the schema of the MLM extension, 1.5.2")
def test_items_follow_the_schema_of_the_extension(run):
    _, outputs = run()
    # References to the schemas of other extensions, which are on the web, accept anything.
    schema = json.loads(
        Path(MLM_SCHEMA).read_text(encoding="utf-8"),
        object_hook=lambda node: {} if str(node.get("$ref", "")).startswith("http") else node,
    )
    for item in (outputs.item.read_bytes(), read_bundle(outputs.bundle)["item.json"]):
        jsonschema.validate(json.loads(item), schema)
    broken = json.loads(outputs.item.read_text())
    del broken["properties"]["mlm:input"][0]["input"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_the_item_leads_to_the_model(run, tmp_path, inputs, manifest):
    _, outputs = run(bundle_uri=str(tmp_path / "models"), name="forests")
    (copy,) = (tmp_path / "models").glob("*/item.json")
    assert sorted(path.name for path in copy.parent.iterdir()) == [
        "README.md",
        "item.json",
        "model.onnx",
        "model.tar.gz",
    ]
    samples = read_samples(inputs.samples, manifest)
    expected = load_model(inputs.model, manifest).predict_on_batch(samples.tiles)
    for item in (outputs.item, copy):
        np.testing.assert_allclose(open_model(str(item)).predict(samples.tiles), expected, atol=1e-5)


@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated")
def test_further_formats_give_the_answers_of_keras(run, inputs, manifest, tmp_path):
    facts, outputs = run(options={"formats": ["saved_model", "litert", "int8"], "max_int8_accuracy_loss": 1})
    files = read_bundle(outputs.bundle)
    for name, content in files.items():
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_bytes(content)
    assert 0 <= facts["saved_model_max_difference"] < 1e-5
    assert 0 <= facts["litert_max_difference"] < 1e-5
    assert len(files["model.tflite"]) > 0.5 * len(files["model.onnx"]), "the weights are in the file"

    import tensorflow as tf

    samples = read_samples(inputs.samples, manifest)
    expected = load_model(inputs.model, manifest).predict_on_batch(samples.tiles)
    saved = tf.saved_model.load(str(tmp_path / "bundle" / "saved_model")).signatures["serving_default"]
    np.testing.assert_allclose(saved(tiles=tf.constant(samples.tiles))["probabilities"], expected, atol=1e-5)
    lite = tf.lite.Interpreter(str(tmp_path / "bundle" / "model.tflite")).get_signature_runner("serving_default")
    for batch in (len(samples.tiles), 1):
        found = lite(tiles=samples.tiles[:batch])["probabilities"]
        np.testing.assert_allclose(found, expected[:batch], atol=1e-5)
    session = onnxruntime.InferenceSession(files["model.int8.onnx"], providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"tiles": samples.tiles})
    assert facts["int8_accepted"]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert facts["int8_accuracy"] == pytest.approx((found.argmax(axis=1) == samples.labels).mean(), abs=1e-6)
    assert facts["int8_bytes"] == len(files["model.int8.onnx"])
    card = outputs.card.read_text()
    for name in ("saved_model/", "model.tflite", "model.int8.onnx"):
        assert f"| `{name}` | " in card


def test_an_8_bit_model_that_loses_too_much_is_left_out(run, inputs, manifest, monkeypatch, caplog):
    samples = read_samples(inputs.samples, manifest)
    answers = load_model(inputs.model, manifest).predict_on_batch(samples.tiles).argmax(axis=1)
    write_samples(replace(samples, labels=answers), inputs.samples)  # the original model is always right
    # Calibrated on black tiles, the 8-bit model tells nothing apart.
    monkeypatch.setattr("tilepipe.components.export.quantization._Calibration", lambda tiles: _Calibration(tiles * 0))
    facts, outputs = run(options={"formats": ["int8"]})
    assert (facts["int8_accepted"], facts["int8_original_accuracy"]) == (False, 1.0)
    assert facts["int8_accuracy"] < 0.99
    assert "model.int8.onnx" not in read_bundle(outputs.bundle)
    assert "the bundle does not contain the 8-bit model: ONNX with 8-bit weights; accuracy" in caplog.text
    assert "| left out | ONNX with 8-bit weights" in outputs.card.read_text()


def test_intervals_of_the_evaluation_are_in_card_and_report(run, inputs):
    confusion = json.loads(inputs.confusion.read_text()) | {"intervals": {"accuracy": [0.6, 0.8]}}
    inputs.confusion.write_text(json.dumps(confusion))
    _, outputs = run()
    card = outputs.card.read_text()
    assert "| accuracy | 0.7000 (0.6000 to 0.8000) |" in card
    assert "Ranges are 95 % intervals" in card
    report = json.loads(read_bundle(outputs.bundle)["classification_report.json"])
    assert report["intervals"] == {"accuracy": [0.6, 0.8]}


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


def test_mlflows_scoring_server_gives_the_answers_of_keras(run, inputs, manifest, mlflow_store, tmp_path):
    facts, outputs = run()
    run_id = tracking.open_run("tests", "a training", {})
    tracking.adopt_run(tracking.UNTRACKED)
    config = RegisterConfig(mlflow_run_id=run_id, name="forests")
    assert register(config, outputs.bundle, facts["bundle_sha256"], Lineage()) == "forests/1"
    tiles = np.random.default_rng(1).integers(0, 9000, (5, *manifest.tile_shape), dtype=np.uint16)
    expected = load_model(inputs.model, manifest).predict_on_batch(tiles)
    np.testing.assert_allclose(score("models:/forests@challenger", tiles, tmp_path), expected, atol=1e-5)


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
