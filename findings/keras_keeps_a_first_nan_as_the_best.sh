#!/usr/bin/env bash
# If the first epoch's figure is NaN, Keras takes it for the best: training stops early with the first epoch's weights.
#
# Expected: NaN is worse than every number, or ignored, so the next epoch is an improvement.
# Observed (Keras 3.15.1): EarlyStopping, ModelCheckpoint(save_best_only) and ReduceLROnPlateau start with the first value,
# and no number is greater than NaN. Training stops after `patience` epochs although each is better than the last,
# `restore_best_weights` restores the first epoch, and the file stays that of the first epoch. No warning.
# Why it matters: a precision of a class that is not yet predicted is 0 of 0 in the first epoch, as is an AUC of a split
# without a class. What is served then is the model after one epoch.
# Source: Keras' documentation of EarlyStopping and ModelCheckpoint.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
import keras
import numpy as np


class Precision(keras.callbacks.Callback):
    """Precision of a rare class by epoch."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["val_precision"] = self.values[epoch]


def trained(first):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    options = {"monitor": "val_precision", "mode": "max"}
    stopping = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True, **options)
    saving = keras.callbacks.ModelCheckpoint("best-{epoch}.keras", save_best_only=True, **options)
    for name in os.listdir():
        if name.endswith(".keras"):
            os.remove(name)
    history = model.fit(np.ones((8, 1)), np.ones((8, 1)), epochs=8, verbose=0,
                        callbacks=[Precision([first, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]), stopping, saving])
    return len(history.epoch), stopping.best_epoch + 1, sorted(name for name in os.listdir() if name.endswith(".keras"))[-1]


seen = {first: trained(first) for first in (0.1, float("nan"))}
print("keras", keras.__version__, "on", keras.backend.backend(), "- precision rises from 0.2 in epoch 2 to 0.8 in epoch 8")
for first, (epochs, best, file) in seen.items():
    print(f"  first epoch {first}: {epochs} epochs, weights of epoch {best}, last file {file}")
sys.exit(0 if list(seen.values()) == [(8, 8, "best-8.keras"), (4, 1, "best-1.keras")] else 1)
PYTHON
