"""The examples for users, run by bash on small data (`make examples`)."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from tests.conftest import ROOT
from tests.support.scenes import write_scene
from tests.support.stac_server import SAMPLE, TILES, TILES_PER_CLASS, stac_api
from tilepipe.pipelines.cli.sample.sample import write_sample
from tilepipe.pipelines.cli.sample.spectra import BANDS

__all__ = ["stac_api"]

pytestmark = [pytest.mark.examples, pytest.mark.timeout(2000)]  # minutes on an idle machine
SCRIPTS = ROOT / "pipelines" / "examples"
TINY = ('model_options={"filters": [8, 8, 8, 8], "dense_units": 16}', "train_batch_size=16")


def example(name, *words, cwd, **variables):
    """Run a script as users do, and return its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {"PATH": path, "COLUMNS": "200"}
    command = ["bash", str(SCRIPTS / name), *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, env=environment | variables, capture_output=True, text=True, timeout=1900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_eurosat(real_data, tmp_path):
    """Every twentieth tile."""
    with (
        tarfile.open(real_data("eurosat-rgb/eurosat-rgb-train-val.tar")) as whole,
        tarfile.open(tmp_path / "some.tar", "w") as some,
    ):
        for member in [member for member in whole if member.isfile()][::20]:
            some.addfile(member, whole.extractfile(member))
    said = example("eurosat.sh", "some.tar", "train_epochs=2", *TINY, cwd=tmp_path, FLOOR="0.1")
    assert "version 1 of eurosat is champion" in said
    assert list(tmp_path.glob("predictions/*.parquet"))


def test_plankton(tmp_path):
    """Three taxa, of which one is rare, in an export with one folder per sample, and the same as class folders."""
    rng = np.random.default_rng(0)
    head = "img_file_name\timg_rank\tobject_id\tobject_annotation_status\tobject_annotation_category\tsample_id"
    for sample in range(12):
        folder = tmp_path / "export" / f"station{sample}"
        folder.mkdir(parents=True)
        rows = [head, "[t]\t[f]\t[t]\t[t]\t[t]\t[t]"]
        for taxon, count in (("Copepoda", 6), ("Detritus", 6), ("Radiolaria", 2)):
            for number in range(count):
                name = f"{sample}_{taxon}_{number}.png"
                shade = {"Copepoda": 60, "Detritus": 120, "Radiolaria": 180}[taxon]
                height, width = rng.integers(20, 90, 2)
                pixels = rng.normal(shade, 15, (height, width)).clip(0, 255).astype(np.uint8)
                picture = Image.fromarray(pixels)
                picture.save(folder / name)
                other = tmp_path / "taxa" / taxon / name
                other.parent.mkdir(parents=True, exist_ok=True)
                picture.save(other)
                status = "predicted" if number == 5 else "validated"
                rows.append(f"{name}\t0\t{name}\t{status}\t{taxon}\tstation{sample}")
        (folder / f"ecotaxa_{sample}.tsv").write_text("\n".join(rows) + "\n", encoding="latin-1")
    said = example("plankton.sh", "export", "taxa", "train_epochs=2", *TINY, cwd=tmp_path)
    assert "is the best of 2" in said
    first, _ = sorted(tmp_path.glob("runs/*/*/merge-packed/manifest.json"), key=lambda path: path.stat().st_mtime)
    manifest = json.loads(first.read_text())
    assert (manifest["height"], manifest["width"], manifest["bands"]) == (64, 64, ["grey"])
    assert sum(split["tiles"] for split in manifest["splits"].values()) == 12 * 12, "without the predicted labels"


def test_droughtwatch(real_data, tmp_path):
    real_data("droughtwatch/part-r-00012")
    folder = real_data("droughtwatch").resolve()
    said = example("droughtwatch.sh", folder, "train_epochs=2", cwd=tmp_path)
    assert "registered droughtwatch/1" in said


def test_a_scene_from_a_stac_search(stac_api, tmp_path):
    write_sample(tmp_path / "sample", tiles_per_class=TILES_PER_CLASS)
    found = tifffile.imread(sorted((tmp_path / "sample").rglob("*.tif"))[0])
    pixels = found if found.shape[0] == len(BANDS) else np.moveaxis(found, -1, 0)
    write_scene(tmp_path / "scene.tif", np.tile(pixels, (1, 2, 2)), bands=BANDS)
    words = [
        f"data_href_rewrite={json.dumps({TILES: f'{tmp_path}/sample/'})}",
        "train_epochs=2",
        *TINY,
    ]
    said = example("scene.sh", f"{stac_api}/", SAMPLE, "scene.tif", *words, cwd=tmp_path, FLOOR="0.01")
    assert "is champion" in said
    (path,) = tmp_path.glob("maps/*/classes.tif")
    with rasterio.open(path) as classes:
        assert classes.shape == (2, 2)
