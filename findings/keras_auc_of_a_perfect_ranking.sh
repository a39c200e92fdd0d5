#!/usr/bin/env bash
# Keras says AUC 0.5 of a classifier that ranks perfectly when its scores lie close together.
#
# Expected: the area under the ROC curve depends on the order of the scores only, give or take the interpolation.
# Observed (Keras 3.15.1): the curve is drawn at 200 fixed thresholds, 0.005 apart. Scores that all fall between two of
# them are one score, so a perfect ranking has the AUC of a coin; scores from 0 to 0.012 give it 0.945.
# scikit-learn gives 1.0 for both.
# Why it matters: probabilities of a rare class (a ship, a mine, one fire in a thousand tiles) are all small once
# they are calibrated, and early stopping on val_auc keeps the wrong epoch. Compute it from the scores, or raise
# num_thresholds far beyond the default.
# Source: Keras' reference of metrics.AUC, num_thresholds; scikit-learn's roc_auc_score.
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
from sklearn.metrics import roc_auc_score

labels = np.repeat([0, 1], 500)


def areas(highest, **options):
    scores = np.linspace(0, highest, 1000)  # each positive scores higher than every negative
    metric = keras.metrics.AUC(**options)
    metric.update_state(labels, scores)
    return round(float(metric.result()), 3), float(roc_auc_score(labels, scores))


seen = {highest: areas(highest) for highest in (1.0, 0.012, 0.0049)}
more = areas(0.0049, num_thresholds=20_000)
print("keras", keras.__version__, "scikit-learn", sklearn.__version__)
print("a perfect ranking with scores from 0 to this: AUC by Keras, by scikit-learn")
for highest, what in seen.items():
    print(f"  {highest}:", *what)
print("  0.0049, num_thresholds=20000:", *more)
sys.exit(0 if seen[1.0] == (1.0, 1.0) and seen[0.0049] == (0.5, 1.0) and seen[0.012] == (0.945, 1.0) and more == (1.0, 1.0) else 1)
PYTHON
