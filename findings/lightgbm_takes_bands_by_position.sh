#!/usr/bin/env bash
# A LightGBM model trained on named bands takes them by position, where scikit-learn refuses another order.
#
# Expected: a model fitted on a table with columns B02, B03, B04 and B08 finds them by name in another table, or refuses
# columns in another order, as every estimator of scikit-learn does.
# Observed (lightgbm 4.7.0, scikit-learn 1.9.1, pandas 3.1.1): `LGBMClassifier` stores the names (`feature_names_in_`),
# but `predict` takes the columns as they stand: with B08 first the accuracy falls from 0.98 to 0.51, that of guessing,
# and radar columns of other names pass for the bands. `Booster.predict` does the same. scikit-learn's
# HistGradientBoostingClassifier raises for both tables, LightGBM only with `validate_features=True`, which is off.
# Nothing warns.
# Why it matters: classifiers of pixels for clouds and crops are LightGBM's, and bands come in the order of the catalog,
# of the alphabet (B02, B08, B8A against B02, B8A, B08) or of a SQL query. Maps of swapped bands look like maps.
# Source: https://lightgbm.readthedocs.io/en/stable/pythonapi/lightgbm.LGBMClassifier.html (predict, validate_features).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lightgbm==4.7.0 scikit-learn==1.9.1 pandas==3.1.1 \
  numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import lightgbm
import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier

rng = np.random.default_rng(0)
pixels = pd.DataFrame(rng.normal(1500, 400, (4000, 4)), columns=["B02", "B03", "B04", "B08"])
vegetation = (pixels.B08 > pixels.B04).astype(int)
train, test, labels = pixels[:3000], pixels[3000:], vegetation[3000:]
tables = {
    "same order": test,
    "other order": test[["B08", "B04", "B03", "B02"]],
    "other names": test.set_axis(["VV", "VH", "angle", "slope"], axis=1),
}
print("lightgbm", lightgbm.__version__, "scikit-learn", sklearn.__version__, "pandas", pd.__version__)
forest = lightgbm.LGBMClassifier(n_estimators=50, n_jobs=1, random_state=0, verbose=-1).fit(train, vegetation[:3000])
ways = {
    "LGBMClassifier": forest.predict,
    "Booster": lambda table: forest.booster_.predict(table) > 0.5,
    "validate_features": lambda table: forest.predict(table, validate_features=True),
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier(random_state=0)
    .fit(train, vegetation[:3000])
    .predict,
}
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for way, predict in ways.items():
        for name, table in tables.items():
            try:
                found[way, name] = float((predict(table) == labels).mean())
            except (ValueError, lightgbm.basic.LightGBMError) as error:
                found[way, name] = type(error).__name__
            print(f"  {way}, {name}: {found[way, name]}")
print("  names in the model:", forest.feature_names_in_.tolist())
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    all(
        found[way, "same order"] == found[way, "other names"] > 0.95 and found[way, "other order"] < 0.6
        for way in ("LGBMClassifier", "Booster")
    )
    and all(
        found[way, name] == error
        for way, error in (("validate_features", "LightGBMError"), ("HistGradientBoostingClassifier", "ValueError"))
        for name in ("other order", "other names")
    )
    and forest.feature_names_in_.tolist() == ["B02", "B03", "B04", "B08"]
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
