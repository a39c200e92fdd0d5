"""`tilepipe run predict_scenes` as users run it: several scenes, one that fails, and none."""

import re

import pytest
import rasterio

from tests.integration.test_run import tilepipe
from tests.support.scenes import cells, write_bundle, write_scene


@pytest.fixture
def scenes(tmp_path):
    """Write a model and two scenes."""
    write_bundle(tmp_path / "model.tar.gz")
    write_scene(tmp_path / "one.tif", cells([[0, 1]]))
    write_scene(tmp_path / "two.tif", cells([[2, 2], [0, 1]]))
    return tmp_path


def run(folder, *scenes):
    listed = ",".join(scenes)
    words = ("model_uri=model.tar.gz", f"scene_uris={listed}", "output_uri=maps")
    return tilepipe("run", "predict_scenes", *words, cwd=folder)


def test_each_scene_gets_a_map(scenes):
    done = run(scenes, "one.tif", "two.tif")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "predict_scenes ok" in done.stdout
    pages = re.findall(r"^page: (.+)$", done.stdout, re.MULTILINE)
    assert len(pages) == 2
    assert all("</html>" in (scenes / page).read_text() for page in pages)
    maps = {path.parent.name.partition("-")[0]: path for path in (scenes / "maps").glob("*/classes.tif")}
    with rasterio.open(maps["one"]) as one, rasterio.open(maps["two"]) as two:
        assert one.read(1).tolist() == [[0, 1]]
        assert two.read(1).tolist() == [[2, 2], [0, 1]]


def test_a_scene_that_fails_is_named_and_the_other_is_kept(scenes):
    (scenes / "broken.tif").write_bytes((scenes / "two.tif").read_bytes()[:100])
    done = run(scenes, "broken.tif", "two.tif")
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(r"A scene must be a GeoTIFF.*Received: .*broken\.tif", done.stdout)
    assert [path.parent.name.partition("-")[0] for path in (scenes / "maps").glob("*/item.json")] == ["two"]


def test_no_scenes_end_well(scenes):
    done = run(scenes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (scenes / "maps").exists()
