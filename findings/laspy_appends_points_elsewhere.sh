#!/usr/bin/env bash
# Points that laspy appends to a file with another scale or offset land elsewhere.
#
# Expected: `append_points` adds points at their coordinates, as `write_points` does, or refuses points whose scale or
# offset is not the file's.
# Observed (laspy 2.7.0, numpy 2.4.6): in mode "a", laspy writes the stored integers of the points as they are, which
# the file then reads by its own scale and offset. A strip of 1,000 points that starts 1 km to the east with a scale of
# 1 mm, appended to one of 1 cm, lies over the first strip: from 500,000 to 510,000 instead of 501,000 to 502,000, and
# heights of 200 to 210 m become 2,000 to 2,100 m. With the same scale and another offset alone, it lies exactly on the
# first. The header's bounds say so too, with points that are elsewhere. `write_points` of both into a new file converts
# them: the coordinates are right to 1 cm. After `change_scaling` so does `append_points`. Nothing warns.
# Why it matters: strips and tiles of one flight have offsets of their own, as each is near its points, and appending is
# how files that do not fit into memory are joined. Canopy heights and terrain models get doubled or empty cells.
# Source: https://laspy.readthedocs.io/en/latest/api/laspy.lasappender.html (append_points).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check laspy==2.7.0 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import shutil
import sys
import warnings

import laspy
import numpy as np


def strip(name: str, east: float, scale: float) -> laspy.LasData:
    """Write and read a strip of 1,000 points over 1 km from `east` on, with heights of 200 to 210 m."""
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.scales, header.offsets = [scale] * 3, [east, 5_000_000, 0]
    points = laspy.LasData(header)
    points.x, points.y, points.z = east + np.arange(1000.0), 5_000_000 + np.arange(1000.0), 200 + np.arange(1000) / 100
    points.write(name)
    return laspy.read(name)


def seen(name: str) -> tuple[float, ...]:
    """Return the extent in x and z of the second strip in a file of two, and the largest x of the header."""
    points = laspy.read(name)
    x, z = np.asarray(points.x)[1000:], np.asarray(points.z)[1000:]
    return tuple(round(float(value), 2) for value in (x.min(), x.max(), z.min(), z.max(), points.header.maxs[0]))


print("laspy", laspy.__version__, "numpy", np.__version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    first = strip("first.las", 500_000, 0.01)
    for case, scale in (("other scale and offset", 0.001), ("other offset", 0.01)):
        second = strip("second.las", 501_000, scale)
        shutil.copy("first.las", "appended.las")
        with laspy.open("appended.las", mode="a") as file:
            file.append_points(second.points)
        with laspy.open("written.las", mode="w", header=first.header) as file:
            file.write_points(laspy.read("first.las").points)
            file.write_points(laspy.read("second.las").points)
        shutil.copy("first.las", "changed.las")
        second.change_scaling(scales=first.header.scales, offsets=first.header.offsets)
        with laspy.open("changed.las", mode="a") as file:
            file.append_points(second.points)
        for name in ("appended", "written", "changed"):
            found[case, name] = seen(f"{name}.las")
            print(f"  {case}, {name}: x {found[case, name][:2]}, z {found[case, name][2:4]},", end=" ")
            print("largest x of the header", found[case, name][4])
print("  warnings:", [str(one.message) for one in caught])
right = (501_000.0, 501_999.0, 200.0, 209.99, 501_999.0)
as_recorded = (
    all(found[case, name] == right for case, name in found if name != "appended")
    and found["other scale and offset", "appended"] == (500_000.0, 509_990.0, 2000.0, 2099.9, 509_990.0)
    and found["other offset", "appended"] == (500_000.0, 500_999.0, 200.0, 209.99, 500_999.0)
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
