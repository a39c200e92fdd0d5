import keras
import numpy as np
import pytest

from tests.support.packed import manifest_for
from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.networks.preprocessing import INDEX_STATISTICS, preprocess, resized

ALL = ("NDVI", "NDMI", "NDWI", "NBR", "EVI", "ND(B05,B06)")


def preprocessed(tiles, *, shorter_side=None, scaling=None, statistics=None, **options):
    manifest = manifest_for(tiles.shape[1:], str(tiles.dtype), statistics=statistics)
    inputs = keras.Input(manifest.tile_shape)
    values = preprocess(
        inputs,
        manifest,
        ModelOptions(**options),
        shorter_side=shorter_side or min(tiles.shape[1:3]),
        scaling=scaling,
    )
    return keras.ops.convert_to_numpy(keras.Model(inputs, values)(tiles))


def indices_of(tiles, *names, **options):
    """Return the indices before scaling."""
    values = preprocessed(tiles, indices=names, **options)[..., -len(names) :]
    return values * INDEX_STATISTICS[1] + INDEX_STATISTICS[0]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_indices_are_the_formulas(dtype):
    scale = 1 if dtype == "float32" else 10_000
    reflectance = np.random.default_rng(0).uniform(0.05, 0.4, (2, 4, 4, 12))
    tiles = (reflectance * scale).astype(dtype)
    blue, green, red, b05, b06, nir, swir16, swir22 = (
        tiles[..., place].astype("float64") / scale for place in (1, 2, 3, 4, 5, 7, 10, 11)
    )
    wanted = [
        (nir - red) / (nir + red),
        (nir - swir16) / (nir + swir16),
        (green - nir) / (green + nir),
        (nir - swir22) / (nir + swir22),
        2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1),
        (b05 - b06) / (b05 + b06),
    ]
    assert np.allclose(indices_of(tiles, *ALL), np.clip(np.stack(wanted, axis=-1), -1, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("uint16", (0, 0)),
        ("uint8", (0, 255)),
        ("int16", (-3, 3)),
        ("int16", (-32768, -32767, 32767, -1, 1, 0)),
        ("float32", (1e-38, -1e-38, 1e-45, 1e30, -1e30, 0.0)),
    ],
)
def test_indices_stay_finite_and_within_one(dtype, values):
    tiles = np.random.default_rng(0).choice(values, (64, 3, 3, 12)).astype(dtype)
    found = indices_of(tiles, *ALL)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1


def test_nothing_to_divide_by_is_zero():
    tiles = np.zeros((1, 1, 2, 12), "int16")
    tiles[0, 0, 1, [7, 3]] = 5, -5
    assert np.array_equal(indices_of(tiles, "NDVI")[..., 0], [[[0, 0]]])
    denominator_of_evi = np.zeros((1, 1, 1, 12), "float32")
    denominator_of_evi[..., 7], denominator_of_evi[..., 1] = 0.5, 0.2  # 0.5 - 7.5 * 0.2 + 1
    assert indices_of(denominator_of_evi, "EVI") == 0


def test_scale_and_offset_of_reflectance_can_be_given():
    tiles = np.zeros((1, 1, 1, 12), "uint16")
    tiles[..., 7], tiles[..., 3] = 4000, 2000
    assert indices_of(tiles, "NDVI", reflectance_offset=-1000) == pytest.approx(2000 / 4000)
    evi = 2.5 * 0.2 / (0.4 + 6 * 0.2 + 1)
    assert indices_of(tiles, "EVI") == pytest.approx(evi, abs=1e-6)
    assert indices_of(tiles // 100, "EVI", reflectance_scale=100) == pytest.approx(evi, abs=1e-6)


def test_bands_are_scaled_as_asked():
    tiles = np.full((1, 2, 2, 2), 4500, "uint16")
    statistics = [(4000.0, 250.0), (4500.0, 0.0)]
    assert preprocessed(tiles, statistics=statistics)[0, 0, 0] == pytest.approx([2, 0])
    assert preprocessed(tiles, input_scaling="min_max")[0, 0, 0] == pytest.approx([0.5, 0.5])  # 0 to 9000
    assert preprocessed(tiles, input_scaling="reflectance")[0, 0, 0] == pytest.approx([0.45, 0.45])
    given = ([4000.0, 4400.0], [100.0**2, 50.0**2])
    assert preprocessed(tiles, scaling=given, input_scaling="min_max")[0, 0, 0] == pytest.approx([5, 2])


def test_only_the_chosen_bands_and_the_indices_of_any_are_seen():
    tiles = np.random.default_rng(0).integers(1, 9000, (2, 3, 3, 12)).astype("uint16")
    whole = preprocessed(tiles, indices=["NDVI", "EVI"])
    some = preprocessed(tiles, bands=["B08", "b2"], indices=["NDVI", "EVI"])
    assert np.array_equal(some, whole[..., [7, 1, 12, 13]])
    assert np.array_equal(preprocessed(tiles, bands=["B08", "B02"]), whole[..., [7, 1]])
    assert np.array_equal(preprocessed(tiles, bands=[], indices=["EVI"]), whole[..., [13]])


def test_large_numbers_survive_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        values = preprocessed(np.full((1, 4, 4, 12), 65535, "uint16"), indices=["NDVI"], shorter_side=8)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(values).all()
    assert values[0, 0, 0, 0] == pytest.approx((65535 - 1000) / 300)


def test_tiles_are_resized_as_they_lie():
    assert resized(64, 64, 96) == (96, 96)
    assert resized(20, 33, 40) == (40, 66)
    tiles = np.zeros((1, 2, 4, 1), "float32")
    tiles[0, :, 2:] = 1
    values = preprocessed(tiles, shorter_side=4, statistics=[(0.0, 1.0)])
    assert values.shape == (1, 4, 8, 1)
    assert np.allclose(values[0, 1, :, 0], [0, 0, 0, 0.25, 0.75, 1, 1, 1])
