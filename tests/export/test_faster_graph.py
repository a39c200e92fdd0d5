"""Rewritten ONNX graphs give the same predictions with fewer operators, and graphs without the patterns stay."""

import numpy as np
import onnx
import pytest

from tests.export.conftest import make_model
from tests.support.packed import manifest_for
from tilepipe.components.export.faster_graph import make_faster
from tilepipe.components.export.onnx_graph import convert_to_onnx, write_onnx
from tilepipe.components.export.parity import open_session


def operators(graph):
    return [node.op_type for node in graph.graph.node]


def answers(graph, tiles, path):
    write_onnx(graph, path)
    return open_session(path)(tiles)


def normalizations(model):
    return [layer for layer in model.layers if layer.name.endswith("_norm")]


def normalized_before_pooling(shape):
    """Build a network in the order of layers of models that earlier versions trained."""
    import keras

    values = tiles = keras.Input(shape, name="tiles")
    values = keras.layers.Normalization(mean=[900.0, 1000.0, 1100.0], variance=[4e5, 5e5, 6e5])(values)
    for number, filters in enumerate((8, 16), start=1):
        values = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(values)
        values = keras.layers.BatchNormalization(name=f"block{number}_norm")(values)
        values = keras.layers.MaxPooling2D(2, padding="same")(values)
    values = keras.layers.GlobalAveragePooling2D()(values)
    return keras.Model(tiles, keras.layers.Dense(4, activation="softmax")(values))


def with_statistics(made):
    """Give a network normalizations that are not trivial; return it with tiles for it."""
    random = np.random.default_rng(1)
    for layer in normalizations(made):
        layer.set_weights([random.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    return made, random.integers(0, 4000, (4, 32, 32, 3), dtype=np.uint16)


@pytest.fixture(params=["default network", "normalized before pooling"])
def model(request):
    """Return a network and tiles for it."""
    if request.param == "default network":
        return with_statistics(make_model(manifest_for(shape=(32, 32, 3)), "cnn", indices=()))
    return with_statistics(normalized_before_pooling((32, 32, 3)))


def test_tiles_are_transposed_as_integers_and_the_scale_is_in_the_weights(model):
    graph = convert_to_onnx(model[0], dtype="uint16", opset=17, name="cnn")
    assert operators(graph)[:4] == ["Transpose", "Cast", "Sub", "Conv"]


def test_normalizations_follow_the_pooling_and_answers_stay(model, tmp_path):
    keras_model, tiles = model
    graph = convert_to_onnx(keras_model, dtype="uint16", opset=17, name="cnn")
    assert operators(graph)[4:7] == ["Relu", "MaxPool", "BatchNormalization"]
    found = answers(graph, tiles, tmp_path / "model.onnx")
    np.testing.assert_allclose(found, keras_model.predict_on_batch(tiles), atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_normalization_that_turns_values_around_stays_before_the_pooling(tmp_path, scale):
    keras_model, tiles = with_statistics(normalized_before_pooling((32, 32, 3)))
    first = normalizations(keras_model)[0]
    gamma, *others = first.get_weights()
    first.set_weights([np.r_[scale, gamma[1:]], *others])
    graph = convert_to_onnx(keras_model, dtype="uint16", opset=17, name="cnn")
    assert operators(graph)[4:8] == ["Relu", "Mul", "Add", "MaxPool"]
    found = answers(graph, tiles, tmp_path / "model.onnx")
    np.testing.assert_allclose(found, keras_model.predict_on_batch(tiles), atol=1e-5)


def test_a_graph_without_the_patterns_stays():
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, 4, 2]) for name in ("tiles", "out")]
    constant = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [helper.make_node("Add", ["tiles", "one"], ["sum"]), helper.make_node("Relu", ["sum"], ["out"])]
    model = helper.make_model(helper.make_graph(nodes, "plain", ends[:1], ends[1:], [constant]))
    make_faster(model, tiles="tiles")
    assert list(model.graph.node) == nodes
    assert [onnx.numpy_helper.to_array(one).tolist() for one in model.graph.initializer] == [[1.0]]
