#!/usr/bin/env bash
# With several classes per tile, Keras' `class_weight` weighs the whole tile by the first of them.
#
# Expected: for multi-label targets, `class_weight` weighs the loss of each class, or `fit` refuses such targets.
# Observed (Keras 3.15.1 on JAX 0.10.2): `fit` takes the index of the row's largest value for its class, which is the
# first 1. With weights 1, 10 and 100, a tile of the classes 1 and 2 weighs 10, one of 2 alone 100, and one of 0 and 2
# weighs 1, as does a tile without any class. Where the frequent classes come first, the rare one's weight is lost: of 20
# tiles with class 2, of which 19 hold class 0 as well, one weighs 100. A mixed target of 0.5 for 0 and for 2 weighs 1.
# Targets of 0 and 1 are valid for `BinaryCrossentropy`, and nothing warns.
# Why it matters: tiles of land cover and of species have several labels, and weights are given for the rare ones. The
# weight depends on the order of the classes, so that renaming a class, if they are sorted, trains another model.
# Source: https://keras.io/api/models/model_training_apis/ (fit, class_weight: targets are taken to be one-hot).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 \
  || exit 2
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import jax
import keras
import numpy as np

model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, "sigmoid", kernel_initializer="zeros")])
model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")


def weight(rows: list[list[float]]) -> float:
    """Return the mean weight of tiles in `fit`: an untrained model has a loss of ln 2 for each class of each tile."""
    targets = np.array(rows, "float32")
    history = model.fit(
        np.ones((len(rows), 1)), targets, class_weight={0: 1, 1: 10, 2: 100}, batch_size=len(rows), verbose=0
    )
    return round(history.history["loss"][0] / np.log(2), 3)


print("Keras", keras.__version__, "on JAX", jax.__version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for target in ([0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0], [0.5, 0, 0.5]):
        found[tuple(target)] = weight([target])
        print(f"  target {target}: weight {found[tuple(target)]}")
    tiles = [[1, 0, 0]] * 980 + [[1, 0, 1]] * 19 + [[0, 0, 1]]
    mean, reverse = weight(tiles), weight([[*row[:2][::-1], row[2]] for row in tiles])
    rare_first = round(float(np.mean([100 if row[2] else 1 for row in tiles])), 3)
print(f"  1,000 tiles, 20 with class 2: mean weight {mean}, if class 2 decided {rare_first};", end=" ")
print(f"with classes 0 and 1 swapped {reverse}")
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    found == {(0, 0, 1): 100, (0, 1, 1): 10, (1, 0, 1): 1, (1, 1, 1): 1, (0, 0, 0): 1, (0.5, 0, 0.5): 1}
    and (mean, rare_first) == (1.099, 2.98)
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
