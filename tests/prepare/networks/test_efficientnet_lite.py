import keras
import numpy as np
import pytest

from tilepipe.components.prepare.networks.efficientnet_lite import BLOCKS, efficientnet_lite0
from tilepipe.components.prepare.weights.weights import load_weights

WEIGHTS = "weights/efficientnet-lite0-imagenet.npz"


@pytest.mark.parametrize(
    ("shape", "features"),
    [((64, 64, 3), (2, 2)), ((8, 8, 13), (1, 1)), ((65, 33, 2), (3, 2)), ((1, 1, 1), (1, 1))],
)
def test_any_size_becomes_features(shape, features):
    assert efficientnet_lite0(shape).output_shape == (None, *features, 1280)


def test_small_tiles_can_keep_their_pixels_longer():
    network = efficientnet_lite0((64, 64, 3), stem_stride=1)
    assert network.output_shape == (None, 4, 4, 1280)
    assert network.count_params() == efficientnet_lite0((64, 64, 3)).count_params() == 3_413_024


def test_blocks_are_left_out_tile_by_tile_and_only_in_training():
    network = efficientnet_lite0((32, 32, 3), drop_connect=0.2)
    drops = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(drops) == 9  # the blocks with a shortcut
    rates = [layer.rate for layer in drops]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.2 * (BLOCKS - 2) / BLOCKS)
    values = np.ones((64, 2, 2, 24), "float32")
    dropped = keras.ops.convert_to_numpy(
        keras.layers.Dropout(0.5, noise_shape=drops[0].noise_shape, seed=0)(values, training=True)
    )
    assert {tuple(np.unique(tile)) for tile in dropped} == {(0.0,), (2.0,)}
    tiles = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    assert np.array_equal(network(tiles), network(tiles))


def test_weights_from_imagenet_give_the_known_features_and_classes(real_data):
    path = real_data(WEIGHTS)
    network = efficientnet_lite0((224, 224, 3))
    load_weights(network, "efficientnet_lite0", str(path), channels=("red", "green", "blue"))
    y, x = np.mgrid[:224, :224]
    picture = np.stack([255 * y / 223, 255 * x / 223, 255 * (y + x) / 446], axis=-1)
    features = keras.ops.convert_to_numpy(network(((picture - 127) / 128)[None].astype("float32"))).mean(axis=(1, 2))
    assert features.mean() == pytest.approx(0.07623, abs=1e-5)
    with np.load(path) as file:
        logits = (features @ file["classifier/kernel"] + file["classifier/bias"])[0]
    strongest = np.argsort(-logits)[:5]
    assert strongest.tolist() == [818, 604, 782, 644, 615]
    assert logits[strongest] == pytest.approx([4.217, 3.989, 3.968, 3.896, 3.739], abs=1e-3)
