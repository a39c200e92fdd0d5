"""Scenes classified window by window, compared with what users write, and with onnxruntime alone.

The scene is generated: 13 bands of 10,980 x 10,980 pixels, the size of a Sentinel-2 tile, or of
TILEPIPE_BENCH_SCENE_PIXELS. Run as a module with a scene, a model and a folder, it classifies the scene, and prints
windows per second and its peak memory in bytes. The network is `prepare`'s smallest: decompressing a window takes half
as much processor time as classifying it, so the rate for compressed scenes is shown without a goal.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.bench.generated import CLASSES
from tests.bench.peak import own_peak, peak_of
from tests.support.measure import Figure
from tests.support.packed import manifest_for
from tests.support.scenes import CRS, TRANSFORM

_PIXELS = int(os.environ.get("TILEPIPE_BENCH_SCENE_PIXELS", "10980"))
_TILE, _BANDS, _BLOCK = 64, 13, 512
_BATCH = 64
_ROUNDS = 3
_SINGLE_WINDOWS = 60
_GIBIBYTE = 2**30


def measure(scratch: Path) -> list[Figure]:
    """Measure rates in one process, in turn, and peak memory for the scene and a quarter of its pixels."""
    scene, model = scratch / "scene.tif", scratch / "model.tar.gz"
    write_scene(scene, _PIXELS)
    keras_model = _write_model(model, scratch)
    deflated = scratch / "deflated.tif"
    write_scene(deflated, _PIXELS, compress="deflate", zlevel=1)
    ours, of_deflated, per_window, bare = _rates(scene, deflated, model, keras_model, scratch)
    peaks = []
    for pixels in (_PIXELS // 2, _PIXELS):  # from 4,096 on, GDAL's cache of blocks is full
        flat = scratch / f"flat-{pixels}.tif"
        write_scene(flat, pixels, noise=0, compress="deflate")
        peaks.append(peak_of("tests.bench.scenes", str(flat), str(model), str(scratch / "out")).peak_bytes)
    peak, growth = peaks[1] / _GIBIBYTE, peaks[1] / peaks[0]
    return [
        Figure("predict.scenes.rate", ours, "windows/s"),
        Figure("predict.scenes.rate_of_deflated", of_deflated, "windows/s"),
        Figure("predict.scenes.of_one_call_per_window", ours / per_window, "x", ">= 20", ours / per_window >= 20),
        Figure("predict.scenes.of_bare_onnxruntime", ours / bare, "of the rate", ">= 0.8", ours / bare >= 0.8),
        Figure("predict.scenes.peak", peak, "GiB", "< 2", peak < 2),
        Figure("predict.scenes.peak_at_four_times", growth, "of the peak", "<= 1.1", growth <= 1.1),
    ]


def write_scene(path: Path, pixels: int, noise: float = 120, **profile) -> None:
    """Write a square scene of noise, in blocks, a band after the other as Sentinel-2's products are."""
    import rasterio
    from rasterio.windows import Window

    rng = np.random.default_rng(0)
    block = rng.normal(1000, noise, (_BANDS, _BLOCK, _BLOCK)).clip(1, 9000).astype(np.uint16)
    profile |= {"width": pixels, "height": pixels, "count": _BANDS, "dtype": "uint16", "bigtiff": "if_safer"}
    profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK, "interleave": "band"}
    with rasterio.open(path, "w", driver="GTiff", crs=CRS, transform=TRANSFORM, **profile) as file:
        for row in range(0, pixels, _BLOCK):
            for column in range(0, pixels, _BLOCK):
                height, width = min(_BLOCK, pixels - row), min(_BLOCK, pixels - column)
                file.write(block[:, :height, :width], window=Window(column, row, width, height))
        for number in range(_BANDS):
            file.set_band_description(number + 1, f"B{number + 1:02d}")


def _write_model(path: Path, scratch: Path):
    """Write the bundle of an untrained network of `prepare`; returns the Keras model."""
    from tests.support.bundles import write_model_bundle
    from tilepipe.components.export.onnx_graph import convert_to_onnx
    from tilepipe.components.prepare.config import PrepareConfig
    from tilepipe.components.prepare.prepare import prepare
    from tilepipe.components.shared.contracts.model_file import load_model

    manifest = manifest_for((_TILE, _TILE, _BANDS), classes=CLASSES, statistics=[(1000.0, 120.0)] * _BANDS)
    manifest.write(scratch / "manifest.json")
    prepare(PrepareConfig(), scratch / "manifest.json", scratch / "base.keras", scratch / "base.md")
    model = load_model(scratch / "base.keras", manifest)
    graph = convert_to_onnx(model, dtype=manifest.dtype, opset=17, name="bench")
    write_model_bundle(path, manifest, model_onnx=graph.SerializeToString())
    return model


def _rates(scene: Path, deflated: Path, model: Path, keras_model, scratch: Path) -> list[float]:
    """Return windows per second of the step for both scenes, of one call per window, and of onnxruntime alone."""
    from tilepipe.components.shared.inference.bundle_model import open_model

    opened = open_model(str(model))
    tiles = np.random.default_rng(1).normal(1000, 120, (_BATCH, *opened.tile_shape)).astype(np.uint16)
    windows = (_PIXELS // _TILE) ** 2

    def bare() -> int:
        for _ in range(windows // _BATCH):
            opened.onnx_session.shared.run(None, {"tiles": tiles})
        return windows // _BATCH * _BATCH

    works = (
        lambda: _classify(scene, model, scratch / "out"),
        lambda: _classify(deflated, model, scratch / "out"),
        lambda: _one_call_per_window(scene, keras_model),
        bare,
    )
    rounds = [[_rate(work) for work in works] for _ in range(_ROUNDS)]
    return [statistics.median(values) for values in zip(*rounds, strict=True)]


def _rate(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - started)


def _one_call_per_window(scene: Path, keras_model) -> int:
    """Read each window with rasterio and call Keras' `predict` for it."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(scene) as file:
        for number in range(_SINGLE_WINDOWS):
            row, column = divmod(number * _TILE, _PIXELS)
            pixels = file.read(window=Window(column, row * _TILE, _TILE, _TILE))
            keras_model.predict(pixels.transpose(1, 2, 0)[None], verbose=0)
    return _SINGLE_WINDOWS


def _classify(scene: Path, model: Path, folder: Path) -> int:
    from tilepipe.components.predict_scenes.config import PredictScenesConfig
    from tilepipe.components.predict_scenes.predict_scenes import Outputs, predict_scenes

    config = PredictScenesConfig.parse(scene_uri=str(scene), model_uri=str(model))
    facts = predict_scenes(config, Outputs(folder / "prediction", folder / "page.html"))
    return int(facts["windows"])


if __name__ == "__main__":
    print(_rate(lambda: _classify(*map(Path, sys.argv[1:]))))
    own_peak()
