#!/usr/bin/env bash
# Pillow's bilinear and bicubic rotation of a 16-bit image gives values from 0 to 255 that have nothing to do with it.
#
# Expected: `rotate` and `transform` interpolate a 16-bit gray image as `resize` does, or refuse it.
# Observed (Pillow 13.0.0): with BILINEAR and BICUBIC they interpolate single bytes. A uniform image of 3,000, rotated by 7
# degrees, has 175 different values from 0 to 184, and none is right; of a smooth ramp from 1,000 to 7,375, no pixel is
# within 100 of what the same call gives for float32. The result is uint16 and has the right shape. NEAREST, right angles,
# `resize` with the same filters and the modes I and F are right. Nothing warns.
# Why it matters: radiometers, radar and microscopes give 16 bits, and rotation is the most usual augmentation. Tiles at 0,
# 90 and 180 degrees are intact, so a preview may look right, and the others are dark noise with a label.
# Source: https://pillow.readthedocs.io/en/stable/handbook/concepts.html (modes; I;16 has limited support).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import PIL
from PIL import Image

BILINEAR, BICUBIC, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST
rows, columns = np.mgrid[:256, :256]
ramp = (1000 + 20 * columns + 5 * rows).astype("uint16")
shear = (256, 256), Image.Transform.AFFINE, (1, 0.1, 0, 0, 1, 0)
ways = {
    "rotate by 7, bilinear": lambda image: image.rotate(7, BILINEAR),
    "rotate by 7, bicubic": lambda image: image.rotate(7, BICUBIC),
    "shear, bilinear": lambda image: image.transform(*shear, BILINEAR),
    "rotate by 7, nearest": lambda image: image.rotate(7, NEAREST),
    "rotate by 90, bilinear": lambda image: image.rotate(90, BILINEAR),
    "resize, bilinear": lambda image: image.resize((200, 200), BILINEAR),
    "resize, bicubic": lambda image: image.resize((200, 200), BICUBIC),
}
print("Pillow", PIL.__version__)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for way, change in ways.items():
        kinds = ("uint16", "int32", "float32")
        short, whole, real = (np.asarray(change(Image.fromarray(ramp.astype(kind)))) for kind in kinds)
        inside = np.s_[60:-60, 60:-60]
        apart = abs(short.astype(float) - real)[inside]
        found[way] = int(short.max()), float((apart < 100).mean()), float(apart.max())
        print(
            f"  {way}: {short.dtype}, largest value {found[way][0]}, median {np.median(short[inside]):.0f} of", end=" "
        )
        print(f"{np.median(real[inside]):.0f}, within 100 of float32 {found[way][1]:.0%};", end=" ")
        print(f"int32 at most {abs(whole - real)[inside].max():.1f} apart")
        assert abs(whole - real)[inside].max() <= 1
    uniform = np.asarray(Image.fromarray(np.full((64, 64), 3000, "uint16")).rotate(7, BILINEAR))
print(f"  a uniform 3000, rotated: {len(np.unique(uniform))} values from {uniform.min()} to {uniform.max()}")
print("  warnings:", [str(one.message) for one in caught])
wrong = ("rotate by 7, bilinear", "rotate by 7, bicubic", "shear, bilinear")
as_recorded = (
    all(found[way][0] <= 255 and found[way][1] == 0 for way in wrong)
    and all(values[2] <= 20 for way, values in found.items() if way not in wrong)
    and len(np.unique(uniform)) == 175
    and uniform.max() == 184
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
