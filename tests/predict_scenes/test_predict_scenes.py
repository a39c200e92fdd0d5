"""Class maps of whole scenes, read back as their users read them."""

import hashlib
import json

import numpy as np
import pystac
import pytest
import rasterio
from rasterio import Affine

from tests.support.scenes import BRIGHTNESS, CRS, TRANSFORM, cells, write_bundle, write_scene
from tilepipe.components.predict_scenes.scene.affine_maps import rescale
from tilepipe.components.shared.errors import BandError, DriftError, ParameterError, SourceError

GRID = [[0, 1, 2, -1], [2, 2, 1, 0], [1, 0, 0, 2]]
EXPECTED = np.array([[0, 1, 2, 255], [2, 2, 1, 0], [1, 0, 0, 2]])

LOCAL = 'LOCAL_CS["a room",UNIT["metre",1]]'


@pytest.fixture
def scene(tmp_path):
    """Return a scene of 24 x 32 pixels."""
    return write_scene(tmp_path / "S2B_20210613T105621.tif", cells(GRID))


def test_each_window_gets_its_class(predict, scene):
    found = predict(scene)
    np.testing.assert_array_equal(found.classes, EXPECTED)
    assert (found.read("confidence.tif")[EXPECTED != 255] == 100).all()
    assert found.read("confidence.tif")[0, 3] == 255
    assert found.facts["windows"] == 12
    assert found.facts["classified_windows"] == 11
    with rasterio.open(found.folder / "classes.tif") as file:
        assert file.crs == CRS
        assert file.transform == rescale(TRANSFORM, 8, 8)
        assert file.nodata == 255
        assert file.colormap(1)[0] == (0x33, 0xA0, 0x2C, 255)
        assert file.tags(1)["CLASS_1"] == "SeaLake"


def test_the_map_can_have_the_pixels_of_the_scene(predict, scene):
    found = predict(scene, options={"resolution": "pixel"})
    np.testing.assert_array_equal(found.classes, EXPECTED.repeat(8, axis=0).repeat(8, axis=1))
    with rasterio.open(found.folder / "classes.tif") as file:
        assert file.transform == TRANSFORM


def test_the_same_scene_gives_the_same_bytes_whatever_the_batches_are(predict, scene):
    first = predict(scene, stride_pixels=2)
    digests = [hashlib.sha256((first.folder / name).read_bytes()) for name in ("classes.tif", "confidence.tif")]
    second = predict(scene, stride_pixels=2, options={"batch_windows": 5})
    again = [hashlib.sha256((second.folder / name).read_bytes()) for name in ("classes.tif", "confidence.tif")]
    assert [one.digest() for one in digests] == [one.digest() for one in again]


def test_a_scene_whose_sides_are_no_multiples_is_covered_to_its_edge(predict, tmp_path):
    pixels = cells([[0, 1], [2, 2]])[:13, :15]
    found = predict(write_scene(tmp_path / "cut.tif", pixels))
    assert found.classes.shape == (2, 2)
    assert 255 not in found.classes
    full = predict(tmp_path / "cut.tif", options={"resolution": "pixel"})
    assert full.classes.shape == (13, 15)
    assert 255 not in full.classes
    assert (full.classes[:5, :7] == 0).all()
    # The last windows end where the scene ends: 3 of 8 rows are dark there.
    assert full.classes[-1, 0] == 1
    assert full.classes[-1, -1] == 2


def test_nodata_within_classified_windows_stays_nodata(predict, tmp_path):
    pixels = cells([[1, 1], [1, 1]])
    pixels[:3, :8] = 0
    scene = write_scene(tmp_path / "hole.tif", pixels)
    full = predict(scene, options={"resolution": "pixel"})
    assert (full.classes[:3, :8] == 255).all()
    assert (full.classes != 255).sum() == 16 * 16 - 24
    strict = predict(scene, options={"resolution": "pixel", "max_nodata_percent": 10})
    assert (strict.classes[:8, :8] == 255).all()
    assert strict.facts["classified_windows"] == 3


def test_the_item_describes_the_maps(predict, scene):
    found = predict(scene, options={"class_colors": {"Forest": "#006400"}})
    item = pystac.Item.from_file(found.folder / "item.json")
    assert item.ext.has("proj")
    assert item.ext.proj.code == CRS
    assert item.ext.proj.shape == [3, 4]
    assert item.datetime.isoformat() == "2021-06-13T10:56:21+00:00"
    derived = [link.href for link in item.links if link.rel == "derived_from"]
    assert derived == [str(scene), found.facts["model"]]
    classes = item.assets["classes"].to_dict()["bands"][0]["classification:classes"]
    assert classes[0] == {"value": 0, "name": "Forest", "title": "Forest", "color_hint": "006400"}
    assert classes[-1]["value"] == 255
    assert classes[-1]["nodata"] is True
    for name, asset in item.get_assets().items():
        content = (found.folder / asset.href).read_bytes()
        assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest(), name
    west, south, east, north = item.bbox
    assert (round(west, 4), round(north, 4)) == (3.0, 42.4523)
    assert east > west
    assert north > south
    assert pystac.utils.make_absolute_href("classes.tif", item.self_href).endswith("classes.tif")


