"""Tests of models that are run from their bundles."""

import numpy as np
import onnx
import pytest

from tests.export.conftest import inputs, manifest, run
from tests.support.bundles import brightness_model, write_model_bundle
from tests.support.packed import CLASSES, manifest_for
from tilepipe.components.shared.contracts import model_file
from tilepipe.components.shared.contracts.bundle import as_json, read_bundle
from tilepipe.components.shared.errors import ArtifactError, ParameterError
from tilepipe.components.shared.inference.bundle_model import load_model, open_model
from tilepipe.components.shared.inference.model_address import resolve

__all__ = ["inputs", "manifest", "run"]

MANIFEST = manifest_for()


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "model.tar.gz"
    write_model_bundle(path, MANIFEST)
    return path


def tiles_of(*values):
    return np.stack([np.full(MANIFEST.tile_shape, value, np.uint16) for value in values])


def test_a_bundle_states_what_its_model_takes_and_gives(bundle):
    model = open_model(str(bundle))
    assert (model.name, model.version) == ("bright", "")
    assert len(model.digest) == 64
    assert model.class_names == CLASSES
    assert model.bands == MANIFEST.bands
    assert model.statistics == MANIFEST.statistics
    assert (model.dtype, model.tile_shape, model.nodata) == ("uint16", (8, 8, 2), None)


def test_tiles_are_classified_alike_in_any_batch(bundle, tmp_path):
    model = load_model(resolve(str(bundle), tmp_path), threads=1)
    tiles = tiles_of(60, 120, 180, 61)
    found = model.predict(tiles)
    assert found.dtype == np.float32
    assert found.argmax(axis=1).tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([model.predict(tiles[i : i + 1]) for i in range(4)]), found)


def test_no_tiles_give_no_probabilities(bundle):
    assert open_model(str(bundle)).predict(tiles_of(1)[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    "tiles",
    [np.zeros((1, 8, 9, 2), np.uint16), np.zeros((1, 8, 8, 3), np.uint16), np.zeros((1, 8, 8, 2), np.float32)],
)
def test_other_tiles_are_refused(bundle, tiles):
    with pytest.raises(ArtifactError, match=r"takes tiles of .*\(8, 8, 2\), uint16, bands B01, B02.* Received: tiles"):
        open_model(str(bundle)).predict(tiles)


def test_a_damaged_bundle_is_refused(bundle):
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    bundle.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"Received: model\.tar\.gz, in which"):
        open_model(str(bundle))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model_onnx": b""}, "must hold a file model.onnx"),
        ({"model_onnx": b"no graph"}, "that onnxruntime .* opens"),
        ({"labels_json": b'{"1": "x"}'}, "must describe its classes and bands .*KeyError: '0'"),
        ({"labels_json": b"["}, "must describe its classes and bands"),
        (
            {"bands_json": as_json({"bands": [], "dtype": "uint16", "height": 8, "width": 8, "nodata": None})},
            "one input",
        ),
        ({"labels_json": as_json({"0": "a", "1": "b"})}, "one probability for each of 2 classes.*Received: an output"),
    ],
)
def test_a_bundle_that_contradicts_itself_is_refused(tmp_path, files, message):
    write_model_bundle(tmp_path / "odd.tar.gz", MANIFEST, **files)
    with pytest.raises(ArtifactError, match=message):
        open_model(str(tmp_path / "odd.tar.gz")).predict(tiles_of(60))


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("output", [(1.5, -0.5, 0), (0.5, np.nan, 0.5), (np.inf, 0, 0), (0.5, 0.25, 0.2)])
def test_an_output_that_is_not_probabilities_is_refused(tmp_path, output, count):
    graph = onnx.load_from_string(brightness_model(MANIFEST))
    values = {"weight": np.zeros((1, 3)), "bias": np.array([output], float)}
    for constant in graph.graph.initializer:
        if constant.name in values:
            constant.CopyFrom(onnx.numpy_helper.from_array(values[constant.name].astype(np.float32), constant.name))
    softmax = graph.graph.node[-1]
    softmax.op_type = "Identity"
    del softmax.attribute[:]
    write_model_bundle(tmp_path / "odd.tar.gz", MANIFEST, model_onnx=graph.SerializeToString())
    with pytest.raises(ArtifactError, match="must be probabilities, non-negative and with a sum of 1"):
        open_model(str(tmp_path / "odd.tar.gz")).predict(tiles_of(*range(count)))


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, np.nan])
def test_pixels_that_are_unstated_nodata_are_named(tmp_path, value):
    manifest = manifest_for(dtype="float32")
    write_model_bundle(tmp_path / "model.tar.gz", manifest)
    tiles = np.full((1, *manifest.tile_shape), value, np.float32)
    with pytest.raises(ArtifactError, match=r"Pixels must be finite.*Received: values from .*option `nodata`"):
        open_model(str(tmp_path / "model.tar.gz")).predict(tiles)


@pytest.mark.parametrize(
    "address", ["models:/", "models:/a", "models:/a/b/1", "models:/a/0", "models:a@b", "ftp://x/y.tar.gz", "model.onnx"]
)
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(ParameterError, match="`model` must be the address of a model: a bundle"):
        open_model(address)


def test_files_that_are_not_asked_for_are_checked_too(bundle):
    whole = read_bundle(bundle)
    assert read_bundle(bundle, names=["labels.json"]) == {"labels.json": whole["labels.json"]}
    with pytest.raises(ArtifactError, match="have more than 100 bytes together"):
        read_bundle(bundle, largest_bytes=100)


def test_an_exported_model_gives_the_answers_of_keras(run, inputs, manifest):
    _, outputs = run(name="forests")
    model = open_model(str(outputs.bundle))
    assert (model.name, model.class_names, model.tile_shape) == ("forests", manifest.class_names, manifest.tile_shape)
    assert model.statistics == manifest.statistics
    assert model.files["confusion_matrix.json"]["class_names"] == list(manifest.class_names)
    assert model.files["figures.json"]["val_accuracy"] == 0.7
    tiles = np.random.default_rng(0).integers(0, 9000, (5, *manifest.tile_shape), dtype=np.uint16)
    expected = model_file.load_model(inputs.model, manifest).predict_on_batch(tiles)
    np.testing.assert_allclose(model.predict(tiles), expected, atol=1e-5)
