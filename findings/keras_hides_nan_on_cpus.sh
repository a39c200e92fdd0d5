#!/usr/bin/env bash
# A NaN pixel ruins a training on a CPU without a NaN in its loss, and a model of NaN weights predicts finite probabilities.
#
# Expected: NaN stays NaN. One NaN pixel makes the loss NaN, TerminateOnNaN stops, and predictions of such a tile are NaN.
# Observed (Keras 3.15.1, TensorFlow 2.21.0): in graphs, which `fit`, `evaluate` and `predict` run, oneDNN computes a
# convolution together with its ReLU, which turns NaN into 0. A training on 600 tiles, one of which has a NaN pixel, has
# finite losses in all epochs. Its kernel is NaN from then on and its accuracy falls to chance, though TerminateOnNaN
# watches. `predict` gives finite probabilities with a sum of 1, `model(tiles)` of the same model and tiles gives NaN. Of a
# model that was trained well, `predict` classifies a tile that is all NaN with a confidence of 1.0, `model(tile)` gives
# NaN. Without oneDNN (TF_ENABLE_ONEDNN_OPTS=0) all of these are NaN, and the training stops in its first epoch. oneDNN is
# on by default in the packages for Linux on x86-64; the script turns it on explicitly.
# Why it matters: NaN is the usual nodata value of float tiles. Tiles that were not masked are found on a GPU; on a CPU,
# the model is saved, and predictions of tiles with gaps look like all others. Check the weights, and the pixels.
# Source: https://keras.io/api/callbacks/terminate_on_nan.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1 || exit 2
cat > training.py <<'PYTHON'
import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

layers = keras.layers


def trained(tiles, labels):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(momentum=0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.TerminateOnNaN()
    return model, model.fit(tiles, labels, batch_size=32, epochs=4, verbose=0, callbacks=[stop]).history


rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 600)
tiles = (rng.normal(0, 1, (600, 16, 16, 3)) + labels[:, None, None, None]).astype("float32")
one_pixel, gap = tiles.copy(), np.full((1, 16, 16, 3), np.nan, "float32")
one_pixel[7, 5, 5, 0] = np.nan
ruined, history = trained(one_pixel, labels)
sound, _ = trained(tiles, labels)
found = {
    "losses": history["loss"],
    "accuracy": history["accuracy"][-1],
    "kernel is NaN": bool(np.isnan(ruined.layers[0].kernel.numpy()).any()),
    "predict of the ruined model": ruined.predict(tiles[:1], verbose=0)[0].tolist(),
    "call of the ruined model": np.asarray(ruined(tiles[:1]))[0].tolist(),
    "accuracy of the sound model": sound.evaluate(tiles, labels, verbose=0)[1],
    "predict of a gap": sound.predict(gap, verbose=0)[0].tolist(),
    "call of a gap": np.asarray(sound(gap))[0].tolist(),
}
Path(sys.argv[1]).write_text(json.dumps(found))
PYTHON
for state in 1 0; do
  export TF_ENABLE_ONEDNN_OPTS=$state
  "$folder/venv/bin/python" training.py "found_$state.json" >log.txt 2>&1 || { cat log.txt; exit 2; }
done
"$folder/venv/bin/python" - <<'PYTHON'
import json
import math
import sys
from pathlib import Path

fused, plain = (json.loads(Path(f"found_{state}.json").read_text()) for state in (1, 0))
for name, found in (("with oneDNN", fused), ("without", plain)):
    print(name)
    for key, value in found.items():
        print(f"  {key}:", ", ".join(f"{one:.3f}" for one in value) if isinstance(value, list) else value)


def is_nan(numbers):
    return all(math.isnan(one) for one in numbers)


def is_distribution(numbers):
    return abs(sum(numbers) - 1) < 1e-3


as_recorded = (
    len(fused["losses"]) == 4
    and all(math.isfinite(loss) for loss in fused["losses"])
    and fused["accuracy"] < 0.5
    and fused["accuracy of the sound model"] > 0.9
    and is_distribution(fused["predict of the ruined model"])
    and is_distribution(fused["predict of a gap"])
    and fused["kernel is NaN"]
    and plain["kernel is NaN"]
    and is_nan(fused["call of the ruined model"])
    and is_nan(fused["call of a gap"])
    and len(plain["losses"]) == 1
    and is_nan(plain["losses"])
    and is_nan(plain["predict of the ruined model"])
    and is_nan(plain["predict of a gap"])
)
sys.exit(0 if as_recorded else 1)
PYTHON