def test_the_page_shows_map_and_legend(predict, scene):
    found = predict(scene)
    assert found.page.count("data:image/png;base64,") == 1
    assert found.page.index("Forest") < found.page.index("Lake")
    assert "36.4" in found.page  # Forest and Industrial: 4 of 11 pixels each
    assert (found.folder / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_results_are_copied_to_a_folder_per_scene_and_model(predict, scene, tmp_path):
    found = predict(scene, output_uri=str(tmp_path / "maps"))
    copies = {path.name: path.read_bytes() for path in (tmp_path / "maps" / found.facts["name"]).iterdir()}
    assert copies == {path.name: path.read_bytes() for path in found.folder.iterdir()}
    assert found.facts["uri"] == str(tmp_path / "maps" / found.facts["name"])
    assert len(copies) == 4


def test_bands_are_taken_by_name_whatever_their_order(predict, tmp_path):
    wanted = np.stack([cells([[0, 1]]), cells([[0, 1]])])
    other = np.full_like(wanted[:1], 4000)
    write_scene(tmp_path / "named.tif", np.concatenate([other, wanted[1:], wanted[:1]]), bands=("B08", "B02", "B01"))
    assert predict(tmp_path / "named.tif").classes.tolist() == [[0, 1]]
    write_scene(tmp_path / "unnamed.tif", np.concatenate([other, wanted]), bands=None)
    found = predict(tmp_path / "unnamed.tif", scene_bands=["B8", "B1", "B2"])
    assert found.classes.tolist() == [[0, 1]]


def test_a_missing_band_is_refused_unless_it_is_filled(predict, bundle, tmp_path):
    scene = write_scene(tmp_path / "one.tif", cells([[1, 1]])[None], bands=("B01",))
    with pytest.raises(BandError, match=r"in which B02 is missing.*fill_bands"):
        predict(scene)
    assert predict(scene, options={"fill_bands": ["B02"]}).classes.tolist() == [[1, 1]]


def test_a_scene_without_any_band_of_the_model_is_refused(predict, tmp_path):
    scene = write_scene(tmp_path / "other.tif", np.stack([cells([[0, 1]])] * 2), bands=("blue", "green"))
    advice = r'If they are the bands of the model in this order, set scene_bands=\["B01", "B02"\]\.$'
    with pytest.raises(BandError, match=f"in which B01, B02 are missing. {advice}"):
        predict(scene)
    with pytest.raises(BandError, match=f"all bands of the model in fill_bands. {advice}"):
        predict(scene, options={"fill_bands": ["B01", "B02"]})
    assert predict(scene, scene_bands=["B01", "B02"]).classes.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("pixels", "settings", "error", "message"),
    [
        (cells([[-1, -1], [-1, -1]]), {}, SourceError, "must have valid pixels in a window"),
        (
            cells([[1]])[:7],
            {},
            SourceError,
            "at least as large as a tile of the model, 8 x 8 pixels. Received: .*7 x 8",
        ),
        (cells([[1]]), {"crs": None}, SourceError, "no reference system"),
        (cells([[1]]), {"transform": Affine.identity()}, SourceError, "no geotransform"),
        (cells([[1]]), {"crs": "EPSG:4326"}, SourceError, r"in EPSG:4326 with a corner at x = 500000, y = 4\.7e\+06"),
        (cells([[1]]), {"crs": LOCAL}, SourceError, "which is no place on Earth"),
        (cells([[1]]), {"bands": None}, BandError, "with 2 bands and no names"),
        (cells([[1]]), {"bands": ("B01", "B1")}, BandError, "the names B01 twice"),
    ],
    ids=["nodata", "small", "crs", "transform", "wrong crs", "local crs", "unnamed", "twice"],
)
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform", "ignore:The given matrix is equal to")
def test_bad_scenes_are_refused_and_nothing_is_written(predict, tmp_path, pixels, settings, error, message):
    count = len(settings.get("bands") or (1, 2))
    scene = write_scene(tmp_path / "bad" / "scene.tif", np.stack([pixels] * count), **settings)
    with pytest.raises(error, match=message):
        predict(scene)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_files_that_are_no_scene_are_refused(predict, tmp_path):
    with pytest.raises(SourceError, match=r"A file must exist to be read\. Received: .*none\.tif"):
        predict(tmp_path / "none.tif")
    (tmp_path / "map.vrt").write_text('<VRTDataset rasterXSize="8" rasterYSize="8"></VRTDataset>')
    with pytest.raises(SourceError, match="GeoTIFF or JPEG 2000"):
        predict(tmp_path / "map.vrt")
    whole = write_scene(tmp_path / "whole.tif", cells([[1]])).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:100])
    with pytest.raises(SourceError, match=r"of which GDAL says"):
        predict(tmp_path / "cut.tif")


