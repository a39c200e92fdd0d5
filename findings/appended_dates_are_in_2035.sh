#!/usr/bin/env bash
# xarray appends the 3rd of January 2026, 10:30, to a Zarr cube as the 12th of August 2035.
#
# Expected: the date as it is, or cut to the whole day that the store counts in, or an error.
# Observed (xarray 2026.9.0, zarr 3.1.6): the cube counts days since 2026-01-01. Dates with hours do not fit, so xarray
# encodes them anew in minutes (3510) and appends these numbers to the store, whose units stay days. A warning says that
# the units are changed, which they are not. Zarr formats 2 and 3 alike.
# Why it matters: a cube that begins with daily composites gets its first single scene. All later dates are years off;
# selections by time, splits by time and seasons are of the wrong scenes. Set `units` in the encoding of the first write.
# Source: xarray's user guide, appending to existing Zarr stores; CF conventions, time coordinate.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xarray==2026.9.0 zarr==3.1.6 numpy==2.3.5 pandas==2.3.3 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import pandas as pd
import xarray as xr
import zarr


def cube(*times):
    return xr.Dataset({"cloud": ("time", [0.5] * len(times))}, {"time": pd.to_datetime(list(times))})


def appended(form):
    name = f"cube{form}.zarr"
    cube("2026-01-01", "2026-01-02").to_zarr(name, zarr_format=form, consolidated=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cube("2026-01-03T10:30").to_zarr(name, append_dim="time", zarr_format=form, consolidated=False)
    read = xr.open_zarr(name, consolidated=False)
    return read.time.encoding["units"], str(read.time.values[-1])[:16], len(said)


seen = {form: appended(form) for form in (2, 3)}
print("xarray", xr.__version__, "zarr", zarr.__version__, "pandas", pd.__version__)
for form, (units, last, said) in seen.items():
    print(f"  Zarr format {form}: 2026-01-03T10:30 appended, read as {last} in {units}; warnings: {said}")
sys.exit(0 if {what[1] for what in seen.values()} == {"2035-08-12T00:00"} else 1)
PYTHON
