import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from tests.support.augmenting import augmenter_for, changed, one_hot, tiles_of, ways, which
from tests.support.packed import manifest_for
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.input.augmentation import (
    Augmentation,
    AugmentationOptions,
    Augmenter,
    check_augmentation,
)

NAMES = get_args(Augmentation)
LATTICE = ("flip", "quarter_turn", "shift", "cutout")


def normal_tiles(count=200, shape=(16, 16, 2), dtype="uint16"):
    return np.random.default_rng(1).normal(1000, 100, (count, *shape)).astype(dtype)


def test_contrast_keeps_the_mean_and_scales_the_spread_of_each_band_by_its_own():
    tiles = normal_tiles()
    result = changed(tiles, ("contrast",), contrast_percent=40)
    assert result.dtype == np.float32
    assert np.allclose(result.mean((1, 2)), tiles.mean((1, 2)), atol=0.01)
    factors = result.std((1, 2)) / tiles.std((1, 2))
    assert 0.599 < factors.min() < 0.62
    assert 1.38 < factors.max() < 1.401
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.2  # drawn independently per band


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_brightness_moves_a_band_by_a_share_of_its_deviation(dtype):
    tiles = normal_tiles(dtype=dtype)
    stds = np.array([300.0, 10.0])
    result = changed(tiles, ("brightness",), brightness_percent=50, statistics=[(1000.0, std) for std in stds])
    moved = result - tiles
    assert np.ptp(moved, axis=(1, 2)).max() < 1e-3  # the same for all pixels of a band
    shares = moved[:, 0, 0] / stds
    assert np.allclose(shares.min(0), -0.5, atol=0.03)
    assert np.allclose(shares.max(0), 0.5, atol=0.03)
    assert abs(np.corrcoef(shares.T)[0, 1]) < 0.2


def test_contrast_and_brightness_draw_the_same_values_separately_and_together():
    tiles = normal_tiles()
    both = changed(tiles, ("contrast", "brightness"))
    summed = changed(tiles, ("contrast",)) + changed(tiles, ("brightness",)) - tiles
    assert np.allclose(both, summed, atol=0.01)


def test_no_digital_number_leaves_what_the_training_split_shows():
    tiles = np.stack([np.linspace(0, 9000, 200).reshape(10, 20, 1)] * 50).astype("uint16")  # manifest: 0 to 9000
    result = changed(tiles, ("contrast", "brightness"), contrast_percent=50, brightness_percent=200)
    assert result.min() == 0
    assert result.max() == 9000


def test_nodata_stays_nodata_and_is_in_no_mean():
    tiles = normal_tiles()
    tiles[:, :4, :, 0] = 0
    tiles[7, :, :, 1] = 0  # a band of nothing else
    nothing = tiles == 0
    result = changed(tiles, ("contrast", "brightness"), nodata=0.0)
    assert np.array_equal(result == 0, nothing)
    stretched = changed(tiles, ("contrast",), nodata=0.0)
    means = [values[4:, :, 0].mean((0, 1)) for values in stretched]
    assert np.allclose(means, tiles[:, 4:, :, 0].mean((1, 2)), atol=0.01)


@pytest.mark.parametrize(("dtype", "fill"), [("uint8", (120, 81)), ("int16", (120, 81)), ("float32", (120.4, 80.7))])
def test_cutout_fills_one_square_with_the_bands_means(dtype, fill):
    tiles = np.zeros((300, 12, 16, 2), dtype)
    result = changed(tiles, ("cutout",), cutout_percent=50, statistics=[(120.4, 30.0), (80.7, 30.0)])
    assert result.dtype == dtype
    hidden = (result != 0).all(-1)
    assert np.array_equal((result != 0).any(-1), hidden)
    assert np.allclose(result[hidden], fill)
    whole = 0
    for tile in hidden:
        rows, columns = np.flatnonzero(tile.any(1)), np.flatnonzero(tile.any(0))
        assert tile.sum() == len(rows) * len(columns)  # a full rectangle
        assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1))
        for places, length in ((rows, 12), (columns, 16)):  # 6 long, unless the edge cuts it
            assert len(places) == 6 or (len(places) >= 3 and (places[0] == 0 or places[-1] == length - 1))
        whole += tile.sum() == 36
    assert 0 < whole < len(hidden)
    assert hidden.any(0).all()  # any place may be hidden
    assert len(np.unique(hidden, axis=0)) > 100


def test_mixup_mixes_images_and_labels_alike():
    tiles = tiles_of(60, (4, 4, 3), "uint8")
    images, labels = changed(tiles, ("mixup",), labels=one_hot(60), mixup_alpha=1.0)
    assert images.dtype == labels.dtype == np.float32
    assert np.allclose(labels.sum(1), 1, atol=1e-6)
    shares = labels[np.arange(60), np.arange(60) % 3]  # neighbors are of other classes
    assert labels[np.arange(60), (np.arange(60) - 1) % 3] == pytest.approx(1 - shares, abs=1e-6)
    by_hand = shares[:, None, None, None] * tiles + (1 - shares[:, None, None, None]) * np.roll(tiles, 1, axis=0)
    assert np.allclose(images, by_hand, atol=1e-3)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.5, 1.0, 4.0])
