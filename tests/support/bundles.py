"""Bundles of tiny models that are made in milliseconds: ONNX graphs without training."""

import json
from pathlib import Path

import numpy as np

from tests.support.packed import CLASSES, manifest_for
from tilepipe.components.shared.contracts.bundle import as_json, write_bundle
from tilepipe.components.shared.contracts.manifest import Manifest

_TYPES = {"uint8": 2, "int16": 5, "uint16": 4, "float32": 1}


def brightness_model(manifest: Manifest) -> bytes:
    """ONNX model whose class is that of the nearest brightness of `write_packed`: 60, 120, 180 and so on."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    classes = len(manifest.class_names)
    centers = (60.0 + 60.0 * np.arange(classes)).astype(np.float32)
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "weight": (2 * centers / 400).reshape(1, classes),
        "bias": (-(centers**2) / 400).reshape(1, classes),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "axes"], ["means"], keepdims=0),
        helper.make_node("Unsqueeze", ["means", "one"], ["column"]),
        helper.make_node("MatMul", ["column", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants["one"] = np.array([1], np.int64)
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("tiles", _TYPES[manifest.dtype], ["batch", *manifest.tile_shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def write_model_bundle(path: Path, manifest: Manifest | None = None, *, name="bright", confusion=None, **files) -> str:
    """Write a bundle as `export` does, without the Keras model; returns its SHA-256.

    Keyword arguments replace files, such as `labels_json=b"{}"`.
    """
    manifest = manifest or manifest_for(classes=CLASSES)
    rows = (np.eye(len(manifest.class_names), dtype=int) * 10).tolist() if confusion is None else confusion
    names = list(manifest.class_names)
    content = {
        "model.onnx": brightness_model(manifest),
        "labels.json": as_json(dict(enumerate(names))),
        "bands.json": as_json(
            {
                "bands": [json.loads(one.model_dump_json()) for one in manifest.statistics],
                "dtype": manifest.dtype,
                "height": manifest.height,
                "width": manifest.width,
                "nodata": manifest.nodata,
                **({"product": manifest.product.model_dump(mode="json")} if manifest.product else {}),
            }
        ),
        "configuration.json": as_json({"name": name, "dataset": {"digest": manifest.digest}}),
        "confusion_matrix.json": as_json({"split": "test", "class_names": names, "rows": rows}),
        "figures.json": as_json({"test_accuracy": 1.0}),
    }
    content |= {name.replace("_json", ".json").replace("_onnx", ".onnx"): value for name, value in files.items()}
    return write_bundle(content, path)
