#!/usr/bin/env bash
# A virtual cube of NetCDF files by kerchunk or VirtualiZarr unpacks all files with the first one's scale factor.
#
# Expected: files with other packing are refused, or unpacked each by its own attributes, as xarray's concat does.
# Observed (kerchunk 0.2.10, VirtualiZarr 2.5.1, xarray 2026.9.0): of two months packed as int16, each with its own
# scale_factor and add_offset, the second month reads as 252 K where the file says 284 K. No warning by kerchunk, nor by
# xarray's concat of virtual data sets with `combine_attrs="override"`, as VirtualiZarr's documentation has it.
# Why it matters: reanalyses and many satellite products choose the packing of each file by its range of values. A cube of
# references over an archive is off in all files but the first.
# Source: NetCDF User Guide, packed data; kerchunk's documentation of MultiZarrToZarr.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kerchunk==0.2.10 virtualizarr==2.5.1 xarray==2026.9.0 zarr==3.1.6 netCDF4==1.7.5.1.post1 h5py==3.16.0 obstore==0.12.1 numpy==2.3.5 pandas==2.3.3 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os
import sys
import warnings

warnings.simplefilter("ignore")
import kerchunk
import netCDF4
import numpy as np
import virtualizarr
import xarray as xr
from kerchunk.combine import MultiZarrToZarr
from kerchunk.hdf import SingleHdf5ToZarr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore

PACKING = {"january.nc": (0.01, 250, 100, "2026-01-01"), "february.nc": (0.02, 280, 200, "2026-02-01")}
for name, (scale, offset, stored, start) in PACKING.items():
    with netCDF4.Dataset(name, "w") as out:
        out.createDimension("time", 1)
        out.createDimension("x", 3)
        time = out.createVariable("time", "i4", ("time",))
        time.units, time.calendar = f"days since {start}", "standard"
        time[:] = [0]
        kelvin = out.createVariable("t2m", "i2", ("time", "x"), fill_value=-32767)
        kelvin.set_auto_maskandscale(False)
        kelvin.scale_factor, kelvin.add_offset = scale, offset
        kelvin[:] = np.full((1, 3), stored)


def values(references):
    options = {"storage_options": {"remote_protocol": "file"}}
    with xr.open_dataset(references, engine="kerchunk", backend_kwargs=options) as cube:
        return [round(float(value), 6) for value in cube["t2m"].values[:, 0]]


def by_xarray():
    with xr.open_dataset("january.nc") as first, xr.open_dataset("february.nc") as second:
        return [round(float(value), 6) for value in xr.concat([first, second], "time")["t2m"].values[:, 0]]


def by_kerchunk():
    references = [SingleHdf5ToZarr(name).translate() for name in PACKING]
    combined = MultiZarrToZarr(references, concat_dims=["time"], coo_map={"time": "cf:time"}).translate()
    with open("kerchunk.json", "w") as file:
        json.dump(combined, file)
    return values("kerchunk.json")


def by_virtualizarr():
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parser = virtualizarr.parsers.HDFParser()
    months = [virtualizarr.open_virtual_dataset(f"file://{os.getcwd()}/{name}", registry=registry, parser=parser,
                                                loadable_variables=["time"]) for name in PACKING]
    cube = xr.concat(months, "time", coords="minimal", compat="override", combine_attrs="override")
    (cube.virtualize if hasattr(cube, "virtualize") else cube.vz).to_kerchunk("virtualizarr.json", format="json")
    return values("virtualizarr.json")


seen = {"xarray.concat": by_xarray(), "kerchunk": by_kerchunk(), "VirtualiZarr": by_virtualizarr()}
print("kerchunk", kerchunk.__version__, "virtualizarr", virtualizarr.__version__, "xarray", xr.__version__)
for name, (january, february) in seen.items():
    print(f"  {name}: January {january} K, February {february} K")
sys.exit(0 if seen == {"xarray.concat": [251, 284], "kerchunk": [251, 252], "VirtualiZarr": [251, 252]} else 1)
PYTHON
