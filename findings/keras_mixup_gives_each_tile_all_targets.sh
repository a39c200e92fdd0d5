#!/usr/bin/env bash
# Keras' MixUp turns a batch of n targets into n × n, and a model trained on them learns the mean.
#
# Expected: mixing a batch of n tiles mixes their n targets in the same proportions, whether the shape is (n,) or (n, 1);
# or a shape that is not supported is refused.
# Observed (Keras 3.15.1 on TensorFlow 2.21.0): targets of shape (n, 1) are mixed as expected. Those of shape (n,), as a
# column of a table or a list gives them, become (n, n): row i holds the targets of all tiles. The losses "mse" and
# "binary_crossentropy" accept them. The share of a tile that is covered with trees is learned with R² 0.05 instead of
# 1.00, tiles with more or less than half with an accuracy of 0.55 instead of 0.99; training ends without an error or a
# warning.
# Why it matters: yield, height, cover and biomass per tile are regressions, and cloud or no cloud is binary. Augmentation
# is switched on, the loss falls to the variance and stays: one looks for the fault in the data or the learning rate.
# Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/mix_up/ (an example with one-hot classes; no
# statement about shapes).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 keras==3.15.1 || exit 2
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1
"$folder/venv/bin/python" 2> warnings.log - <<'PYTHON'
import warnings

import keras
import numpy as np
import tensorflow as tf

TILES, BATCH = 512, 64

rng = np.random.default_rng(0)
cover = rng.random(TILES).astype("float32")
tiles = (rng.normal(100, 10, (TILES, 8, 8, 3)) + 100 * cover[:, None, None, None]).astype("float32")
more = (cover > 0.5).astype("float32")


def trained(targets, *, mix, loss, activation):
    """Train a small network; return its predictions and the shape of a batch of targets."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Rescaling(0.01, -1.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1, activation=activation),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.01), loss)
    batches = tf.data.Dataset.from_tensor_slices({"images": tiles, "labels": targets}).shuffle(TILES, seed=0).batch(BATCH)
    if mix:
        mix_up = keras.layers.MixUp(seed=0)
        batches = batches.map(lambda batch: mix_up(batch, training=True))
    batches = batches.map(lambda batch: (batch["images"], batch["labels"]))
    model.fit(batches, epochs=20, verbose=0)
    shape = tuple(next(iter(batches))[1].shape)
    return model.predict(tiles, verbose=0).ravel(), shape


def figures(*, mix, columns):
    """Return the shape of the targets of a batch, R² of the regression and accuracy of the two classes."""
    wanted = (TILES, 1) if columns else (TILES,)
    predicted, shape = trained(cover.reshape(wanted), mix=mix, loss="mse", activation=None)
    r_squared = 1 - float(np.square(predicted - cover).sum() / np.square(cover - cover.mean()).sum())
    predicted, _ = trained(more.reshape(wanted), mix=mix, loss="binary_crossentropy", activation="sigmoid")
    return shape, r_squared, float(np.mean((predicted > 0.5) == more))


with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    found = {
        "(n,)": figures(mix=False, columns=False),
        "(n,), MixUp": figures(mix=True, columns=False),
        "(n, 1), MixUp": figures(mix=True, columns=True),
    }
about_shapes = [str(one.message) for one in warned if "shape" in str(one.message) or "label" in str(one.message)]
print("Keras", keras.__version__, "TensorFlow", tf.__version__)
for name, (shape, r_squared, accuracy) in found.items():
    print(f"{name}: a batch has targets of shape {shape}; R² {r_squared:.2f}, accuracy {accuracy:.2f}")
print("warnings about shapes or labels:", about_shapes)
plain, flat, columns = found.values()
as_recorded = (
    [plain[0], flat[0], columns[0]] == [(BATCH,), (BATCH, BATCH), (BATCH, 1)]
    and min(plain[1:] + columns[1:]) > 0.95
    and flat[1] < 0.3
    and flat[2] < 0.75
    and not about_shapes
)
print("as recorded" if as_recorded else "CHANGED")
raise SystemExit(0 if as_recorded else 1)
PYTHON
status=$?
[ $status -lt 2 ] || tail -n 3 warnings.log
exit $status
