#!/usr/bin/env bash
# scikit-learn's weighted kappa treats classes 1 and 3 as neighbors where no tile is of class 2.
#
# Expected: with weights="quadratic", an error between classes 1 and 3 costs (3 - 1)² = 4 times one between 0 and 1: the
# weights are those of the values of the labels, which are integers.
# Observed (scikit-learn 1.9.1): the weights are those of the positions among the labels that occur. Of two models on
# tiles of the classes 0, 1 and 3, the one with 12 errors between 1 and 3 has the higher kappa (0.970, the one with 20
# errors between 0 and 1 has 0.950); with labels=[0, 1, 2, 3], the order is the other way (0.949 and 0.979). There is no
# warning.
# Why it matters: tiles of ordered grades, such as drought by how many cows a pasture can feed (0 to 3), damage or stages
# of a disease, are scored by this figure. In a region, fold or small test split without one grade, gross errors become
# small ones, and another model wins. The figure also moves as soon as any model predicts that grade once.
# Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.cohen_kappa_score.html; J. Cohen, 1968,
# "Weighted kappa", Psychological Bulletin 70(4).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
from sklearn.metrics import cohen_kappa_score

GRADES = range(4)
truth = np.repeat([0, 1, 3], 100)
nearby, gross = truth.copy(), truth.copy()
nearby[90:110] = 1 - nearby[90:110]  # 10 tiles of class 0 as 1, and 10 of class 1 as 0
gross[194:206] = 4 - gross[194:206]  # 6 tiles of class 1 as 3, and 6 of class 3 as 1


def by_values(predicted):
    """Compute the weighted kappa with the squared differences of the labels' values."""
    counts = np.zeros((len(GRADES), len(GRADES)))
    np.add.at(counts, (truth, predicted), 1)
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    weights = np.square(np.subtract.outer(GRADES, GRADES))
    return round(1 - float((weights * counts).sum() / (weights * by_chance).sum()), 3)


def kappas(**options):
    """Return the kappas of the model with errors between neighbors and of the one with gross errors."""
    return tuple(
        round(float(cohen_kappa_score(truth, model, weights="quadratic", **options)), 3) for model in (nearby, gross)
    )


found = {
    "of the labels' values": (by_values(nearby), by_values(gross)),
    "cohen_kappa_score": kappas(),
    "with all labels": kappas(labels=list(GRADES)),
}
recorded = {
    "of the labels' values": (0.979, 0.949),
    "cohen_kappa_score": (0.95, 0.97),
    "with all labels": (0.979, 0.949),
}
for name, (first, second) in found.items():
    print(f"{name}: 20 errors between 0 and 1 {first}, 12 errors between 1 and 3 {second}")
if found != recorded:
    print("CHANGED: recorded were", recorded)
    raise SystemExit(1)
print("as recorded")
PYTHON
