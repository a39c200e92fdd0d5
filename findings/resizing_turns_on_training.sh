#!/usr/bin/env bash
# A Keras model with a Resizing layer trains its batch normalization when it is called or served.
#
# Expected: a call without `training` is inference, so model(tile) and the exported model answer as `predict` does, and
# leave the weights alone. Resizing has nothing random and no state.
# Observed (Keras 3.15.1, TensorFlow 2.21.0): Resizing and CenterCrop take part in training by default, and layers behind
# them without a default of their own follow: batch normalization uses the statistics of the batch and moves its running
# ones, in a direct call and in the SavedModel of Model.export. A tile gets other probabilities in another batch, and
# `predict` changes after a call. With UpSampling2D, or Resizing called with training=False, nothing of this occurs.
# Why it matters: a served classifier that enlarges tiles answers for the batch instead of the tile, and differs from the
# accuracy that `evaluate` measured. Call the layer as Resizing(...)(tiles, training=False) when the model is built.
# Source: Keras' documentation of the layers Resizing and BatchNormalization (argument `training`), and of Model.export.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf

layers = {
    "Resizing": keras.layers.Resizing(16, 16),
    "CenterCrop": keras.layers.CenterCrop(6, 6),
    "UpSampling2D": keras.layers.UpSampling2D(2),
    "Resizing, training=False": lambda tiles: keras.layers.Resizing(16, 16)(tiles, training=False),
}
tiles = (np.random.default_rng(0).random((4, 8, 8, 3)) * 9).astype("float32")
found = {}
for name, layer in layers.items():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    values = keras.layers.Conv2D(4, 3)(layer(inputs))
    values = keras.layers.BatchNormalization()(values)
    values = keras.layers.GlobalAveragePooling2D()(values)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(values))
    predicted = model.predict(tiles, verbose=0)
    model.export("served", verbose=False)
    served = tf.saved_model.load("served")
    alone, among = served.serve(tiles[:1]).numpy()[0], served.serve(tiles).numpy()[0]
    called = model(tiles).numpy()
    later = model.predict(tiles, verbose=0)
    close = {
        "call is predict": np.allclose(called, predicted, atol=1e-4),
        "served is predict": np.allclose(among, predicted[0], atol=1e-4),
        "served alone is served among others": np.allclose(alone, among, atol=1e-4),
        "predict after the call is as before": np.allclose(later, predicted, atol=1e-4),
    }
    found[name] = list(close.values())
    print(f"{name}:", ", ".join(f"{what}: {bool(answer)}" for what, answer in close.items()))
expected = {name: [name in ("UpSampling2D", "Resizing, training=False")] * 4 for name in layers}
if found != expected:
    print("changed:", found)
    sys.exit(1)
print("as recorded")
PYTHON
