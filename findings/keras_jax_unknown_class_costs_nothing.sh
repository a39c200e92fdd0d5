#!/usr/bin/env bash
# On the JAX backend of Keras, tiles of a class that the model does not know cost nothing.
#
# Expected: a label beyond the model's classes raises, as it does on the TensorFlow backend on CPUs, or gives NaN.
# Observed (Keras 3.15.1, JAX 0.10.2): its one-hot row is all zeros, so its cross-entropy is 0, the loss of a perfect
# answer. With half of the labels at 255 the evaluated loss is about half of what it was; nothing is logged.
# Why it matters: 255 is the usual "no label" of Earth observation masks, and label maps grow. The loss falls where
# labels are wrong, so model selection by validation loss prefers the split with more of them. Check
# labels against the number of classes before fit.
# Source: Keras' documentation of SparseCategoricalCrossentropy, and of ignore_class, which is off by default.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 tensorflow-cpu==2.21.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import subprocess
import sys

CODE = """
import keras
import numpy as np

rng = np.random.default_rng(0)
features, labels = rng.normal(size=(200, 5)).astype("float32"), rng.integers(0, 3, 200)
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, activation="softmax")])
model.compile(loss="sparse_categorical_crossentropy")
known = model.evaluate(features, labels, verbose=0)
alone = model.evaluate(features[100:], labels[100:], verbose=0)
labels[:100] = 255
try:
    print("LOSS", known, alone, model.evaluate(features, labels, verbose=0))
except Exception as error:
    print("LOSS", known, alone, type(error).__name__)
"""
seen = {}
for backend in ("jax", "tensorflow"):
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, env=environment)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("LOSS")]
    if not lines:
        print(done.stderr[-2000:])
        sys.exit(1)
    seen[backend] = lines[0]
print("keras 3.15.1, jax 0.10.2, tensorflow 2.21.0")
print("loss of 200 tiles; of the second half; of all with the first half labelled 255:")
for backend, losses in seen.items():
    print(f"  {backend}:", *losses)
_, alone, half = (float(value) for value in seen["jax"])
sys.exit(0 if abs(half - alone / 2) < 1e-4 and seen["tensorflow"][2] == "InvalidArgumentError" else 1)
PYTHON
