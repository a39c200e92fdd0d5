#!/usr/bin/env bash
# The macro F1 of Keras is 0.8 for a split on which no tile is classified wrongly.
#
# Expected: 1.0, as of scikit-learn for the same tiles, and as of Keras' own MeanIoU, which leaves out classes without
# tiles. Or undefined for these classes.
# Observed (Keras 3.15.1, JAX backend): a class that is neither in the split nor predicted has an F1 of 0, and the macro
# average divides by all classes of the one-hot labels. With 8 of 10 classes in a split, the best possible value is 0.8;
# the micro and weighted averages are 1.0. FBetaScore does the same.
# Why it matters: splits by site or by date miss classes. Macro F1 of validation and of testing then have different upper
# limits, a gap between them looks like overfitting, and a threshold for promotion may be out of reach.
# Source: https://keras.io/api/metrics/classification_metrics/ (F1Score, average="macro").
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 scikit-learn==1.9.1 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
import keras
import numpy as np
import sklearn
from sklearn.metrics import f1_score

CLASSES = 10
labels = np.repeat(np.arange(8), 5)
one_hot = np.eye(CLASSES, dtype="float32")[labels]


def of(metric, *values):
    metric.update_state(*values)
    return round(float(metric.result()), 4)


print("Keras", keras.__version__, "scikit-learn", sklearn.__version__)
found = {f"F1Score, {average}": of(keras.metrics.F1Score(average), one_hot, one_hot) for average in ("macro", "micro", "weighted")}
found["FBetaScore, macro"] = of(keras.metrics.FBetaScore("macro"), one_hot, one_hot)
found["MeanIoU"] = of(keras.metrics.MeanIoU(CLASSES), labels, labels)
found["scikit-learn, macro"] = float(f1_score(labels, labels, average="macro"))
for name, value in found.items():
    print(f"  {name}: {value}")
as_recorded = {"F1Score, macro": 0.8, "FBetaScore, macro": 0.8}
sys.exit(0 if found == dict.fromkeys(found, 1.0) | as_recorded else 1)
PYTHON
