import keras
import numpy as np
import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.optimization.optimizers import (
    OptimizerOptions,
    averaged_weights,
    check_optimizer,
    keep_averages,
    make_optimizer,
)

NAMES = ("adam", "adamw", "sgd", "rmsprop")
X = np.random.default_rng(3).normal(size=(16, 4)).astype(np.float32)
Y = np.eye(3, dtype=np.float32)[np.arange(16) % 3]


def network(seed=1):
    keras.utils.set_random_seed(seed)
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(5, name="beta_branch"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential(layers, name="bias_free")


def trained(optimizer, steps, model=None):
    model = model or network()
    if not getattr(model, "optimizer", None):
        model.compile(optimizer, "categorical_crossentropy", run_eagerly=True)
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return model


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("adam", lambda: keras.optimizers.Adam(0.01)),
        ("sgd", lambda: keras.optimizers.SGD(0.01, momentum=0.9)),
        ("rmsprop", lambda: keras.optimizers.RMSprop(0.01)),
    ],
)
def test_the_defaults_train_as_keras_does(name, plain):
    ours, keras_own = (
        trained(optimizer, 3).get_weights() for optimizer in (make_optimizer(name, 0.01, OptimizerOptions()), plain())
    )
    assert same(ours, keras_own)


def test_adamw_is_adam_with_a_decay():
    decayed = trained(make_optimizer("adamw", 0.01, OptimizerOptions()), 3).get_weights()
    by_name = trained(make_optimizer("adam", 0.01, OptimizerOptions(weight_decay=0.004)), 3).get_weights()
    none = trained(make_optimizer("adamw", 0.01, OptimizerOptions(weight_decay=0)), 3).get_weights()
    plain = trained(make_optimizer("adam", 0.01, OptimizerOptions()), 3).get_weights()
    assert same(decayed, by_name)
    assert same(none, plain)
    assert not same(decayed, plain)


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_reach_the_optimizer(name):
    options = OptimizerOptions(
        momentum=0.5,
        second_momentum=None if name == "sgd" else 0.8,
        epsilon=1e-7 if name == "sgd" else 1e-3,
        weight_decay=0.02,
        gradient_clip_norm=2,
        ema_momentum=0.9,
    )
    settings = make_optimizer(name, 0.03, options).get_config()
    assert settings["learning_rate"] == pytest.approx(0.03)
    assert settings["momentum" if "momentum" in settings else "beta_1"] == 0.5
    assert name == "sgd" or settings["rho" if name == "rmsprop" else "beta_2"] == 0.8
    assert name == "sgd" or settings["epsilon"] == 1e-3
    assert (settings["weight_decay"], settings["global_clipnorm"], settings["ema_momentum"]) == (0.02, 2, 0.9)


@pytest.mark.parametrize("name", NAMES)
def test_only_kernels_decay(name):
    model = network()
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    optimizer = make_optimizer(name, 0.5, OptimizerOptions(weight_decay=0.1))
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable in model.trainable_variables:
        share = 0.95 if variable.name == "kernel" else 1.0
        # `bias_free/beta_branch/kernel` names no bias and no beta.
        np.testing.assert_allclose(variable.numpy(), share * before[variable.path], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"), [({"gradient_clip_norm": 1}, [-0.6, -0.8]), ({"gradient_clip_value": 1}, [-1, -1])]
)
def test_gradients_are_clipped(options, expected):
    variables = [keras.Variable([0.0]), keras.Variable([0.0])]
    optimizer = make_optimizer("sgd", 1.0, OptimizerOptions(momentum=0, **options))
    optimizer.apply([keras.ops.array([3.0]), keras.ops.array([4.0])], variables)
    assert [float(variable[0]) for variable in variables] == pytest.approx(expected)


def test_devices_share_the_clippings_limit():
    shared = make_optimizer("sgd", 1.0, OptimizerOptions(gradient_clip_norm=3), replicas=2)
    assert shared.global_clipnorm == 1.5


def test_a_rate_is_a_variable_that_can_be_set():
    optimizer = make_optimizer("adam", 0.1, OptimizerOptions())
    optimizer.learning_rate = 0.05
    assert float(optimizer.learning_rate) == pytest.approx(0.05)
    assert any(variable is optimizer.learning_rate for variable in optimizer.variables)


