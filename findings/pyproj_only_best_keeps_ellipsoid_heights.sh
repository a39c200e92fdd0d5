#!/usr/bin/env bash
# Heights are returned unchanged where a geoid grid is missing, also with only_best=True.
#
# Expected: the transformation from heights above the ellipsoid to heights above the sea needs the grid of a geoid, which
# no wheel holds. Without it, it fails; at least with `only_best=True`, whose documentation says so.
# Observed (pyproj 3.7.2, PROJ 9.5.1): `Transformer.from_crs("EPSG:4979", "EPSG:4326+5773")` (EGM96), `EPSG:9707`, EGM2008
# (`EPSG:4326+3855`) and NAVD88 (`EPSG:4326+5703`) all return 500.0 for 500.0, also with `only_best=True` and
# `errcheck=True`, by an operation called "ballpark vertical transformation". Nothing warns; the only traces are that name
# and an accuracy of -1. `allow_ballpark=False` refuses. The geoid lies up to 107 m off the ellipsoid.
# Why it matters: elevation is a common band, and those of drones and laser scanners are above the ellipsoid while those
# of Copernicus DEM and SRTM are above the sea: tiles of both sources differ by the geoid, and a model learns the source.
# Source: https://pyproj4.github.io/pyproj/stable/api/transformer.html (from_crs: only_best, allow_ballpark).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyproj==3.7.2 certifi==2026.10.19.post1 || exit 2
export PROJ_NETWORK=OFF PROJ_USER_WRITABLE_DIRECTORY="$folder"  # neither downloads grids nor finds downloaded ones
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import pyproj
from pyproj.exceptions import ProjError

VERTICAL = {"EGM96": "EPSG:4326+5773", "EGM96, one code": "EPSG:9707", "EGM2008": "EPSG:4326+3855"}
VERTICAL["NAVD88"] = "EPSG:4326+5703"
SETTINGS = {"default": {}, "only_best": {"only_best": True}, "no ballpark": {"allow_ballpark": False}}

print("pyproj", pyproj.__version__, "PROJ", pyproj.proj_version_str)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name, crs in VERTICAL.items():
        for setting, options in SETTINGS.items():
            try:
                transformer = pyproj.Transformer.from_crs("EPSG:4979", crs, always_xy=True, **options)
                height = transformer.transform(-100.0, 40.0, 500.0, errcheck=True)[2]
                found[name, setting] = (height, transformer.accuracy, "ballpark" in transformer.description)
            except ProjError as error:
                found[name, setting] = "refused"
                print("   ", str(error)[:100])
            print(f"  {name}, {setting}:", found[name, setting])
print("  warnings:", [str(one.message) for one in caught])
as_recorded = not caught and all(
    result == ("refused" if setting == "no ballpark" else (500.0, -1.0, True))
    for (_, setting), result in found.items()
)
sys.exit(0 if as_recorded else 1)
PYTHON