def test_rotated_scenes_keep_their_place(predict, tmp_path):
    turned = Affine(8.0, 5.0, 500_000.0, 5.0, -8.0, 4_700_000.0)
    found = predict(write_scene(tmp_path / "turned.tif", cells(GRID), transform=turned))
    np.testing.assert_array_equal(found.classes, EXPECTED)
    with rasterio.open(found.folder / "classes.tif") as file:
        assert file.transform.almost_equals(rescale(turned, 8, 8))


def test_drift_is_shown_tracked_and_limited(predict, scene, mlflow_store, tmp_path):
    from mlflow import MlflowClient

    found = predict(scene, experiment="scenes")
    assert found.facts["drift_classes"] > 0
    assert found.facts["drift_bands"] >= 0
    assert 0 < found.facts["mean_confidence"] <= 1
    assert "population stability index" in found.page
    mlflow = MlflowClient(tracking_uri=mlflow_store)
    experiment = mlflow.get_experiment_by_name("scenes").experiment_id
    (run,) = mlflow.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"predict {found.facts['name']}"
    assert run.data.metrics["drift_classes"] == pytest.approx(found.facts["drift_classes"])
    assert [file.path for file in mlflow.list_artifacts(run.info.run_id, "predictions")] == ["predictions/page.html"]

    copies = tmp_path / "copies"
    with pytest.raises(DriftError, match=r"Received: classes .* \(limit 1e-09\).*scene_options"):
        predict(scene, experiment="", output_uri=str(copies), options={"max_drift": {"classes": 1e-9}})
    assert not copies.exists()
    with pytest.raises(ParameterError, match="max_drift"):
        predict(scene, options={"max_drift": {"confidence": 0.1}})
    with pytest.raises(ParameterError, match=r"max_drift\.bands` should be greater than or equal to 0"):
        predict(scene, options={"max_drift": {"bands": -0.5}})


@pytest.mark.parametrize("stride", [9, 1000])
def test_a_stride_that_leaves_gaps_is_refused(predict, scene, stride):
    with pytest.raises(ParameterError, match=rf"from 1 to 8 for tiles of 8 x 8 pixels.*stride_pixels={stride}"):
        predict(scene, stride_pixels=stride)


def test_a_color_of_no_class_is_refused(predict, scene):
    with pytest.raises(ParameterError, match=r"Forest, SeaLake, Industrial.*class_colors with Desert"):
        predict(scene, options={"class_colors": {"Desert": "#ffffff"}})


def test_other_dtypes_are_converted_to_that_of_the_model(predict, tmp_path):
    for dtype in ("int16", "float32", "uint8"):
        pixels = cells([[0, 1, 2]]).astype(dtype)
        found = predict(write_scene(tmp_path / f"{dtype}.tif", pixels))
        assert found.classes.tolist() == [[0, 1, 2]]
    pixels = cells([[0, 1, 2, -1]]).astype(np.float32) / 10_000
    pixels[:, -8:] = np.nan
    scene = write_scene(tmp_path / "reflectance.tif", pixels, nodata=np.nan)
    found = predict(scene, options={"pixel_scale": 10_000, "pixel_offset": 0})
    assert found.classes.tolist() == [[0, 1, 2, 255]]


def test_a_model_of_other_dtype_and_shape(predict, tmp_path):
    model = write_bundle(tmp_path / "float.tar.gz", names=("B01",), dtype="float32", tile=16)
    pixels = cells([[0, 0, 2, 2], [0, 0, 2, 2]])
    scene = write_scene(tmp_path / "scene.tif", pixels[None], bands=("B01",))
    assert predict(scene, model_uri=str(model)).classes.tolist() == [[0, 2]]
    assert len(BRIGHTNESS) == 3


def test_metadata_of_kubeflow_are_json(predict, scene):
    json.dumps(predict(scene).facts, allow_nan=False)
    assert predict(scene).facts["uri"] == ""
