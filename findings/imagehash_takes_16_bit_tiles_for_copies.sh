#!/usr/bin/env bash
# Perceptual hashes by ImageHash are equal for all tiles of 16 bits, whatever they show.
#
# Expected: hashes of tiles that have nothing in common differ in about half of their 64 bits, in 8 bits as in 16.
# Observed (ImageHash 4.3.2, Pillow 13.0.0): on gray tiles of uint16 with reflectances from 500 to 4000, phash, dhash,
# average_hash and whash give one value for all 20 tiles; the same tiles divided by 16, as uint8, give 20. ImageHash
# converts to mode "L", for which Pillow cuts each value at 255: all tiles are white. There is no warning.
# Why it matters: hashes are used to find copies of tiles across splits, and to keep one of each. Of a set of 16-bit bands
# or micrographs, one tile would be left; or the check reports that training and test set are the same.
# Source: https://github.com/JohannesBuchner/imagehash (README: no restriction of the type of image).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  ImageHash==4.3.2 pillow==13.0.0 numpy==2.4.6 PyWavelets==1.8.0 scipy==1.17.0 || exit 2
"$folder/venv/bin/python" -W error - <<'PYTHON'
from itertools import combinations
from statistics import median

import imagehash
import numpy as np
from PIL import Image

rng = np.random.default_rng(0)
coarse = rng.integers(500, 4001, (20, 8, 8)).astype("uint16")
tiles = coarse.repeat(8, axis=1).repeat(8, axis=2)  # fields of 8 x 8 pixels

found = {}
for name in ("phash", "dhash", "average_hash", "whash"):
    hashes = {
        dtype: [getattr(imagehash, name)(Image.fromarray(tile)) for tile in stack]
        for dtype, stack in {"uint16": tiles, "uint8": (tiles // 16).astype("uint8")}.items()
    }
    found[name] = {
        dtype: (len(set(map(str, of_tiles))), median(a - b for a, b in combinations(of_tiles, 2)))
        for dtype, of_tiles in hashes.items()
    }
    for dtype, (different, bits) in found[name].items():
        print(f"{name}, {dtype}: {different} hashes of 20 tiles; two differ in {bits} of 64 bits (median)")
as_recorded = all(
    by_dtype["uint16"] == (1, 0) and by_dtype["uint8"][0] == 20 and 25 <= by_dtype["uint8"][1] <= 36
    for by_dtype in found.values()
)
print("as recorded" if as_recorded else "CHANGED")
raise SystemExit(0 if as_recorded else 1)
PYTHON
