#!/usr/bin/env bash
# HDF5's scale-offset compression turns NaN into the lowest value of the chunk, or makes the chunk unreadable.
#
# Expected: h5py's scaleoffset=2 rounds floats to two decimals, as documented; NaN stays NaN, or is refused on writing.
# Observed (h5py 3.16.0, HDF5 2.0.0): NaN within a chunk is read as the lowest value of the chunk, 280.15 kelvins here.
# A chunk whose first value is NaN, such as one without any data at the edge of a swath, is written without an error and
# cannot be read any more: OSError. A fill value of NaN changes neither. With gaps as -9999, and that as the fill value,
# all is well.
# Why it matters: the filter is for exactly such data: temperatures, heights and reflectances with a known precision, which
# often have gaps. Clouds and borders become valid cold pixels in statistics and tiles, without a warning; and parts of an
# archive are lost, which shows only after the source is gone.
# Source: https://docs.h5py.org/en/stable/high/dataset.html#scale-offset-filter;
# https://support.hdfgroup.org/documentation/hdf5/latest/group___d_c_p_l.html (H5Pset_scaleoffset).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check h5py==3.16.0 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" -W error - <<'PYTHON'
import h5py
import numpy as np

NAN = float("nan")
KELVINS = np.array([[283.0, 281.25, NAN, 280.15], [NAN, 290.0, 291.5, 292.0]], "float32")


def stored(values, **options):
    """Write values in chunks of one row, and read each row back: a list of numbers, or the name of an error."""
    with h5py.File("scene.h5", "w") as file:
        file.create_dataset("temperature", data=values, chunks=(1, 4), scaleoffset=2, **options)
    found = []
    with h5py.File("scene.h5") as file:
        for row in range(len(values)):
            try:
                found.append([round(float(value), 2) for value in file["temperature"][row]])
            except OSError as error:
                found.append(type(error).__name__)
    return found


gaps = np.where(np.isnan(KELVINS), np.float32(-9999), KELVINS)
found = {
    "NaN": stored(KELVINS),
    "NaN, fill value NaN": stored(KELVINS, fillvalue=NAN),
    "-9999, fill value -9999": stored(gaps, fillvalue=-9999),
}
recorded = {
    "NaN": [[283.0, 281.25, 280.15, 280.15], "OSError"],
    "NaN, fill value NaN": [[283.0, 281.25, 280.15, 280.15], "OSError"],
    "-9999, fill value -9999": [[283.0, 281.25, -9999.0, 280.15], [-9999.0, 290.0, 291.5, 292.0]],
}
print("h5py", h5py.__version__, "HDF5", h5py.version.hdf5_version)
for name, rows in found.items():
    print(f"{name}: {rows[0]}, {rows[1]}")
if found != recorded:
    print("CHANGED: recorded were", recorded)
    raise SystemExit(1)
print("as recorded")
PYTHON
