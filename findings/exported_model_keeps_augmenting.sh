#!/usr/bin/env bash
# A Keras model with augmentation layers keeps augmenting after its export to a SavedModel.
#
# Expected: an export is for serving, so RandomRotation passes images through, as it does in `predict` and as
# Dropout does in the same export.
# Observed (Keras 3.15.1, TensorFlow 2.21.0): augmentation layers augment unless they are told that they are not in
# training, `predict` tells them, and the export does not. The served answer to the same tile differs from
# call to call.
# Why it matters: the served classifier answers about rotated or recolored tiles and its accuracy is below the
# one that was tracked. Build the exported model without the augmentation layers.
# Source: Keras' documentation of image augmentation layers, argument `training`, and of Model.export.
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

images = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
layers = {"RandomRotation": keras.layers.RandomRotation(0.3), "RandomContrast": keras.layers.RandomContrast(0.5),
          "Dropout": keras.layers.Dropout(0.5)}
seen = {}
for name, layer in layers.items():
    model = keras.Sequential([keras.Input((8, 8, 3)), layer, keras.layers.Flatten()])
    predicted = model.predict(images, verbose=0)
    model.export(name, verbose=False)
    served = tf.saved_model.load(name)
    answers = [served.serve(images).numpy() for _ in range(2)]
    seen[name] = (np.allclose(answers[0], predicted), np.allclose(answers[0], answers[1]))
print("keras", keras.__version__, "tensorflow", tf.__version__)
print("layer: the served answer equals predict, two served answers are equal")
for name, what in seen.items():
    print(f"  {name}:", *what)
sys.exit(0 if seen == {"RandomRotation": (False, False), "RandomContrast": (False, False), "Dropout": (True, True)} else 1)
PYTHON