def test_averages_are_swapped_in_and_out_to_the_bit():
    model = trained(make_optimizer("sgd", 0.1, OptimizerOptions(ema_momentum=0.5)), 1)
    expected = [variable.numpy() for variable in model.trainable_variables]  # the average starts as these
    for _ in range(3):
        model.train_on_batch(X, Y)
        expected = [0.5 * e + 0.5 * v.numpy() for e, v in zip(expected, model.trainable_variables, strict=True)]
    own = model.get_weights()
    statistics = [variable.numpy() for variable in model.non_trainable_variables]
    with averaged_weights(model):
        for variable, average in zip(model.trainable_variables, expected, strict=True):
            np.testing.assert_allclose(variable.numpy(), average, rtol=1e-5, atol=1e-7)
        assert same([variable.numpy() for variable in model.non_trainable_variables], statistics)
        assert not same(model.get_weights(), own)
    assert same(model.get_weights(), own)


def test_swapping_averages_does_not_change_the_training():
    options = OptimizerOptions(ema_momentum=0.9)
    undisturbed = trained(make_optimizer("adam", 0.01, options), 4)
    model = trained(make_optimizer("adam", 0.01, options), 2)
    with averaged_weights(model):
        model.evaluate(X, Y, verbose=0)
    trained(None, 2, model)
    assert same(model.get_weights(), undisturbed.get_weights())
    assert same(*([v.numpy() for v in m.optimizer.variables] for m in (model, undisturbed)))


def test_weights_come_back_after_an_error():
    model = trained(make_optimizer("adam", 0.1, OptimizerOptions(ema_momentum=0.9)), 3)
    own = model.get_weights()
    with pytest.raises(KeyboardInterrupt), averaged_weights(model):
        raise KeyboardInterrupt
    assert same(model.get_weights(), own)


def test_averages_can_be_kept():
    model = trained(make_optimizer("adam", 0.1, OptimizerOptions(ema_momentum=0.9)), 3)
    with averaged_weights(model):
        averages = model.get_weights()
    keep_averages(model)
    assert same(model.get_weights(), averages)


@pytest.mark.parametrize(("ema_momentum", "steps"), [(0.0, 2), (0.9, 0)])
def test_without_averages_a_model_keeps_its_weights(ema_momentum, steps):
    model = trained(make_optimizer("adam", 0.1, OptimizerOptions(ema_momentum=ema_momentum)), steps)
    model.optimizer.build(model.trainable_variables)
    own = model.get_weights()
    with averaged_weights(model):
        assert same(model.get_weights(), own)


def test_the_optimizers_variables_hold_the_averages():
    options = OptimizerOptions(ema_momentum=0.8)
    undisturbed = trained(make_optimizer("adam", 0.01, options), 4)
    killed = trained(make_optimizer("adam", 0.01, options), 2)
    resumed = trained(make_optimizer("adam", 0.01, options), 0)
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.set_weights(killed.get_weights())
    for variable, saved in zip(resumed.optimizer.variables, killed.optimizer.variables, strict=True):
        variable.assign(saved.numpy())
    trained(None, 2, resumed)
    with averaged_weights(resumed), averaged_weights(undisturbed):
        assert same(resumed.get_weights(), undisturbed.get_weights())


def test_averages_are_found_within_a_wrapper_for_mixed_precision():
    inner = make_optimizer("sgd", 0.1, OptimizerOptions(ema_momentum=0.9))
    model = trained(keras.mixed_precision.LossScaleOptimizer(inner, initial_scale=2.0), 3)
    own = model.get_weights()
    with averaged_weights(model):
        assert not same(model.get_weights(), own)
    assert same(model.get_weights(), own)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"momentum": 1}, "`momentum` should be less than 1"),
        ({"epsilon": 0}, "`epsilon` should be greater than 0"),
        ({"ema_momentum": 1}, "`ema_momentum` should be less than 1"),
        ({"gradient_clip_norm": 1, "gradient_clip_value": 1}, "Only one of `gradient_clip_norm`"),
    ],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message) as error:
        OptimizerOptions.parse(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"epsilon": 1e-3}, {"second_momentum": 0.9}])
def test_sgd_takes_no_numbers_for_squared_gradients(options):
    name = next(iter(options))
    with pytest.raises(ParameterError, match=f"sgd keeps no squared gradients.*optimizer='sgd' with {name}="):
        check_optimizer("sgd", OptimizerOptions(**options))
