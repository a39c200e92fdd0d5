import keras
import pytest

from tilepipe.components.prepare.flops import cost
from tilepipe.components.prepare.networks.applications import application
from tilepipe.components.prepare.networks.efficientnet_lite import efficientnet_lite0


def counted(*layers, shape=(8, 6, 4)):
    return cost(keras.Sequential([keras.Input(shape), *layers]))


@pytest.mark.parametrize(
    ("layer", "multiply_adds"),
    [
        (keras.layers.Conv2D(5, 3, padding="same"), 8 * 6 * 3 * 3 * 4 * 5),
        (keras.layers.Conv2D(5, 3, strides=2, padding="valid"), 3 * 2 * 3 * 3 * 4 * 5),
        (keras.layers.Conv2D(6, 3, padding="same", groups=2), 8 * 6 * 3 * 3 * 2 * 6),
        (keras.layers.DepthwiseConv2D(3, strides=2, padding="same"), 4 * 3 * 3 * 3 * 4),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), 8 * 6 * 3 * 3 * 4 * 2),
        (keras.layers.Dense(7), 8 * 6 * 4 * 7),
        (keras.layers.BatchNormalization(), 0),
        (keras.layers.MaxPooling2D(), 0),
    ],
)
def test_a_layer_is_counted_as_by_hand(layer, multiply_adds):
    assert counted(layer).multiply_adds == multiply_adds
    assert counted(layer).flops == 2 * multiply_adds


def test_memory_is_counted_in_models_within_models():
    inner = keras.Sequential([keras.Input((8, 6, 4)), keras.layers.Conv2D(5, 3), keras.layers.BatchNormalization()])
    found = counted(inner, keras.layers.GlobalAveragePooling2D())
    assert found.activation_bytes == 4 * (6 * 4 * 5 + 6 * 4 * 5 + 5)
    assert found.weight_bytes == 4 * (3 * 3 * 4 * 5 + 5 + 4 * 5)


@pytest.mark.parametrize(
    ("architecture", "published"),
    [
        ("resnet50", (3.8e9, 4.1e9)),  # https://arxiv.org/abs/1512.03385, table 1: 3.8e9
        ("mobilenet_v2", (0.29e9, 0.31e9)),  # https://arxiv.org/abs/1801.04381, table 4: 300 million
        ("efficientnet_lite0", (0.38e9, 0.41e9)),  # tensorflow/tpu, efficientnet/lite/README.md: 407 million
    ],
)
def test_networks_cost_what_is_published(architecture, published):
    shape = (224, 224, 3)
    backbone = efficientnet_lite0(shape) if architecture == "efficientnet_lite0" else application(architecture, shape)
    classes = keras.layers.Dense(1000)(keras.layers.GlobalAveragePooling2D()(backbone.output))
    low, high = published
    assert low < cost(keras.Model(backbone.input, classes)).multiply_adds < high
