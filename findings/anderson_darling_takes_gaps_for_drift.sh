#!/usr/bin/env bash
# Missing values turn SciPy's Anderson-Darling test of two equal distributions into proof of a difference.
#
# Expected: NaN for NaN, as from SciPy's other tests of two samples (ks_2samp, cramervonmises_2samp, mannwhitneyu).
# Observed (SciPy 1.17.1): anderson_ksamp has no nan_policy and sorts NaN behind all numbers, as one block of largest
# values. With 20 % missing in one of two samples from the same distribution its p-value is 0.001, the smallest
# that it gives. There is no NaN, and no warning about one.
# Why it matters: a drift check of band statistics or scores with gaps (clouds, nodata) raises the alarm for the
# number of gaps. Drop and count NaN first.
# Source: SciPy's reference of anderson_ksamp, and its guide to nan_policy.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(0)
before, after = rng.normal(size=(2, 500))
with_gaps = after.copy()
with_gaps[:100] = np.nan  # which of them are missing does not depend on their values
tests = {"anderson_ksamp": lambda one, other: stats.anderson_ksamp([one, other], variant="midrank"),
         "ks_2samp": stats.ks_2samp, "cramervonmises_2samp": stats.cramervonmises_2samp,
         "mannwhitneyu": stats.mannwhitneyu}
seen = {}
print("scipy", scipy.__version__, "numpy", np.__version__)
print("p-value of 500 and 500 values; of 500 and the 400 known; of 500 and 500 of which 100 are NaN; NaN warned of:")
for name, test in tests.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = [float(test(before, other).pvalue) for other in (after, after[100:], with_gaps)]
    seen[name] = (*values, any("nan" in str(warning.message).lower() for warning in caught))
    print(f"  {name}:", *seen[name])
whole, known, gaps, warned = seen.pop("anderson_ksamp")
sys.exit(0 if min(whole, known) > 0.05 and gaps == 0.001 and not warned
         and all(np.isnan(what[2]) for what in seen.values()) else 1)
PYTHON
