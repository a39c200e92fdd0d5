#!/usr/bin/env bash
# Comparing the predictions of a CatBoost classifier with the labels gives an accuracy of 1/3 for a perfect model.
#
# Expected: `predict` gives one class per tile, `(tiles,)`, as in scikit-learn, LightGBM and XGBoost, whose interface
# CatBoostClassifier follows, and as CatBoost itself does for two classes.
# Observed (CatBoost 1.2.10): with three classes or more, `predict` gives `(tiles, 1)`. `(model.predict(x) == y).mean()`
# then compares each tile with the labels of all, without an error: the result is the agreement by chance, 1/3 for three
# balanced classes, whatever the model has learned. `model.score` and scikit-learn's metrics give 1.0.
# Why it matters: the script that compared classifiers of band means with two classes is silently wrong with the third;
# the matrix has as many entries as the square of the number of tiles.
# Source: https://catboost.ai/docs/en/concepts/python-reference_catboostclassifier_predict.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check catboost==1.2.10 scikit-learn==1.9.1 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import catboost
import numpy as np
from sklearn.metrics import accuracy_score

tiles = 30
print("CatBoost", catboost.__version__)
found = {}
for classes in (2, 3, 5):
    labels = np.repeat(np.arange(classes), tiles)
    band_means = np.random.default_rng(0).normal(size=(len(labels), 4))
    band_means[:, 0] += 20 * labels
    model = catboost.CatBoostClassifier(iterations=20, verbose=0, allow_writing_files=False, random_seed=0)
    predicted = model.fit(band_means, labels).predict(band_means)
    found[classes] = (
        predicted.shape,
        round(float((predicted == labels).mean()), 4),
        float(model.score(band_means, labels)),
        float(accuracy_score(labels, predicted)),
    )
    print(f"  {classes} classes: shape {found[classes][0]}, mean of ==, score, accuracy_score: {found[classes][1:]}")
as_recorded = {
    2: ((60,), 1.0, 1.0, 1.0),
    3: ((90, 1), 0.3333, 1.0, 1.0),
    5: ((150, 1), 0.2, 1.0, 1.0),
}
sys.exit(0 if found == as_recorded else 1)
PYTHON
