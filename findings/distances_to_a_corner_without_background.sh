#!/usr/bin/env bash
# The distance map of a tile that one class fills holds distances to a point above the tile's upper left corner.
#
# Expected: without background, distances are infinite, as none exists, or the call raises.
# Observed (SciPy 1.17.1, OpenCV 5.0.0): `scipy.ndimage.distance_transform_edt` gives distances to row -1, column 0: from 1
# in the corner to 180 at the opposite end of a tile of 128 x 128. The values are in the range of proper ones. Of a field
# that fills a scene of 512 x 512 but for its frame, the four inner tiles get one and the same map, up to 254 pixels from the
# distances of the scene. OpenCV gives 3.4e38, `distance_transform_cdt` -1 and `distance_transform_bf` 1.3e154, which are
# conspicuous. Nothing warns.
# Why it matters: boundary losses, weight maps, seeds of a watershed and blending weights are such maps, of single tiles. Of
# tiles cut from forests, lakes or tissue many are full, and of a mask's complement all those without the class.
# Source: https://docs.scipy.org/doc/scipy/reference/generated/scipy.ndimage.distance_transform_edt.html, which does not
# mention it, and https://github.com/scipy/scipy/issues/1616 (open).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 opencv-python-headless==5.0.0.93 \
  numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import cv2
import numpy as np
import scipy
from scipy import ndimage

field = np.zeros((512, 512), "uint8")
field[1:-1, 1:-1] = 1
inner = [np.s_[top : top + 128, left : left + 128] for top in (128, 256) for left in (128, 256)]
rows, columns = np.mgrid[:128, :128]
print("SciPy", scipy.__version__, "OpenCV", cv2.__version__)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    scene = ndimage.distance_transform_edt(field)
    tiles = [ndimage.distance_transform_edt(field[place]) for place in inner]
    nearest = ndimage.distance_transform_edt(field[inner[0]], return_distances=False, return_indices=True)
    others = {
        "cv2.distanceTransform": cv2.distanceTransform(field[inner[0]], cv2.DIST_L2, 5),
        "distance_transform_cdt": ndimage.distance_transform_cdt(field[inner[0]]),
        "distance_transform_bf": ndimage.distance_transform_bf(field[:16, :16] * 0 + 1),
    }
same = all((tile == tiles[0]).all() for tile in tiles)
to_corner = bool(np.allclose(tiles[0], np.hypot(rows + 1, columns)))
apart = max(float(abs(tile - scene[place]).max()) for tile, place in zip(tiles, inner, strict=True))
print(f"  full tiles: distances from {tiles[0].min():.0f} to {tiles[0].max():.0f}, the same for all four: {same}")
indices = [np.unique(axis).tolist() for axis in nearest]
print(f"  those to row -1, column 0: {to_corner}; nearest background by its indices: {indices}")
least = min(scene[place].min() for place in inner)
print(f"  the scene's distances in them: {least:.0f} to {scene.max():.0f}; at most {apart:.0f} apart")
for name, values in others.items():
    print(f"  {name}: {np.unique(values)}")
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    same
    and to_corner
    and indices == [[-1], [0]]
    and apart > 100
    and (others["cv2.distanceTransform"] > 1e30).all()
    and (others["distance_transform_cdt"] == -1).all()
    and (others["distance_transform_bf"] > 1e100).all()
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
