#!/usr/bin/env bash
# A LightGBM model trained on complete bands takes NaN for the number 0.
#
# Expected: NaN goes the way of most training pixels, as in scikit-learn, or to the side for missing values, which is
# how LightGBM's documentation describes its default; it is no number.
# Observed (lightgbm 4.7.0, scikit-learn 1.9.1, numpy 2.4.6): where a band has no NaN in training, NaN in prediction is
# replaced by 0. Of backscatter in dB, 0 is brighter than all: all of 4,000 pixels without a measurement are built-up,
# with the probabilities of 0 dB bit for bit, at least 0.98, though 90 % of the training pixels are water. In kelvins, 0
# is colder than all, and all are frozen. HistGradientBoostingClassifier and RandomForestClassifier take them for the
# frequent class. So does LightGBM if 1 % of the training pixels have NaN. `use_missing` is on by default, and nothing
# warns.
# Why it matters: training pixels are chosen without gaps, and scenes have them: a missing polarization, clouds, the
# edge of the swath. The map shows certain classes there, of whichever class 0 belongs to.
# Source: https://lightgbm.readthedocs.io/en/stable/Advanced-Topics.html (Missing Value Handle).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lightgbm==4.7.0 scikit-learn==1.9.1 \
  numpy==2.4.6 || exit 2
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import lightgbm
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

rng = np.random.default_rng(0)


def pixels(middle: float, spread: float, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels of a band and of noise, with label 1 for the tenth of them on the side of `limit` where 0 is."""
    bands = np.column_stack([rng.normal(middle, spread, 4000), rng.uniform(-0.1, 0.9, 4000)])
    return bands, ((bands[:, 0] > limit) == (limit < 0)).astype(int)


models = {
    "LGBMClassifier": lambda: lightgbm.LGBMClassifier(n_estimators=50, n_jobs=1, random_state=0, verbose=-1),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "RandomForest": lambda: RandomForestClassifier(50, random_state=0),
}
print("lightgbm", lightgbm.__version__, "scikit-learn", sklearn.__version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for unit, settings in (("dB", (-18, 3, -14.155)), ("K", (295, 8, 284.75))):
        train, labels = pixels(*settings)
        test, truth = pixels(*settings)
        missing, zero = test.copy(), test.copy()
        missing[:, 0], zero[:, 0] = np.nan, 0
        with_gaps = train.copy()
        with_gaps[::100, 0] = np.nan
        print(f"  {unit}: {labels.mean():.1%} of the training pixels are of class 1")
        for name, make in models.items():
            for kind, table in (("complete", train), ("1 % NaN", with_gaps)):
                model = make().fit(table, labels)
                share = float(model.predict(missing).mean())
                same = bool(np.array_equal(model.predict_proba(missing), model.predict_proba(zero)))
                found[unit, name, kind] = share, same
                print(f"    {name}, trained on {kind} pixels: accuracy {model.score(test, truth):.3f};", end=" ")
                print(f"NaN is class 1 in {share:.1%}, lowest {model.predict_proba(missing)[:, 1].min():.3f},", end=" ")
                print(f"probabilities as for 0: {same}")
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    all(
        (share, same) == (1, True) if (name, kind) == ("LGBMClassifier", "complete") else share < 0.2 and not same
        for (_, name, kind), (share, same) in found.items()
    )
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
