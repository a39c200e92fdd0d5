"""Input that cannot be used ends the step with exit code 2 and one message, and nothing is written."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from kfp import dsl

from tests.support.scenes import TRANSFORM, cells, write_bundle, write_item, write_scene
from tilepipe.components.predict_scenes.component import predict_scene


def bands_in_two_places(folder, **other):
    """Write an item whose second band has another CRS or transform."""
    write_scene(folder / "a.tif", cells([[1, 1]])[None], bands=("B01",))
    write_scene(folder / "b.tif", cells([[1, 1]])[None], bands=("B02",), **other)
    assets = {
        band: {"href": f"./{name}.tif", "type": "image/tiff", "bands": [{"name": band}]}
        for name, band in (("a", "B01"), ("b", "B02"))
    }
    return write_item(folder / "item.json", assets)


def scene(folder, pixels, **settings):
    return write_scene(folder / "s.tif", pixels, **settings)


BAD = {
    "a missing band": (
        lambda folder: scene(folder, cells([[1]])[None], bands=("B01",)),
        "A scene must have the bands of the model: B01, B02. Received: ",
    ),
    "bands in two reference systems": (
        lambda folder: bands_in_two_places(folder, crs="EPSG:32633"),
        "EPSG:32633",
    ),
    "a place that is none on Earth": (lambda folder: scene(folder, cells([[1]]), crs="EPSG:4326"), "no place on Earth"),
    "bands of which one is rotated": (
        lambda folder: bands_in_two_places(folder, transform=TRANSFORM @ Affine.rotation(180)),
        "b.tif without any pixel in common with the finest band",
    ),
    "nodata only": (lambda folder: scene(folder, cells([[-1, -1]])), "must have valid pixels in a window"),
    "less than a tile": (lambda folder: scene(folder, cells([[1]])[:7]), "at least as large as a tile of the model"),
    "no scene": (lambda folder: folder / "none.tif", "A file must exist to be read"),
}


@pytest.fixture
def run(bundle, tmp_path, termination_log):
    outputs = {
        "prediction": dsl.Artifact(name="prediction", uri=str(tmp_path / "out" / "prediction")),
        "page": dsl.HTML(name="page", uri=str(tmp_path / "out" / "page")),
    }

    def run(scene, **parameters):
        with pytest.raises(SystemExit) as stopped:
            predict_scene.python_func(scene_uri=str(scene), **outputs, **{"model_uri": str(bundle), **parameters})
        assert stopped.value.code == 2
        assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        return termination_log.read_text()

    return run


@pytest.mark.parametrize("case", BAD)
def test_a_bad_scene(run, tmp_path, case):
    write, said = BAD[case]
    assert said in run(write(tmp_path / "scene"))


def test_a_model_for_other_bands(run, tmp_path):
    model = write_bundle(tmp_path / "m.tar.gz", names=("B11", "B12"))
    said = run(scene(tmp_path, np.stack([cells([[1]])] * 2)), model_uri=str(model))
    assert "A scene must have the bands of the model: B11, B12" in said
    assert "in which B11, B12 are missing" in said


def test_an_alias_that_does_not_exist(run, tmp_path, mlflow_store):
    said = run(scene(tmp_path, cells([[1]])), model_uri="models:/forest@champion")
    assert "models:/forest@champion" in said


def test_the_address_of_no_model(run, tmp_path):
    assert "`model_uri`" in run(scene(tmp_path, cells([[1]])), model_uri="forest")
    assert Path(tmp_path / "s.tif").is_file()
