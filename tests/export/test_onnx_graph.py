"""Tests of the conversion to ONNX."""

import numpy as np
import onnx
import pytest

from tests.export.conftest import make_model
from tests.support.packed import manifest_for
from tilepipe.components.export.onnx_graph import convert_to_onnx, write_onnx
from tilepipe.components.export.parity import open_session


def test_every_network_has_one_input_and_keeps_its_answers(tmp_path):
    manifest = manifest_for(shape=(32, 32, 3))
    tiles = np.random.default_rng(0).integers(0, 4000, (4, 32, 32, 3), dtype=np.uint16)
    for architecture in ("cnn", "compact", "efficientnet_lite0", "mobilenet_v3_small"):
        model = make_model(manifest, architecture)
        expected = model.predict_on_batch(tiles)
        graph = convert_to_onnx(model, dtype="uint16", opset=17, name=architecture)
        write_onnx(graph, tmp_path / "model.onnx")
        assert [value.name for value in graph.graph.input] == ["tiles"]
        np.testing.assert_allclose(open_session(tmp_path / "model.onnx")(tiles), expected, atol=1e-5)
        # tf2onnx leaves a transposition around each convolution where its optimizer fails.
        assert sum(node.op_type == "Transpose" for node in graph.graph.node) <= 1, architecture


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_trained_in_mixed_precision_is_exported_in_float32(tmp_path, policy):
    manifest = manifest_for()
    model = make_model(manifest)
    for layer in model.layers:
        layer.dtype_policy = policy
    graph = convert_to_onnx(model, dtype="uint16", opset=17, name="mixed")
    write_onnx(graph, tmp_path / "model.onnx")
    types = {value.data_type for value in graph.graph.initializer}
    assert not types & {onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16}
    tiles = np.zeros((2, *manifest.tile_shape), np.uint16)
    assert open_session(tmp_path / "model.onnx")(tiles).shape == (2, 3)


def test_layers_that_augment_by_default_are_off(tmp_path):
    from tilepipe.components.shared.contracts.model_file import load_tensorflow

    load_tensorflow()
    import keras

    inputs = keras.Input((8, 8, 2))
    noisy = keras.layers.GaussianNoise(1.0)(keras.layers.RandomFlip()(inputs))
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Flatten()(noisy)[:, :3]))
    write_onnx(convert_to_onnx(model, dtype="float32", opset=17, name="noisy"), tmp_path / "model.onnx")
    tiles = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype(np.float32)
    answer = open_session(tmp_path / "model.onnx")
    np.testing.assert_array_equal(answer(tiles), answer(tiles))
    np.testing.assert_allclose(answer(tiles), model.predict_on_batch(tiles), atol=1e-6)
