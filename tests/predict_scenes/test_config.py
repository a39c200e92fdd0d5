import pytest

from tilepipe.components.predict_scenes.config import PredictScenesConfig
from tilepipe.components.shared.errors import ParameterError

NO_OFFSET = 'Set options={"pixel_scale": 10000, "pixel_offset": 0} if there is none.'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"scene_uri": "/s/item.json", "scene_bands": ["B2", "B3"]},
            "scene_bands=['B02', 'B03'] with scene_uri='/s/item.json'. "
            "Give options.band_assets={'B02': '...', 'B03': '...'}, or leave scene_bands out.",
        ),
        (
            {"scene_uri": "/s/scene.tif", "options": {"band_assets": {"B2": "blue"}}},
            "options.band_assets={'B02': 'blue'} with scene_uri='/s/scene.tif'. Leave options.band_assets out.",
        ),
        (
            {"scene_uri": "/s/item.json", "options": {"band_assets": {"B2": "blue", "B02": "b"}}},
            "`band_assets` must name each band once. Received: band_assets=['B02', 'B2'], with B02 repeated.",
        ),
        ({"scene_uri": "/s/scene.tif", "options": {"pixel_scale": 10000}}, NO_OFFSET),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ParameterError) as caught:
        PredictScenesConfig.parse(model_uri="/m.tar.gz", **given)
    assert message in str(caught.value)


def test_the_bands_of_a_file_and_the_assets_of_an_item_are_accepted():
    file = PredictScenesConfig.parse(model_uri="/m.tar.gz", scene_uri="/s/scene.tif", scene_bands=["B2"])
    options = {"band_assets": {"b4": "red"}}
    item = PredictScenesConfig.parse(model_uri="/m.tar.gz", scene_uri="/s/item.geojson", options=options)
    assert (file.scene_bands, item.options.band_assets) == (("B02",), {"B04": "red"})
