"""Variables are saved and restored, so that a training resumes as if it had never stopped."""

import numpy as np
import pytest

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.train.checkpoints.checkpoints import Checkpoints, State
from tilepipe.components.train.checkpoints.variables import put_back, values_of


def make_model(units=4):
    import keras

    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(units), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2)])
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def groups(model):
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def train(model, steps):
    random = np.random.default_rng(1)
    for _ in range(steps):
        model.train_on_batch(random.random((8, 3), "float32"), random.random((8, 2), "float32"))


def test_a_training_resumes_to_the_bit(tmp_path):
    model = make_model()
    train(model, 3)
    taken = values_of(groups(model))
    assert any("seed_generator_state" in variable.path for variable in model.variables)  # the dropout's
    assert len(taken) == len(model.variables) + len(model.optimizer.variables)
    with Checkpoints(str(tmp_path), "key") as checkpoints:
        checkpoints.save(State(taken))
        train(model, 2)  # while it is written
    expected = values_of(groups(model))
    other = make_model()
    put_back(groups(other), checkpoints.latest().arrays)
    train(other, 2)
    for name, value in values_of(groups(other)).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_another_model_is_refused_and_left_as_it_is():
    taken = values_of(groups(make_model(units=5)))
    model = make_model()
    before = values_of(groups(model))
    with pytest.raises(ArtifactError, match=r"must match its model.*Received: float32 \(3, 5\) for model/00000 "):
        put_back(groups(model), taken)
    with pytest.raises(ArtifactError, match="Received: no value for extra/00000 "):
        put_back({"extra": model.variables[:1]}, taken)
    for name, value in values_of(groups(model)).items():
        np.testing.assert_array_equal(value, before[name])
