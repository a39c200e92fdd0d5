#!/usr/bin/env bash
# In mixed precision, Keras' Normalization layer turns all digital numbers of a satellite band into 0.
#
# Expected: mixed precision computes convolutions in half precision; inputs of 16 bits are still told apart, or it raises.
# Observed (Keras 3.15.1, TensorFlow 2.21.0): under mixed_float16 the layer converts its variance to float16, where all
# above 65,504 is infinite: for a band with a standard deviation of 256 digital numbers or more, every pixel becomes 0
# and a model sees nothing, without an error or a NaN. `adapt` finds an infinite variance as well. Under mixed_bfloat16
# 3,000 neighboring digital numbers become 254 values. Rescaling keeps 1,746 and 221 of them. With dtype="float32" for
# this one layer, all 3,000 stay apart, and the rest of the model still computes in half precision.
# Why it matters: Sentinel-2's bands have standard deviations of 300 to 2,000. Turning mixed precision on for speed leaves
# a classifier that learns from nothing but the frequencies of the classes, or from a few hundred gray levels.
# Source: Keras' documentation of the Normalization layer and of mixed precision policies (autocast).
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

pixels = np.arange(1000, 4000, dtype="uint16")[:, None]
layers = {
    "Normalization": lambda: keras.layers.Normalization(mean=[2500.0], variance=[500.0**2]),
    "Rescaling": lambda: keras.layers.Rescaling(1 / 10_000),
    "Normalization in float32": lambda: keras.layers.Normalization(mean=[2500.0], variance=[500.0**2], dtype="float32"),
}
found = {}
for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
    keras.config.set_dtype_policy(policy)
    for name, layer in layers.items():
        inputs = keras.Input((1,), dtype="uint16")
        values = keras.Model(inputs, layer()(inputs)).predict(pixels, verbose=0).astype("float32")
        found[policy, name] = len(np.unique(values))
        print(f"{policy}, {name}: {found[policy, name]:,} values, {values.min():.3g} to {values.max():.3g}")
    adapted = keras.layers.Normalization()
    adapted.adapt(pixels)
    variance = float(np.ravel(adapted.variance)[0])
    print(f"{policy}, adapt: variance {variance:g}")
    found[policy, "adapt"] = np.isfinite(variance)
expected = {
    ("float32", "Normalization"): 3000,
    ("float32", "Rescaling"): 3000,
    ("float32", "Normalization in float32"): 3000,
    ("float32", "adapt"): True,
    ("mixed_bfloat16", "Normalization"): 254,
    ("mixed_bfloat16", "Rescaling"): 221,
    ("mixed_bfloat16", "Normalization in float32"): 3000,
    ("mixed_bfloat16", "adapt"): True,
    ("mixed_float16", "Normalization"): 1,
    ("mixed_float16", "Rescaling"): 1746,
    ("mixed_float16", "Normalization in float32"): 3000,
    ("mixed_float16", "adapt"): False,
}
if found != expected:
    print("changed:", found)
    sys.exit(1)
print("as recorded")
PYTHON
