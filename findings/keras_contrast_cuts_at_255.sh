#!/usr/bin/env bash
# Keras' RandomContrast cuts training pixels to 0 to 255, though its documentation allows any range.
#
# Expected: `RandomContrast(0.1)` moves each pixel away from its channel's mean or toward it by up to 10 %, for pixels of
# any range, as its documentation says, or asks for their range.
# Observed (Keras 3.15.1 on JAX 0.10.2, and alike on TensorFlow 2.21.0): the result is cut to `value_range`, which is (0,
# 255) if not given. Of standardized bands, half of the pixels become 0: all that are darker than the mean. Of
# reflectances around 3,000, all become 255, and a tile is one color. It is so only in training; `predict` and `evaluate`
# pass pixels on as they are. With `value_range` of the pixels, they change by the contrast alone. Nothing warns.
# Why it matters: standardized input or digital numbers are the rule with satellite and microscope images. The model
# learns from empty or half empty tiles and is judged on whole ones, which reads as overfitting or a shift of the data.
# Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_contrast/ ("Input pixel values can be
# of any range").
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

standardized = np.random.default_rng(0).normal(0, 1, (32, 64, 64, 4)).astype("float32")
reflectances = standardized * 400 + 3000
print("Keras", keras.__version__, "on JAX", jax.__version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name, pixels, options in (
        ("standardized", standardized, {}),
        ("reflectances", reflectances, {}),
        ("standardized", standardized, {"value_range": (-10, 10)}),
        ("reflectances", reflectances, {"value_range": (0, 10_000)}),
    ):
        layer = keras.layers.RandomContrast(0.1, seed=0, **options)
        trained = np.asarray(layer(pixels, training=True))
        predicted = np.asarray(layer(pixels, training=False))
        at_ends = float(np.isin(trained, (0, 255)).mean())
        found[name, bool(options)] = at_ends, float(trained.std()), bool((predicted == pixels).all())
        print(f"  {name} {options}: in {pixels.min():.1f} to {pixels.max():.1f}, deviation {pixels.std():.2f};", end=" ")
        print(f"in training {trained.min():.1f} to {trained.max():.1f}, deviation {trained.std():.2f},", end=" ")
        print(f"{at_ends:.1%} at 0 or 255; in prediction unchanged: {found[name, bool(options)][2]}")
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    abs(found["standardized", False][0] - 0.5) < 0.01
    and found["reflectances", False][:2] == (1, 0)
    and all(found[name, True][0] == 0 for name in ("standardized", "reflectances"))
    and abs(found["standardized", True][1] - 1) < 0.1
    and abs(found["reflectances", True][1] - 400) < 40
    and all(values[2] for values in found.values())
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
