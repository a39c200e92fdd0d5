"""Tiles from MinIO that are predicted, compared with the slower one of reading them as `pack` does and onnxruntime.

Reading and the model share the processor's cores: where each of them alone keeps all cores busy and both take as long
as each other, both together run at half the rate of either. Hence two networks: a small one, which takes about as long
as the reading, and the one that is fine-tuned for EuroSAT, which takes longer.

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
from tests.support.tile_tables import read_tile_table
from tilepipe.components.export.onnx_graph import convert_to_onnx
from tilepipe.components.plan.config import PlanConfig
from tilepipe.components.plan.plan import PlanOutputs, plan
from tilepipe.components.predict_tiles.config import PredictTilesConfig
from tilepipe.components.predict_tiles.predict_tiles import Inputs, Outputs, predict_tiles
from tilepipe.components.predict_tiles.tile_rows import read_rows, sample_tiles, to_tiles
from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.prepare.prepare import prepare
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.inference.bundle_model import open_model
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.tiles.layout.layout_inference import infer_layout
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions
from tilepipe.components.shared.tiles.reader import Layout, read_records

_COPIES = 2
_ROUNDS = 3
_BATCH = 64
_AT_ONCE = 8


def measure(scratch: Path) -> list[Figure]:
    """Predict the tiles of a bucket, read them only, and run onnxruntime on tiles in memory, with two networks."""
    figures = []
    with sample_in_a_bucket(scratch) as bucket:
        table = bucket.many(scratch / "many.parquet", _COPIES)
        rows, info = read_tile_table(table)
        layout = infer_layout(sample_tiles(table, rows.num_rows), info, (), ReadingOptions())
        manifest = _manifest(layout)
        for network, write in (("convolutions", _convolutions), ("efficientnet_lite0", _efficientnet)):
            folder = scratch / network
            folder.mkdir()
            write_model_bundle(folder / "model.tar.gz", manifest, model_onnx=write(manifest, folder))
            figures += _compared(network, table, rows.num_rows, layout, folder)
    return figures


def _compared(network: str, table: Path, count: int, layout: Layout, folder: Path) -> list[Figure]:
    """Compare the rates with the model in `folder`."""
    model = open_model(str(folder / "model.tar.gz"))
    files = PlanOutputs(*(folder / name for name in ("bundle.tar.gz", "reference", "new.parquet", "plan.json")))
    plan(PlanConfig.parse(model_uri=str(folder / "model.tar.gz"), experiment=""), table, files)
    predicting = Inputs(files.plan, files.bundle, files.new_tiles)
    outputs = Outputs(*(folder / name for name in ("predictions", "quarantine", "moments")))
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
    most = 1 / (1 / rates["read"] + 1 / rates["model"])  # if each alone keeps all cores busy
    return [
        Figure(f"predict.{network}.tiles", rates["predict"], "tiles/s"),
        Figure(f"predict.{network}.tiles_only_read", rates["read"], "tiles/s"),
        Figure(f"predict.{network}.tiles_in_memory", rates["model"], "tiles/s"),
        Figure(f"predict.{network}.tiles_of_both", rates["predict"] / most, "of the rate of both in turn"),
        Figure(f"predict.{network}.tiles_of_slower", share, "of the rate", "at least 0.85", share >= 0.85),
    ]


def _read(tiles: Path, layout: Layout, count: int) -> None:
    pieces = map(to_tiles, read_rows(tiles, range(count), _AT_ONCE))
    for _ in map_in_order(lambda some: read_records(some, layout=layout, labels=None), pieces, threads=16, window=32):
        pass


def _manifest(layout: Layout) -> Manifest:
    manifest = manifest_for(layout.shape, layout.dtype)
    named = zip(manifest.statistics, layout.bands, strict=True)
    statistics_ = tuple(one.model_copy(update={"band": band}) for one, band in named)
    return manifest.model_copy(update={"bands": layout.bands, "statistics": statistics_})


def _efficientnet(manifest: Manifest, folder: Path) -> bytes:
    """Export EfficientNet-Lite0 for tiles enlarged to 96 pixels, as the recipe for EuroSAT, with random weights."""
    manifest.write(folder / "manifest.json")
    config = PrepareConfig.parse(architecture="efficientnet_lite0", options={"input_size_pixels": 96})
    prepare(config, folder / "manifest.json", folder / "model.keras", folder / "summary.md")
    model = load_model(folder / "model.keras", manifest)
    return bytes(convert_to_onnx(model, dtype=manifest.dtype, opset=18, name="efficientnet").SerializeToString())


def _convolutions(manifest: Manifest, _: Path) -> bytes:
    """Write three convolutions with random weights: a network of the size of the smallest that is used."""
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
