import numpy as np
import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.optimization.losses import Loss, LossOptions, make_loss

LOSSES = Loss.__args__
LABELS = np.array([[1, 0, 0], [0, 1, 0], [0.7, 0, 0.3]], np.float32)  # the last one is mixed
PROBABILITIES = np.array([[0.8, 0.15, 0.05], [0.5, 0.3, 0.2], [0.6, 0.1, 0.3]], np.float32)


def by_hand(loss, y, p, smoothing=0.0, gamma=2.0):
    y, p = y.astype(np.float64), p.astype(np.float64)
    even = y * (1 - smoothing) + smoothing / y.shape[1]
    if loss == "categorical_crossentropy":
        return (-even * np.log(p)).sum(1)
    return (-even * (1 - p) ** gamma * np.log(p)).sum(1)


@pytest.mark.parametrize("loss", LOSSES)
def test_values_are_those_of_the_formula(loss):
    made = make_loss(LossOptions(loss=loss))
    weights = np.array([1.0, 3.0, 0.5], np.float32)
    expected = by_hand(loss, LABELS, PROBABILITIES)
    assert float(made(LABELS, PROBABILITIES)) == pytest.approx(expected.mean(), rel=1e-5)
    assert float(made(LABELS, PROBABILITIES, weights)) == pytest.approx((expected * weights).mean(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_smoothing_and_gamma_reach_the_loss(loss):
    gamma = {"focal_gamma": 0.5} if loss == "focal" else {}
    made = make_loss(LossOptions(loss=loss, label_smoothing=0.1, **gamma))
    expected = by_hand(loss, LABELS, PROBABILITIES, smoothing=0.1, gamma=0.5).mean()
    assert float(made(LABELS, PROBABILITIES)) == pytest.approx(expected, rel=1e-5)


def test_the_default_is_what_whole_labels_were_trained_with():
    import keras

    whole = np.eye(3, dtype=np.float32)[[0, 1, 0]]
    sparse = keras.losses.SparseCategoricalCrossentropy()(np.array([0, 1, 0]), PROBABILITIES)
    assert float(make_loss(LossOptions())(whole, PROBABILITIES)) == pytest.approx(float(sparse), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("label", [0, 1])
def test_certainty_stays_finite(loss, label):
    import tensorflow as tf

    probabilities = tf.constant([[1.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(probabilities)
        value = make_loss(LossOptions(loss=loss))(tf.one_hot([label], 3), probabilities)
    assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(value, probabilities)).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_it_can_be_learnt_from(loss):
    import keras

    keras.utils.set_random_seed(1)
    labels = np.arange(48) % 3
    tiles = np.eye(3, dtype=np.float32)[labels] + np.random.default_rng(0).normal(0, 0.1, (48, 3)).astype(np.float32)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation="softmax")])
    network.compile(keras.optimizers.Adam(0.1), make_loss(LossOptions(loss=loss)), run_eagerly=True)
    one_hot = np.eye(3, dtype=np.float32)[labels]
    first = float(network.train_on_batch(tiles, one_hot))
    for _ in range(40):
        last = float(network.train_on_batch(tiles, one_hot))
    assert last < first
    assert (np.argmax(network(tiles), axis=1) == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "squared_hinge"}, "`loss` should be 'categorical_crossentropy' or 'focal'"),
        ({"label_smoothing": 1}, "`label_smoothing` should be less than 1"),
        ({"focal_gamma": 1.0}, "`focal_gamma` must be left out unless `loss` is focal"),
        ({"loss": "focal", "focal_gamma": -1}, "`focal_gamma` should be greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message) as error:
        LossOptions.parse(**given)
    assert "\n" not in str(error.value)
