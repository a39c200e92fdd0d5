import re

import numpy as np
import pytest

from tests.support.loops import Ground, Look, make_model, same, timeless
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.loop.resolution import low_resolution_model

OPTIONS = {"low_resolution_epochs": 2, "low_resolution_pixels": 2}


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground.make(tmp_path_factory.mktemp("ground"))


def seen_sizes(model):
    """Record the size of what the first layer of the backbone gets each time a step is traced."""
    sizes = []
    first = model.get_layer("backbone").get_layer("first")
    plain = first.call

    def call(inputs, *args, **kwargs):
        sizes.append(tuple(inputs.shape[1:3]))
        return plain(inputs, *args, **kwargs)

    first.call = call
    return sizes


def test_first_epochs_train_on_smaller_tiles_and_validate_on_whole_ones(ground):
    model = make_model()
    sizes, traced = seen_sizes(model), []
    with ground.loop(model, epochs=4, options=OPTIONS) as (loop, *_):
        traced.append(set(sizes))
        sizes.clear()
        history = loop.run(Look(before=lambda loop: traced.append((loop._at.epoch, loop._at.step, set(sizes)))), 0.03)
    assert (0, 3, {(2, 2)}) in traced
    assert (1, 0, {(2, 2), (4, 4)}) in traced  # validated at full size
    assert len(history.epochs) == 4
    sizes.clear()
    with ground.loop(model, epochs=2) as (loop, *_):
        loop.run(Look(), 0.03)
    assert set(sizes) == {(4, 4)}


def test_it_trains_the_layers_of_the_saved_model(ground):
    model = make_model()
    before = [variable.numpy() for variable in model.trainable_variables]
    config = model.to_json()
    names = [variable.path for variable in model.variables]
    with ground.loop(model, epochs=3, options=OPTIONS) as (loop, *_):
        assert [variable.path for variable in loop._model.variables] == names
        loop.run(Look(), 0.03)
    assert all(not np.array_equal(old, new.numpy()) for old, new in zip(before, model.trainable_variables, strict=True))
    assert model.to_json() == config


@pytest.mark.parametrize("place", [(1, 2), (2, 0), (2, 3)])
def test_resumes_with_equal_weights_before_and_after_the_change(ground, place):
    parameters = {"epochs": 3, "options": OPTIONS | {"ema_momentum": 0.9}}
    look = Look((place,))
    history, weights, _ = ground.run(look, **parameters)
    resumed, resumed_weights, _ = ground.run(start=look.states[place], **parameters)
    assert same(weights, resumed_weights)
    assert timeless(resumed) == timeless(history)


@pytest.mark.parametrize(("shorter", "resized"), [(4, True), (6, False)])
def test_tiles_are_resized_once(shorter, resized):
    import keras

    backbone = make_model((6, 6, 2)).get_layer("backbone")
    values = tiles = keras.Input((shorter, shorter, 2))
    if resized:
        values = keras.layers.Resizing(6, 6)(tiles, training=False)
    model = keras.Model(tiles, keras.layers.GlobalMaxPooling2D()(backbone(values)), name="tiny")
    small = low_resolution_model(model, 4)
    images = np.random.default_rng(0).random((2, shorter, shorter, 2), np.float32)
    values = keras.ops.image.resize(images, (4, 4))
    for layer in backbone.layers[1:]:
        values = layer(values)
    assert small(images, training=False).numpy() == pytest.approx(np.max(values, axis=(1, 2)), abs=1e-6)


@pytest.mark.parametrize(
    ("model", "pixels", "message"),
    [
        ({"backbone": False}, 2, "without a backbone.* Received: a network tiny.*low_resolution_epochs=0"),
        ({}, 4, "low_resolution_pixels=4 with tiny, whose input has 4 x 4 pixels. Use low_resolution_pixels=2."),
    ],
)
def test_the_network_must_accept_smaller_tiles(ground, model, pixels, message):
    with pytest.raises(ParameterError, match=message):
        ground.run(model=make_model(**model), options=OPTIONS | {"low_resolution_pixels": pixels}, epochs=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_resolution_epochs": 2}, "must be given together"),
        ({"low_resolution_pixels": 64}, "must be given together"),
        ({"low_resolution_epochs": 10, "low_resolution_pixels": 64}, "fewer than `epochs`"),
    ],
)
def test_options_that_leave_nothing_to_do_are_refused(options, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        TrainConfig.parse(epochs=10, options=options)
