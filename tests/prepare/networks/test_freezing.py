import keras
import numpy as np
import pytest

from tilepipe.components.prepare.networks.applications import application
from tilepipe.components.prepare.networks.efficientnet_lite import efficientnet_lite0
from tilepipe.components.prepare.networks.freezing import FreezingOptions, freeze
from tilepipe.components.shared.errors import ParameterError


def flags(backbone):
    return {layer.name: layer.trainable for layer in backbone.layers if layer.weights}


def classifier(backbone):
    tiles = keras.Input(backbone.input_shape[1:])
    features = keras.layers.GlobalAveragePooling2D()(backbone(tiles))
    return keras.Model(tiles, keras.layers.Dense(2, activation="softmax", name="probabilities")(features))


@pytest.mark.parametrize(("trainable", "blocks"), [("all", 0), ("none", 0), ("last_blocks", 2)])
def test_what_is_frozen_stays_frozen_in_the_file(tmp_path, trainable, blocks):
    backbone = efficientnet_lite0((16, 16, 2))
    freeze(backbone, "efficientnet_lite0", trainable, blocks)
    model = classifier(backbone)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").get_layer("backbone")
    assert flags(loaded) == flags(backbone)
    assert len(loaded.trainable_variables) == len(backbone.trainable_variables)


def test_the_last_blocks_and_the_head_learn():
    backbone = efficientnet_lite0((16, 16, 2))
    freeze(backbone, "efficientnet_lite0", "last_blocks", 1)
    free = {variable.path.split("/")[0] for variable in backbone.trainable_variables}
    assert {name.split("_")[0] for name in free} == {"block15", "head"}
    freeze(backbone, "efficientnet_lite0", "all")
    assert all(flags(backbone).values())


def test_training_leaves_what_is_frozen_as_it_was():
    backbone = efficientnet_lite0((16, 16, 2), batch_norm_momentum=0.5)
    freeze(backbone, "efficientnet_lite0", "last_blocks", 1)
    before = {variable.path: np.array(variable) for variable in backbone.weights}
    model = classifier(backbone)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=False)
    model.train_on_batch(np.random.default_rng(0).normal(size=(4, 16, 16, 2)), np.array([0, 1, 0, 1]))
    changed = {path for path, value in before.items() if not np.array_equal(value, _variable(backbone, path))}
    assert {path.split("_")[0] for path in changed} == {"block15", "head"}
    assert any("moving_mean" in path for path in changed)


def _variable(backbone, path):
    return next(np.array(variable) for variable in backbone.weights if variable.path == path)


@pytest.mark.parametrize(
    ("architecture", "count", "first"),
    [
        ("resnet50", 16, "conv5_block3_1_conv"),
        ("mobilenet_v2", 17, "block_16_expand"),
        ("mobilenet_v3_small", 11, "expanded_conv_10_expand"),
        ("efficientnet_v2_b1", 27, "block6i_expand_conv"),
        ("inception_v3", 11, None),
    ],
)
def test_blocks_of_keras_applications(architecture, count, first):
    backbone = application(architecture, (96, 96, 3))
    freeze(backbone, architecture, "last_blocks", 1)
    learning = [layer for layer in backbone.layers if layer.trainable]
    if first:
        assert learning[0].name == first
    else:
        assert backbone.layers[-len(learning) - 1].name == "mixed9"
    with pytest.raises(ParameterError, match=f"from 1 to {count}, .* Received: trainable_blocks=99"):
        freeze(backbone, architecture, "last_blocks", 99)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable_backbone": "last_blocks"}, "Give both or neither"),
        ({"trainable_blocks": 2}, "Give both or neither"),
    ],
)
def test_impossible_combinations_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        FreezingOptions.parse(**options)


def test_possible_combinations():
    assert FreezingOptions.parse().trainable_backbone == "all"
    assert FreezingOptions.parse(trainable_backbone="none").trainable_blocks == 0
    options = FreezingOptions.parse(trainable_backbone="last_blocks", trainable_blocks=3.0)
    assert options.trainable_blocks == 3
