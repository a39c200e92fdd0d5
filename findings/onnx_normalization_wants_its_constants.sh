#!/usr/bin/env bash
# A Keras model with a Normalization layer has three inputs after its export to ONNX: the image and two constants.
#
# Expected: the exported file takes what the model takes, one batch of images.
# Observed (Keras 3.15.1, TensorFlow 2.21.0, tf2onnx 1.17.0): a Normalization given its mean and variance becomes a
# Sub and a Sqrt whose constants are inputs of the graph without a value, so a session fed with images alone
# refuses to run. The export says nothing. `x * scale + offset` in a Rescaling layer leaves one input.
# Why it matters: standardized bands are how most classifiers of satellite tiles begin; the file passes
# onnx's checker and fails in the serving container. Count the session's inputs after every export.
# Source: Keras' documentation of Model.export, format="onnx".
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1 tf2onnx==1.17.0 onnx==1.23.2 onnxruntime==1.32.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

images = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
mean, variance = np.array([0.1, 0.2, 0.3]), np.array([0.04, 0.09, 0.16])
layers = {"Normalization": keras.layers.Normalization(mean=mean, variance=variance),
          "Rescaling": keras.layers.Rescaling(scale=1 / np.sqrt(variance), offset=-mean / np.sqrt(variance))}
seen = {}
for name, layer in layers.items():
    model = keras.Sequential([keras.Input((8, 8, 3)), layer, keras.layers.GlobalAveragePooling2D()])
    model.predict(images, verbose=0)
    model.export(f"{name}.onnx", format="onnx", verbose=False)
    onnx.checker.check_model(f"{name}.onnx")
    session = onnxruntime.InferenceSession(f"{name}.onnx")
    inputs = [entry.name for entry in session.get_inputs()]
    try:
        session.run(None, {inputs[0]: images})
        seen[name] = (len(inputs), "runs")
    except ValueError:
        seen[name] = (len(inputs), "refuses")
print("keras", keras.__version__, "tensorflow", tf.__version__, "onnx", onnx.__version__, "onnxruntime",
      onnxruntime.__version__)
for name, (inputs, verdict) in seen.items():
    print(f"  {name}: {inputs} inputs; fed with images alone it {verdict}")
sys.exit(0 if seen == {"Normalization": (3, "refuses"), "Rescaling": (1, "runs")} else 1)
PYTHON
