#!/usr/bin/env bash
# Shifting or rotating a tile of 13 bands with OpenCV fills bands 1, 5, 9 and 13 with nodata, and the others with 0.
#
# Expected: one number as the border value holds for all bands; or an error, as from copyMakeBorder, which demands one
# value for all bands of such a tile.
# Observed (OpenCV 5.0.0): `warpAffine` takes a number v as (v, 0, 0, 0) and repeats these four over the bands: bands 1, 5,
# 9 and 13 get -9999 and the others 0, a valid reflectance. Thirteen values are refused; (v, v, v, v) fills all bands.
# copyMakeBorder refuses the number v for more than four bands.
# Why it matters: augmentation by warpAffine works for tiles of any number of bands, so the corners of rotated tiles look
# like data in nine of 13 bands, and a mask by "all bands are nodata" finds none of them.
# Source: https://docs.opencv.org/5.x/ (warpAffine, borderValue; Scalar).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

NODATA, BANDS = -9999, 13
tile = np.full((8, 8, BANDS), 3000, np.float32)
shift = np.array([[1, 0, 3], [0, 1, 0]], np.float32)


def shifted(value):
    moved = cv2.warpAffine(tile, shift, (8, 8), borderMode=cv2.BORDER_CONSTANT, borderValue=value)
    return moved[0, 0].astype(int).tolist()


def refused(function):
    try:
        function()
    except cv2.error:
        return True
    return False


print("OpenCV", cv2.__version__)
one, four = shifted(NODATA), shifted((NODATA,) * 4)
print("  border of", NODATA, "in each band:", one)
print("  border of four values:", four)
all_refused = refused(lambda: shifted((NODATA,) * BANDS))
copy_refused = refused(lambda: cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=NODATA))
print("  13 values refused:", all_refused, "copyMakeBorder refuses one value:", copy_refused)
as_recorded = one == [0 if band % 4 else NODATA for band in range(BANDS)] and four == [NODATA] * BANDS
sys.exit(0 if as_recorded and all_refused and copy_refused else 1)
PYTHON
