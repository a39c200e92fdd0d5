"""The conversion of a Keras model to an ONNX graph with one input and one output."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.export.faster_graph import make_faster
from tilepipe.components.shared.errors import ArtifactError

if TYPE_CHECKING:
    import keras
    import onnx

INPUT = "tiles"
OUTPUT = "probabilities"
_ELEMENTWISE = frozenset({"Add", "AddV2", "Mul", "Sub"})


def convert_to_onnx(model: "keras.Model", *, dtype: str, opset: int, name: str) -> "onnx.ModelProto":
    """Convert a classifier to ONNX.

    Layers run in inference mode and in float32, whatever policy the model was trained with: onnxruntime cannot open a
    bfloat16 export. Constants that Keras' own export turns into further inputs of the graph stay constants.

    Args:
        model: A Keras model from tiles, `(batch, height, width, bands)`, to probabilities, float32,
            `(batch, classes)`.
        dtype: Dtype of the tiles, which the graph converts to that of the model's input.
        opset: Version of ONNX' operator set, 13 to 18: tf2onnx supports no others with Keras 3.
        name: Name of the graph.

    Returns:
        The checked model. Its input `tiles` has the Keras model's shape and the given dtype, its output
        `probabilities` is float32; the batch size is dynamic.

    Raises:
        ArtifactError: The converted graph is invalid or needs other inputs than the tiles.
    """
    import onnx
    import tf2onnx

    with quiet():
        frozen, ends = _freeze(inference_function(model, dtype))
        graph: onnx.ModelProto
        graph, _ = tf2onnx.convert.from_graph_def(
            frozen, name=name, input_names=[ends[0]], output_names=[ends[1]], opset=opset
        )
    _rename_ends(graph, name)
    make_faster(graph, tiles=INPUT)
    try:
        onnx.checker.check_model(graph, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ArtifactError(f"The exported model must be valid ONNX. Received: {error}.") from error
    return graph


def inference_function(model: "keras.Model", dtype: str) -> Any:  # noqa: ANN401 - TensorFlow ships no types
    """Trace a Keras model in inference mode and in float32, in which its layers compute from then on.

    Returns:
        TensorFlow's concrete function from `tiles`, with a dynamic batch size, to `probabilities` by this name.
    """
    import tensorflow as tf

    use_float32(model)
    spec = tf.TensorSpec((None, *model.input_shape[1:]), dtype, name=INPUT)

    def classify(tiles: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUT: model(tf.cast(tiles, model.inputs[0].dtype), training=False)}

    return tf.function(classify, autograph=False).get_concrete_function(spec)


def write_onnx(graph: "onnx.ModelProto", path: Path) -> None:
    """Write a graph to one file, with its weights inside."""
    import onnx

    onnx.save_model(graph, str(path), save_as_external_data=False)


@contextlib.contextmanager
def quiet(**levels: int) -> Iterator[None]:
    """Set the levels of loggers within a context, by their names.

    By default, hide tf2onnx' report of its work, and TensorFlow's advice on functions of its own that tf2onnx calls.
    """
    levels = levels or {"tensorflow": logging.ERROR, "tf2onnx": logging.WARNING}
    before = {name: logging.getLogger(name).level for name in levels}
    try:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def use_float32(model: "keras.Model") -> None:
    """Let every layer compute in float32; variables have that dtype under all policies that `train` offers."""
    for layer in model._flatten_layers():
        if getattr(layer, "compute_dtype", "float32") != "float32":
            layer.dtype_policy = "float32"


def freeze_variables(function: Any) -> Any:  # noqa: ANN401 - TensorFlow's ConcreteFunction
    """Turn the variables of a function into constants."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function)


def _freeze(function: Any) -> tuple[Any, tuple[str, str]]:  # noqa: ANN401 - TensorFlow's ConcreteFunction and GraphDef
    """Freeze a function into a graph without variables, and return it with the names of its input and output."""
    import tensorflow as tf

    captured = {inner.op.name: outer.numpy() for outer, inner in function.graph.captures if outer.dtype != tf.resource}
    frozen = freeze_variables(function)
    definition = frozen.graph.as_graph_def()
    for node in definition.node:
        # Freezing keeps constants that a layer holds as tensors, such as the mean of a Normalization layer, as inputs.
        if node.op == "Placeholder" and node.name in captured:
            dtype, value = node.attr["dtype"].type, captured[node.name]
            node.ClearField("attr")
            node.op = "Const"
            node.attr["dtype"].type = dtype
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    _widen_scalars(definition)
    return definition, (f"{INPUT}:0", frozen.outputs[0].name)


def _widen_scalars(definition: Any) -> None:  # noqa: ANN401 - TensorFlow's GraphDef
    """Give scalar operands of elementwise arithmetic the shape `(1,)`, which broadcasts alike.

    tf2onnx (1.17) fails on an addition of a scalar while it moves transpositions out of the graph, and then leaves all
    of them in.
    """
    import tensorflow as tf

    consumers: dict[str, set[str]] = {}
    for node in definition.node:
        for name in node.input:
            consumers.setdefault(name.removeprefix("^").partition(":")[0], set()).add(node.op)
    for node in definition.node:
        if node.op == "Const" and consumers.get(node.name, {""}) <= _ELEMENTWISE:
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.shape == ():
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.reshape(1)))


def _rename_ends(graph: "onnx.ModelProto", name: str) -> None:
    """Check that the graph has one input and one output, and name them."""
    inputs, outputs = ([value.name for value in ends] for ends in (graph.graph.input, graph.graph.output))
    if len(inputs) != 1 or len(outputs) != 1:
        raise ArtifactError(
            "An exported model must take the tiles as its only input and give one output. "
            f"Received: a graph with the inputs {inputs} and the outputs {outputs}."
        )
    names = {graph.graph.input[0].name: INPUT, graph.graph.output[0].name: OUTPUT}
    for node in graph.graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
    graph.graph.input[0].name, graph.graph.output[0].name, graph.graph.name = INPUT, OUTPUT, name
