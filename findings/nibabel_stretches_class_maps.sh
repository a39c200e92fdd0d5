#!/usr/bin/env bash
# Class maps that were read with get_fdata and saved with their own header come back with fractions.
#
# Expected: whole numbers from 0 to 11 fit into uint8, the type that the header states, so they are stored as they are.
# Observed (nibabel 5.4.2, numpy 2.4.6): `get_fdata` returns float64, as it does for each image. nibabel stores floats in
# a header of whole numbers by a scale that stretches them over the whole range of the type, whether or not they are
# whole. A map of twelve classes, turned left to right and saved with the header that it had, is read as 0.9922, 1.9843,
# 3.0196 and so on: `== 1` finds none of its 323 voxels, and `astype(int)` gives 41 % of all voxels another class. In
# int16, the type of many scans, it is 51 %. Of two classes, `== 1` finds no voxel in either, and in int16 `astype(int)`
# leaves class 0 alone. The header still states uint8 or int16, and nothing warns. The same array as uint8, or a header
# that states float32, keeps each voxel.
# Why it matters: this is how volumes and their labels are turned, cropped and resampled. Read back as whole numbers,
# the map in int16 lacks the classes 3, 7 and 11, and training goes on without them.
# Source: https://nipy.org/nibabel/nifti_images.html (data scaling).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import nibabel
import numpy as np


def saved(voxels: np.ndarray, header: nibabel.Nifti1Header) -> np.ndarray:
    """Save a volume with a header and return what is read from the file, as float64."""
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4), header), "saved.nii.gz")
    image = nibabel.load("saved.nii.gz")
    assert image.get_data_dtype() == header.get_data_dtype()
    return image.get_fdata()


print("nibabel", nibabel.__version__, "numpy", np.__version__)
random = np.random.default_rng(0)
found = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for classes in (12, 2):
        labels = random.integers(0, classes, (32, 32, 4)).astype(np.uint8)
        for stored in ("uint8", "int16"):
            nibabel.save(nibabel.Nifti1Image(labels.astype(stored), np.eye(4)), "labels.nii.gz")
            image = nibabel.load("labels.nii.gz")
            turned = np.flip(image.get_fdata(), axis=0)
            float_header = image.header.copy()
            float_header.set_data_dtype(np.float32)
            ways = {"floats": (turned, image.header), "whole numbers": (turned.astype(np.uint8), image.header)}
            ways["float header"] = (turned, float_header)
            for way, (voxels, header) in ways.items():
                back = saved(voxels, header)
                other = float((back.astype(int) != turned).mean())
                found[classes, stored, way] = (int((back == 1).sum()), round(other, 2))
                print(f"  {classes} classes, {stored}, {way}: == 1 finds {(back == 1).sum()} of {(turned == 1).sum()},", end=" ")
                print(f"another class after astype(int): {other:.2f}, absent:", end=" ")
                print(sorted(set(range(classes)) - set(back.astype(int).ravel().tolist())), np.unique(back)[:4])
print("  warnings:", [str(one.message) for one in caught])
as_recorded = (
    all(found[key] == (323 if key[0] == 12 else 2021, 0.0) for key in found if key[2] != "floats")
    and [found[12, stored, "floats"] for stored in ("uint8", "int16")] == [(0, 0.41), (0, 0.51)]
    and [found[2, stored, "floats"] for stored in ("uint8", "int16")] == [(0, 0.0), (0, 0.49)]
    and not caught
)
sys.exit(0 if as_recorded else 1)
PYTHON
