#!/usr/bin/env bash
# Averaged weights in Keras are hardly averages with gradient accumulation: the average moves at each batch, not each update.
#
# Expected: gradient_accumulation_steps=32 with batches of 1 is one update per 32 batches, so an exponential moving average
# with momentum 0.99 covers as many updates as without accumulation. Weight decay and `iterations` count updates.
# Observed (Keras 3.15.1, TensorFlow 2.21.0): the average takes in the unchanged weights at each batch between updates, so
# its momentum per update is 0.99 ** 32 = 0.72 instead of 0.99. After 100 updates that each add 1, a weight is 100 and its
# average is 37.6 without accumulation, 57.1 with 2 steps, 87.2 with 8 and 96.4 with 32. Around an optimum, where weights
# deviate by 0.57, averages deviate by 0.07 without accumulation and by 0.33 with 32 steps. Nothing warns.
# With the momentum 0.99 ** (1 / steps), averages are as without accumulation, within 1.
# Why it matters: accumulation is to replace large batches that do not fit in memory, and an average of the weights to remove
# the noise of the updates. Used together, the average is that of a few updates, and validation is noisier than it should be.
# Source: https://keras.io/api/optimizers/ (gradient_accumulation_steps: updates every that many steps; ema_momentum).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1 \
  numpy==2.4.6 || exit 2
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow CUDA_VISIBLE_DEVICES=
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import keras
import numpy as np
import tensorflow as tf

class LastWeights(keras.callbacks.Callback):
    """Keep the weights before `fit` replaces them with their averages."""

    def on_train_batch_end(self, batch, logs=None):
        """Keep the weights of a batch."""
        if batch == self.params["steps"] - 1:
            self.weights = self.model.get_weights()[0].ravel()


def trained(steps, updates, loss, targets, rate, momentum=0.99):
    """Train 1,000 weights with batches of 1; return the weights, their averages and the number of updates."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1000, use_bias=False, kernel_initializer="zeros")])
    optimizer = keras.optimizers.SGD(
        rate, use_ema=True, ema_momentum=momentum, gradient_accumulation_steps=steps if steps > 1 else None
    )
    model.compile(optimizer, loss=loss)
    last = LastWeights()
    batches = tf.data.Dataset.from_tensor_slices(targets).flat_map(
        lambda target: tf.data.Dataset.from_tensors((tf.ones((1, 1)), target[None])).repeat(steps)
    )
    batches = batches.apply(tf.data.experimental.assert_cardinality(updates * steps))
    model.fit(batches, shuffle=False, verbose=0, callbacks=[last])
    return last.weights, model.get_weights()[0].ravel(), int(optimizer.iterations)


def ramp(labels, outputs):
    """Return a loss that adds 1 to each weight at each update."""
    return -keras.ops.sum(outputs, axis=-1)


def distance(labels, outputs):
    """Return a loss with its optimum at the mean of the labels."""
    return keras.ops.sum((outputs - labels) ** 2, axis=-1) / 2


STEPS = (1, 2, 8, 32)
zeros = np.zeros((100, 1000), "float32")
noise = np.random.default_rng(0).normal(size=(300, 1000)).astype("float32")
ramps, adjusted, deviations = {}, {}, {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for steps in STEPS:
        weights, averages, updates = trained(steps, 100, ramp, zeros, 1.0)
        ramps[steps] = round(float(weights.mean()), 1), round(float(averages.mean()), 1), updates
        adjusted[steps] = round(float(trained(steps, 100, ramp, zeros, 1.0, 0.99 ** (1 / steps))[1].mean()), 1)
        weights, averages, _ = trained(steps, 300, distance, noise, 0.5)
        deviations[steps] = round(float(weights.std()), 3), round(float(averages.std()), 3)
warned = [str(one.message) for one in caught]
print("Keras", keras.__version__, "TensorFlow", tf.__version__, "warnings:", warned)
for steps in STEPS:
    weight, average, updates = ramps[steps]
    print(f"  {steps} steps: {updates} updates, weight {weight}, average {average}; adjusted momentum {adjusted[steps]}")
    print(f"    around an optimum: deviation of the weights {deviations[steps][0]}, of the averages {deviations[steps][1]}")
as_recorded = (
    all(ramps[steps][::2] == (100.0, 100) for steps in STEPS)
    and [ramps[steps][1] for steps in STEPS] == [37.6, 57.1, 87.2, 96.4]
    and all(abs(adjusted[steps] - ramps[1][1]) < 1 for steps in STEPS)
    and all(0.5 < deviations[steps][0] < 0.65 for steps in STEPS)
    and deviations[1][1] < 0.1
    and 0.3 < deviations[32][1] < 0.4
    and not warned
)
sys.exit(0 if as_recorded else 1)
PYTHON
