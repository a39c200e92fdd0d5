import keras
import numpy as np
import pytest

from tests.support.packed import manifest_for
from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.networks.architectures import build_model
from tilepipe.components.prepare.networks.networks import NETWORKS

SMALL = ModelOptions(filters=(4, 4, 4, 4), dense_units=8)


@pytest.mark.parametrize(
    "shape", [(64, 64, 3), (64, 64, 13), (65, 65, 11), (8, 8, 2), (33, 20, 1), (3, 7, 2), (1, 1, 4)]
)
def test_any_tile_becomes_probabilities(shape):
    model = build_model("cnn", manifest_for(shape, classes=("a", "b", "c", "d")), SMALL)
    tiles = np.random.default_rng(0).integers(0, 4000, (5, *shape)).astype("uint16")
    probabilities = keras.ops.convert_to_numpy(model(tiles))
    assert probabilities.shape == (5, 4)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_raw_numbers_are_standardised_inside(dtype):
    manifest = manifest_for((8, 8, 2), dtype, statistics=[(100.0, 10.0), (50.0, 5.0)])
    model = build_model("cnn", manifest, SMALL)
    standardise = keras.Model(model.input, model.get_layer("standardise").output)
    tile = np.stack([np.full((8, 8), 110), np.full((8, 8), 40)], axis=-1)[None].astype(dtype)
    standardised = keras.ops.convert_to_numpy(standardise(tile))
    assert np.allclose(standardised[..., 0], 1, atol=1e-5)
    assert np.allclose(standardised[..., 1], -2, atol=1e-5)


def test_a_call_of_an_enlarging_model_does_not_train_it():
    options = ModelOptions(filters=(4, 4, 4, 4), dense_units=8, input_size_pixels=16)
    model = build_model("cnn", manifest_for((8, 8, 2)), options)
    tiles = np.random.default_rng(0).integers(0, 4000, (5, 8, 8, 2)).astype("uint16")
    weights = model.get_weights()
    called = keras.ops.convert_to_numpy(model(tiles))
    assert called == pytest.approx(keras.ops.convert_to_numpy(model(tiles, training=False)))
    for before, after in zip(weights, model.get_weights(), strict=True):
        assert np.array_equal(before, after)


def test_a_constant_band_stays_small():
    model = build_model("cnn", manifest_for((8, 8, 2), statistics=[(100.0, 0.0), (50.0, 5.0)]), SMALL)
    standardise = keras.Model(model.input, model.get_layer("standardise").output)
    tile = np.full((1, 8, 8, 2), 101, "uint16")
    assert np.abs(keras.ops.convert_to_numpy(standardise(tile))[..., 0]).max() == pytest.approx(1)


def test_each_block_has_its_four_layers():
    model = build_model("cnn", manifest_for((64, 64, 3)), ModelOptions())
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == [
        "InputLayer",
        "Normalization",
        *(["Conv2D", "BatchNormalization", "MaxPooling2D", "Dropout"] * 4),
        "GlobalAveragePooling2D",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert model.get_layer("block1_conv").activation is keras.activations.relu
    assert model.get_layer("block4_pool").output.shape == (None, 4, 4, ModelOptions().filters[-1])


def test_pooling_ends_where_one_pixel_is_left():
    model = build_model("cnn", manifest_for((4, 9, 2)), SMALL)
    shapes = [model.get_layer(f"block{number}_pool").output.shape[1:3] for number in (1, 2, 3, 4)]
    assert shapes == [(2, 5), (1, 3), (1, 2), (1, 1)]


def test_the_model_is_compiled():
    model = build_model("cnn", manifest_for(), SMALL)
    assert model.compiled
    assert model.loss == "sparse_categorical_crossentropy"
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    model.train_on_batch(np.zeros((2, 8, 8, 2), "uint16"), np.array([0, 1]))


@pytest.mark.parametrize("architecture", sorted(set(NETWORKS) - {"cnn"}))
def test_every_network_takes_small_tiles_of_any_bands(architecture):
    shape = (20, 8, 13)
    model = build_model(architecture, manifest_for(shape), ModelOptions())
    backbone = model.get_layer("backbone")
    shorter = max(8, NETWORKS[architecture].shortest_side_pixels)
    assert backbone.input_shape == (None, round(20 * shorter / 8), shorter, 13)
    tiles = np.random.default_rng(0).integers(0, 4000, (2, *shape)).astype("uint16")
    probabilities = keras.ops.convert_to_numpy(model(tiles))
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    backbone.trainable = False
    assert len(model.trainable_variables) == 2  # the class layer's


@pytest.mark.parametrize("architecture", ["cnn", "compact", "efficientnet_lite0", "mobilenet_v3_small"])
def test_tiles_are_enlarged_inside_where_asked(architecture):
    model = build_model(architecture, manifest_for((16, 16, 1)), ModelOptions(input_size_pixels=48))
    assert model.get_layer("resize").output.shape == (None, 48, 48, 1)
    assert model(np.ones((1, 16, 16, 1), "uint8")).shape == (1, 3)


@pytest.mark.parametrize("architecture", ["compact", "efficientnet_lite0", "mobilenet_v2"])
def test_momentum_reaches_every_normalization(architecture):
    def momenta(**options):
        backbone = build_model(architecture, manifest_for((32, 32, 1)), ModelOptions(**options)).get_layer("backbone")
        return {layer.momentum for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)}

    assert momenta(batch_norm_momentum=0.25) == {0.25}
    assert momenta() == {{"compact": 0.9, "efficientnet_lite0": 0.99, "mobilenet_v2": 0.999}[architecture]}


@pytest.mark.parametrize("bands", [3, 13])
def test_the_compact_network_is_compact(bands):
    model = build_model("compact", manifest_for((64, 64, bands)), ModelOptions())
    assert 0.27e6 < model.count_params() < 0.31e6
    assert model.get_layer("backbone").output_shape == (None, 8, 8, 128)


def test_the_compact_network_can_be_made_wider_and_deeper():
    options = ModelOptions(width=0.5, residual_blocks=2)
    backbone = build_model("compact", manifest_for((1, 9, 1)), options).get_layer("backbone")
    assert backbone.output_shape == (None, 1, 2, 64)
    convolutions = [layer.filters for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]
    assert convolutions == [16, 16, 16, 32, 32, 32, 64, 64, 64]
