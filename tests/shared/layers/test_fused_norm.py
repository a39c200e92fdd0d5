import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tilepipe.components.shared.layers.fused_norm import fused_normalization
from tilepipe.components.shared.layers.model_layers import layers_of

SHAPE, BATCH = (8, 8, 3), 16


def make_model(**normalization):
    """Build a model with two normalizations, one of them in a nested model."""
    keras.utils.set_random_seed(3)
    inner = keras.Input((8, 8, 4))
    values = layers.BatchNormalization(momentum=0.9, name="within", **normalization)(inner)
    part = keras.Model(inner, layers.Conv2D(4, 1)(values), name="backbone")
    images = keras.Input(SHAPE)
    values = part(layers.Conv2D(4, 3, padding="same")(images))
    values = layers.BatchNormalization(momentum=0.9, name="outer", **normalization)(values)
    return keras.Model(images, layers.Dense(2)(layers.GlobalAveragePooling2D()(values * values)))


def images(seed=0):
    return np.random.default_rng(seed).normal(2, 3, (BATCH, *SHAPE)).astype("float32")


def step(model):
    """Return outputs and gradients of a newly traced training step, which updates the running statistics."""

    @tf.function
    def traced(batch):
        with tf.GradientTape() as tape:
            outputs = model(batch, training=True)
            loss = tf.reduce_mean(outputs**2)
        return outputs, tape.gradient(loss, model.trainable_variables)

    outputs, gradients = traced(images())
    return outputs.numpy(), [gradient.numpy() for gradient in gradients]


def kernels(model, *, training=True):
    """Count the fused kernels of a newly traced step."""
    graph = tf.function(lambda batch: model(batch, training=training)).get_concrete_function(images()).graph
    return sum(operation.type == "FusedBatchNormV3" for operation in graph.get_operations())


def patched(model):
    return [layer.name for layer in layers_of(model) if "call" in vars(layer)]


def test_it_computes_what_keras_does():
    by_keras, fused = make_model(), make_model()
    outputs, gradients = step(by_keras)
    with fused_normalization(fused):
        assert kernels(fused) == 2
        others, other_gradients = step(fused)
    assert np.allclose(others, outputs, atol=1e-5)
    for one, other in zip(gradients, other_gradients, strict=True):
        assert np.allclose(other, one, atol=1e-5)


def test_the_running_variance_is_the_unbiased_one():
    model = make_model()
    layer = model.get_layer("outer")
    values = keras.Model(model.input, layer.input)(images()).numpy().reshape(-1, 4)
    model = keras.Model(layer.input, layer.output)
    batch = values.reshape(BATCH, 8, 8, 4)
    with fused_normalization(model):
        tf.function(lambda data: model(data, training=True))(batch)
    assert np.allclose(layer.moving_mean.numpy(), 0.1 * values.mean(axis=0), atol=1e-5)
    assert np.allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * values.var(axis=0, ddof=1), rtol=1e-5)
    assert not np.allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * values.var(axis=0), rtol=1e-6)


def test_nothing_is_left_of_it():
    model = make_model()
    with fused_normalization(model):
        assert patched(model) == ["within", "outer"]
    assert patched(model) == []
    assert kernels(model) == 0
    with pytest.raises(KeyError), fused_normalization(model):
        raise KeyError
    assert patched(model) == []


def test_inference_and_frozen_layers_use_the_running_statistics():
    by_keras, model = make_model(), make_model()
    for each in (by_keras, model):
        each.get_layer("backbone").trainable = False
        each.get_layer("backbone").get_layer("within").moving_mean.assign([1, -2, 3, 0.5])
        each.get_layer("outer").moving_variance.assign([4, 0.1, 2, 9])
    expected = by_keras(images(), training=False).numpy()
    outputs, gradients = step(by_keras)
    with fused_normalization(model):
        assert kernels(model, training=False) == 2
        assert np.allclose(model(images(), training=False).numpy(), expected, atol=1e-5)
        others, other_gradients = step(model)
    assert np.allclose(others, outputs, atol=1e-5)
    for one, other in zip(gradients, other_gradients, strict=True):
        assert np.allclose(other, one, atol=1e-5)
    assert np.array_equal(model.get_layer("backbone").get_layer("within").moving_mean, [1, -2, 3, 0.5])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_its_statistics_in_full(precision):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(SHAPE), layers.BatchNormalization(momentum=0.0, dtype=precision)])
    with fused_normalization(model):
        assert kernels(model) == 1
        outputs = tf.function(lambda batch: model(batch, training=True))(images())
    assert outputs.dtype == precision.removeprefix("mixed_")
    variance = images().reshape(-1, 3).var(axis=0)
    assert np.allclose(model.layers[0].moving_variance.numpy(), variance, rtol=0.02)
    assert model.layers[0].moving_variance.dtype == "float32"


def test_a_model_trained_with_it_is_saved_as_any(tmp_path):
    model = make_model()
    model.compile("sgd", "mse")
    with fused_normalization(model):
        model.train_on_batch(images(), np.zeros((BATCH, 2)))
    model.save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras")
    assert patched(saved) == []
    assert np.array_equal(saved.predict(images(), verbose=0), model.predict(images(), verbose=0))


def test_what_the_kernel_cannot_do_is_left_alone():
    tiles = keras.Input(SHAPE)
    values = layers.LayerNormalization(name="by_layer")(tiles)
    values = layers.BatchNormalization(axis=1, name="other_axis")(values)
    values = layers.BatchNormalization(scale=False, name="no_scale")(values)
    values = layers.BatchNormalization(center=False, name="no_offset")(values)
    values = layers.GlobalAveragePooling2D()(values)
    model = keras.Model(tiles, layers.BatchNormalization(name="flat")(values))
    with fused_normalization(model):
        assert patched(model) == []
        assert kernels(model) == 0
        step(model)
