#!/usr/bin/env bash
# Tiles without a label become examples of the last class, between pandas and Keras' to_categorical.
#
# Expected: a label of -1 raises, or is a row of zeros, as in keras.ops.one_hot.
# Observed (Keras 3.15.1, TensorFlow 2.21.0, pandas 3.1.1): the codes of a categorical column are -1 where the label is
# missing, and keras.utils.to_categorical takes -1 for the last class, as NumPy's indices do. A label beyond the classes
# raises IndexError. For a tensor in place of an array, the same function gives zeros, as keras.ops.one_hot and tf.one_hot
# do.
# Why it matters: a survey's table has tiles that nobody has labelled yet. They are trained on as the class that is last
# in the alphabet, such as Water, and nothing raises or warns.
# Source: https://keras.io/api/utils/python_utils (to_categorical) and pandas' documentation of missing data in categoricals.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1 pandas==3.1.1 \
  || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import warnings

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

warnings.simplefilter("error")
labels = pd.Series(["Crop", None, "Water", "Forest", None], dtype="category")
codes = labels.cat.codes.to_numpy()


def classes(rows):
    """Return the class of each row, None for a row of zeros."""
    return [labels.cat.categories[row.argmax()] if row.any() else None for row in np.asarray(rows)]


found = {
    "pandas": [None if pd.isna(one) else one for one in labels],
    "to_categorical(codes)": classes(keras.utils.to_categorical(codes)),
    "to_categorical(codes, 3)": classes(keras.utils.to_categorical(codes, 3)),
    "to_categorical(tensor, 3)": classes(keras.utils.to_categorical(tf.constant(codes, "int32"), 3)),
    "keras.ops.one_hot": classes(keras.ops.one_hot(codes.astype("int32"), 3)),
    "tf.one_hot": classes(tf.one_hot(codes, 3)),
}
try:
    beyond = str(keras.utils.to_categorical([0, 3], 3))
except IndexError as error:
    beyond = type(error).__name__
print("keras", keras.__version__, "pandas", pd.__version__)
for way, rows in found.items():
    print(f"  {way}: {rows}")
print("  a label of 3 for three classes:", beyond)
invented = ["Crop", "Water", "Water", "Forest", "Water"]
as_recorded = (
    found["to_categorical(codes)"] == found["to_categorical(codes, 3)"] == invented
    and all(found[way] == found["pandas"] for way in found if "codes" not in way)
    and beyond == "IndexError"
)
sys.exit(0 if as_recorded else 1)
PYTHON
