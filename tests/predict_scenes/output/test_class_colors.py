"""Colors of classes."""

import pytest

from tilepipe.components.predict_scenes.output.class_colors import class_colors, hexadecimal

EUROSAT = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential",
    "River", "SeaLake",
)  # fmt: skip


@pytest.mark.parametrize("names", [EUROSAT, tuple(f"class {number}" for number in range(255))])
def test_each_class_has_a_color_of_its_own(names):
    colors = class_colors(names, {})
    assert len(set(colors)) == len(names)
    assert colors == class_colors(names, {})


def test_land_cover_has_its_usual_colors_and_given_ones_win():
    colors = dict(zip(EUROSAT, map(hexadecimal, class_colors(EUROSAT, {"Pasture": "#33a02c"})), strict=True))
    assert colors["SeaLake"] == "1f78b4"
    assert colors["Pasture"] == "33a02c"
    assert colors["Forest"] != "33a02c"
    assert colors["HerbaceousVegetation"] == "b2df8a"