def test_mixups_shares_are_of_the_beta_distribution(alpha):
    tiles = np.zeros((20_000, 1, 1, 1), "uint8")
    labels = one_hot(20_000, 2)
    _, mixed = changed(tiles, ("mixup",), labels=labels, mixup_alpha=alpha)
    shares = mixed[labels == 1]
    assert shares.min() >= 0
    assert shares.max() <= 1
    reference = np.random.default_rng(0).beta(alpha, alpha, 20_000)
    places = np.linspace(0.005, 0.995, 100)
    ours, theirs = ((values[:, None] <= places).mean(0) for values in (shares, reference))
    assert np.abs(ours - theirs).max() < 0.02
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides(name):
    tiles = tiles_of(16, (8, 8, 2))
    first, again, other = (changed(tiles, (name,), seed, labels=one_hot(16)) for seed in [(1, 2), (1, 2), (1, 3)])
    assert [part.tobytes() for part in first] == [part.tobytes() for part in again]
    assert not np.array_equal(first[0], other[0])
    assert np.array_equal(first[1], one_hot(16)) == (name != "mixup")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mixup"])
def test_a_tiles_change_is_its_own(name):
    tiles, others = tiles_of(16, (8, 8, 2)), tiles_of(16, (8, 8, 2))
    others[1:] = others[1:][::-1] // 2
    assert np.array_equal(changed(tiles, (name,))[0], changed(others, (name,))[0])
    same = np.repeat(tiles[:1], 16, axis=0)
    assert len(np.unique(changed(same, (name,)), axis=0)) > 3


def test_adding_a_kind_does_not_change_the_draws_of_the_others():
    tiles = tiles_of(64, (8, 8, 1))
    flipped = changed(tiles, ("flip",))
    moved = changed(tiles, ("flip", "brightness"), statistics=[(100.0, 1.0)]) - flipped
    assert np.ptp(moved, axis=(1, 2)).max() < 1e-3  # brighter or darker, but with the same orientation
    turned = changed(tiles, ("flip", "quarter_turn"))
    found = [which(tile, new, lambda t: ways(t)[:4]) for tile, new in zip(flipped, turned, strict=True)]
    assert set(found) == {0, 1, 2, 3}  # mirrored as before, with any turn


def test_the_order_of_the_names_does_not_matter():
    tiles = tiles_of(16, (8, 8, 2))
    forwards, backwards = (changed(tiles, names, labels=one_hot(16)) for names in (NAMES, NAMES[::-1]))
    assert [part.tobytes() for part in forwards] == [part.tobytes() for part in backwards]


@pytest.mark.parametrize("names", [LATTICE, NAMES])
@pytest.mark.parametrize("how", ["graph", "xla", "input pipeline"])
def test_a_graph_xla_and_the_input_pipeline_give_the_same(names, how):
    tiles, labels = tiles_of(16, (8, 8, 3)), one_hot(16)
    eager = changed(tiles, names, labels=labels)
    augmenter, seed = augmenter_for(tiles, names), tf.constant((1, 2), tf.int64)
    if how == "input pipeline":
        data = tf.data.Dataset.from_tensor_slices((tiles, labels)).batch(16)  # batch size not static
        made = next(iter(data.map(lambda x, y: augmenter(x, y, seed), num_parallel_calls=2)))
    else:
        made = tf.function(augmenter, jit_compile=how == "xla")(tf.constant(tiles), tf.constant(labels), seed)
    assert made[0].shape[1:] == tiles.shape[1:]
    assert made[0].dtype.name == (tiles.dtype if names == LATTICE else "float32")
    if names == LATTICE:
        assert np.array_equal(made[0], eager[0])  # to the bit
    assert np.allclose(made[0], eager[0], atol=0.01)
    assert np.allclose(made[1], eager[1], atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_only_what_makes_fractions_makes_floats(name, dtype):
    tiles = tiles_of(4, (6, 6, 1), dtype)
    expected = dtype if name in LATTICE else "float32"
    assert changed(tiles, (name,)).dtype == expected


@pytest.mark.parametrize("bands", [1, 13])
def test_all_but_quarter_turns_take_tiles_that_are_not_square(bands):
    tiles = tiles_of(8, (6, 9, bands), "uint8")
    result = changed(tiles, tuple(name for name in NAMES if name != "quarter_turn"))
    assert result.shape == tiles.shape
    assert np.isfinite(result).all()


def test_none_is_none():
    tiles = tiles_of()
    images, labels = changed(tiles, (), labels=one_hot(64))
    assert np.array_equal(images, tiles)
    assert np.array_equal(labels, one_hot(64))


def test_quarter_turns_need_square_tiles():
    manifest = manifest_for((8, 9, 2))
    check_augmentation(("flip",), manifest)
    with pytest.raises(ParameterError, match=r"not square.*tiles of 8 x 9 pixels\. Use augmentation=\['flip'\]"):
        Augmenter(("flip", "quarter_turn"), AugmentationOptions(), manifest)


@pytest.mark.parametrize(
    "options", [{"shift_percent": 0}, {"zoom_percent": 51}, {"cutout_percent": 101}, {"mixup_alpha": 0}]
)
def test_strengths_have_a_range(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        AugmentationOptions.parse(**options)


def test_options_are_checked_without_tensorflow():
    code = "import sys, tilepipe.components.train.input.augmentation; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
