"""Tiles from MinIO that are predicted, compared with the slower one of reading them as `pack` does and onnxruntime.

Rounds alternate in one process, so that a change of the machine's speed does not favor one of them. The figures of
`predict_tiles` include its start: the model is loaded and 64 tiles are inspected.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.bench.bucket import sample_in_a_bucket
from tests.support.bundles import write_model_bundle
from tests.support.measure import Figure
from tests.support.packed import manifest_for
from tilepipe.components.plan.config import PlanConfig
from tilepipe.components.plan.plan import PlanOutputs, plan
from tilepipe.components.predict_tiles.config import PredictTilesConfig
from tilepipe.components.predict_tiles.predict_tiles import Inputs, Outputs, predict_tiles
from tilepipe.components.predict_tiles.tile_rows import read_rows, sample_tiles, to_tiles
from tilepipe.components.shared.contracts.tile_table import read_tile_table
from tilepipe.components.shared.inference.bundle_model import BundleModel, open_model
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.tiles.layout.layout_inference import infer_layout
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions
from tilepipe.components.shared.tiles.reader import Layout, read_records

_COPIES = 2
_ROUNDS = 3
_BATCH = 64
_AT_ONCE = 8


def measure(scratch: Path) -> list[Figure]:
    """Predict the tiles of a bucket, read them only, and run onnxruntime on tiles in memory."""
    with sample_in_a_bucket(scratch) as bucket:
        table = bucket.many(scratch / "many.parquet", _COPIES)
        rows, info = read_tile_table(table)
        count, sample = rows.num_rows, sample_tiles(table, rows.num_rows)
        layout = infer_layout(sample, info, (), ReadingOptions())
        model = _write_model(scratch / "model.tar.gz", layout.shape, layout.dtype, layout.bands)
        files = PlanOutputs(*(scratch / name for name in ("bundle.tar.gz", "reference", "new.parquet", "plan.json")))
        plan(PlanConfig.parse(model_uri=str(scratch / "model.tar.gz"), experiment=""), table, files)
        predicting = Inputs(files.plan, files.bundle, files.new_tiles)
        outputs = Outputs(*(scratch / name for name in ("predictions", "quarantine", "moments")))
        images = np.zeros((_BATCH, *model.tile_shape), model.dtype)
        runs: dict[str, Callable[[], object]] = {
            "predict": lambda: predict_tiles(PredictTilesConfig(), predicting, outputs),
            "read": lambda: _read(files.new_tiles, layout, count),
            "model": lambda: [model.predict(images) for _ in range(-(-count // _BATCH))],
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(_ROUNDS + 1):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                if number:  # the first round fills caches
                    seconds[name].append(time.perf_counter() - started)
    rates = {name: count / statistics.median(found) for name, found in seconds.items()}
    share = rates["predict"] / min(rates["read"], rates["model"])
    return [
        Figure("predict.tiles", rates["predict"], "tiles/s"),
        Figure("predict.tiles_only_read", rates["read"], "tiles/s"),
        Figure("predict.tiles_in_memory", rates["model"], "tiles/s"),
        Figure("predict.tiles_of_slower", share, "of the rate", "at least 0.85", share >= 0.85),
    ]


def _read(tiles: Path, layout: Layout, count: int) -> None:
    pieces = map(to_tiles, read_rows(tiles, range(count), _AT_ONCE))
    for _ in map_in_order(lambda some: read_records(some, layout=layout, labels=None), pieces, threads=16, window=32):
        pass


def _write_model(path: Path, shape: tuple[int, int, int], dtype: str, bands: tuple[str, ...]) -> BundleModel:
    """Write a network of three convolutions with random weights, of the size of the smallest that is used."""
    manifest = manifest_for(shape, dtype)
    named = zip(manifest.statistics, bands, strict=True)
    statistics_ = tuple(one.model_copy(update={"band": band}) for one, band in named)
    manifest = manifest.model_copy(update={"bands": bands, "statistics": statistics_})
    write_model_bundle(path, manifest, model_onnx=_network(manifest))
    return open_model(str(path))


def _network(manifest) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    sizes = (len(manifest.bands), 32, 64, 128)
    nodes = [
        helper.make_node("Cast", ["tiles"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["layer0"], perm=[0, 3, 1, 2]),
    ]
    constants = {}
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        constants[f"kernel{number}"] = rng.normal(0, 1e-3, (after, before, 3, 3)).astype(np.float32)
        inputs = [f"layer{number}", f"kernel{number}"]
        nodes.append(helper.make_node("Conv", inputs, [f"sum{number}"], strides=[2, 2], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"sum{number}"], [f"layer{number + 1}"]))
    constants["dense"] = rng.normal(0, 1e-3, (sizes[-1], len(manifest.class_names))).astype(np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [f"layer{len(sizes) - 1}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    kinds = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("tiles", kinds[manifest.dtype], ["batch", *manifest.tile_shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(manifest.class_names)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())
