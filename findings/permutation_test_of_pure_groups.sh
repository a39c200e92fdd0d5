#!/usr/bin/env bash
# scikit-learn's permutation test gives p = 1 to a perfect classifier if each group has one class.
#
# Expected: `groups` keeps samples of a field or scene in one fold, as in `cross_val_score`, and a classifier that is
# right for all of them has a small p-value.
# Observed (scikit-learn 1.9.1, numpy 2.4.6): with groups, labels are also permuted within their group only. Where all
# samples of a group have one label, no permutation changes anything: each permuted score equals the score of 1.0, and
# the p-value is 1.0. Without groups it is 0.01, the least of 99 permutations. Labels permuted per field, by hand, give
# 0.01 as well. Noise has p = 1.0 too, so the test cannot tell one from the other. If 2 of 40 fields hold both labels,
# only their 20 samples move: permuted scores are 0.965 to 0.995, and p is 0.01. Nothing warns.
# Why it matters: samples of a plot, field, slide or patient share their label and must not be split, so groups are
# given. A good model then looks like chance, and the study ends.
# Source: https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.permutation_test_score.html
# (groups).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 || exit 2
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import sklearn
from sklearn.model_selection import GroupKFold, cross_val_score, permutation_test_score
from sklearn.naive_bayes import GaussianNB

rng = np.random.default_rng(0)
fields, crops = np.repeat(np.arange(40), 10), rng.permutation(np.arange(40) % 2)
labels = crops[fields]
noise = rng.normal(size=(400, 3))
bands = noise + np.column_stack([10 * labels, np.zeros((400, 2))])
mixed = labels.copy()
mixed[:20] = np.tile([0, 1], 10)
mixed_bands = noise + np.column_stack([10 * mixed, np.zeros((400, 2))])
model, folds = GaussianNB(), GroupKFold(5)
print("scikit-learn", sklearn.__version__, "numpy", np.__version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name, table, truth, options in (
        ("bands, groups", bands, labels, {"groups": fields, "cv": folds}),
        ("bands, no groups", bands, labels, {"cv": 5}),
        ("noise, groups", noise, labels, {"groups": fields, "cv": folds}),
        ("bands, 2 mixed fields, groups", mixed_bands, mixed, {"groups": fields, "cv": folds}),
    ):
        score, permuted, p = permutation_test_score(model, table, truth, n_permutations=99, random_state=0, **options)
        found[name] = round(float(score), 3), round(float(np.ptp(permuted)), 3), float(p)
        print(f"  {name}: score {score:.3f}, permuted {permuted.min():.3f} to {permuted.max():.3f}, p = {p:.2f}")
    score = cross_val_score(model, bands, labels, groups=fields, cv=folds).mean()
    by_field = [
        cross_val_score(model, bands, rng.permutation(crops)[fields], groups=fields, cv=folds).mean() for _ in range(99)
    ]
    found["by hand"] = (1 + sum(one >= score for one in by_field)) / 100
    print(f"  labels of whole fields permuted by hand: {min(by_field):.3f} to {max(by_field):.3f},", end=" ")
    print(f"p = {found['by hand']:.2f}")
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    found["bands, groups"] == (1.0, 0.0, 1.0)
    and found["noise, groups"][1:] == (0.0, 1.0)
    and found["bands, no groups"][0] == 1.0
    and found["bands, no groups"][1] > 0.05
    and found["bands, no groups"][2] == found["by hand"] == 0.01
    and found["bands, 2 mixed fields, groups"][1] < 0.1
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
