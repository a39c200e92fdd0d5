#!/usr/bin/env bash
# XGBoost learns nothing from sample weights that add up to 1.
#
# Expected: only the ratios of sample weights matter, so a model is the same, or nearly so, whether they add up to 1 or
# to the number of samples, as in scikit-learn.
# Observed (xgboost-cpu 3.2.0, scikit-learn 1.9.1, numpy 2.4.6): a leaf must hold a `min_child_weight` of 1, which is
# the sum of the weights times the curvature of the loss. Of 2,000 pixels of three classes, XGBClassifier tells 100 % of
# others right if the weights add up to 2,000, 98 % for 20, and 50 % for 2 or 1: then no tree has a split, and every
# pixel is the most frequent class with one probability. With `min_child_weight=0` and `reg_lambda=0` it is right for
# any sum, as are HistGradientBoostingClassifier and RandomForestClassifier, whose default limits count samples. `fit`
# says nothing.
# Why it matters: shares of the area that samples stand for, or probabilities of being drawn, add up to 1, and are what
# surveys of land cover are weighted with. A model of one class looks like classes that cannot be told apart.
# Source: https://xgboost.readthedocs.io/en/stable/parameter.html (min_child_weight).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xgboost-cpu==3.2.0 scikit-learn==1.9.1 numpy==2.4.6 \
  || exit 2
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import sklearn
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

rng = np.random.default_rng(0)
bands = rng.normal(size=(4000, 4))
labels = (bands[:, 0] > 0).astype(int) + (bands[:, 1] > 1)
areas = rng.uniform(0.5, 2, 2000)
common = {"n_estimators": 50, "n_jobs": 1, "random_state": 0}
models = {
    "XGBClassifier": lambda: xgboost.XGBClassifier(**common),
    "XGBClassifier without limits": lambda: xgboost.XGBClassifier(**common, min_child_weight=0, reg_lambda=0),
    "HistGradientBoostingClassifier": lambda: HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "RandomForestClassifier": lambda: RandomForestClassifier(**common),
}
print("xgboost", xgboost.__version__, "scikit-learn", sklearn.__version__, "numpy", np.__version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name, make in models.items():
        for total in (2000, 20, 2, 1):
            model = make().fit(bands[:2000], labels[:2000], sample_weight=areas / areas.sum() * total)
            accuracy = float(model.score(bands[2000:], labels[2000:]))
            classes = np.unique(model.predict(bands[2000:]))
            different = np.unique(model.predict_proba(bands[2000:])[:, 0])
            found[name, total] = accuracy, len(different)
            print(f"  {name}, weights add up to {total}: accuracy {accuracy:.3f},", end=" ")
            print(f"classes {classes.tolist()}, different probabilities of class 0: {len(different)}")
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    all(
        found[name, total][0] < 0.55 and found[name, total][1] == 1
        if name == "XGBClassifier" and total < 20
        else found[name, total][0] > 0.95
        for name, total in found
    )
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
