#!/usr/bin/env bash
# A Zarr array that was cut and grows again shows some of the values that were cut off.
#
# Expected: what is beyond the new end is gone, so growing gives the fill value, as in a new array.
# Observed (zarr 3.1.6): resize deletes whole chunks beyond the end and leaves the last chunk as it is. An array of 8
# dates in chunks of 4, cut to 5 and grown to 8, holds the old dates 6 to 8; in chunks of 1 it holds the fill value.
# What comes back depends on the chunks alone.
# Why it matters: a cube of scenes is cut when the last dates were bad and grown for the next ones; until each is
# written, the bad pixels are there again in place of nodata. Write the fill value over the end before the cut.
# Source: Zarr's user guide, resizing and appending.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check zarr==3.1.6 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import zarr


def cut_and_grown(chunk):
    cube = zarr.create_array(zarr.storage.MemoryStore(), shape=(8,), chunks=(chunk,), dtype="int16", fill_value=-1)
    cube[:] = np.arange(1, 9)
    cube.resize((5,))
    shown = cube[:].tolist()
    cube.resize((8,))
    return shown, cube[:].tolist()


seen = {chunk: cut_and_grown(chunk) for chunk in (1, 4)}
print("zarr", zarr.__version__, "numpy", np.__version__)
for chunk, (cut, grown) in seen.items():
    print(f"  1 to 8 in chunks of {chunk}: cut to 5 it is {cut}; grown to 8 it is {grown}")
first = [1, 2, 3, 4, 5]
sys.exit(0 if seen == {1: (first, [*first, -1, -1, -1]), 4: (first, [*first, 6, 7, 8])} else 1)
PYTHON
