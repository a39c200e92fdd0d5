#!/usr/bin/env bash
# Points in the projection of GOES are up to 30 km elsewhere after they were written to a Shapefile.
#
# Expected: a Shapefile gives back the CRS with its parameters, or cannot hold it and says so.
# Observed (geopandas 1.2.0, pyogrio 0.13.0, pyproj 3.7.2): the .prj file names the projection Geostationary_Satellite, which
# lacks the sweep axis. GOES scans along x, and is read back as if it scanned along y, like Meteosat. Between 60 degrees
# south and north the points move by 9 km in the median and by up to 30 km; along the central meridian and the equator by
# none. GeoPackage, FlatGeobuf and GeoParquet move none of them, and a Shapefile of Meteosat does not either. Nothing warns.
# Why it matters: labels of fires or clouds that were digitized on the full disk are about 5 pixels of 2 km beside what they
# label, more so towards the edge, as if the image had been registered badly.
# Source: https://proj.org/en/stable/operations/projections/geos.html (sweep angle axis).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check geopandas==1.2.0 pyogrio==0.13.0 pyproj==3.7.2 \
  shapely==2.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import geopandas
import numpy as np
import pyogrio
import pyproj

GOES = pyproj.CRS("+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80")
METEOSAT = pyproj.CRS("+proj=geos +h=35785831 +lon_0=-75 +sweep=y +ellps=WGS84")
longitude, latitude = (axis.ravel() for axis in np.meshgrid(np.arange(-130, -19, 5.0), np.arange(-60, 61, 5.0)))


def moved(crs, file):
    """Write points to a file, and return how far they are from where they were, in km."""
    points = geopandas.GeoDataFrame(
        {"number": np.arange(len(longitude))}, geometry=geopandas.points_from_xy(longitude, latitude), crs=4326
    ).to_crs(crs)
    points = points[np.isfinite(points.geometry.x)]
    if file.endswith(".parquet"):
        points.to_parquet(file)
        back = geopandas.read_parquet(file)
    else:
        points.to_file(file)
        back = geopandas.read_file(file)
    back = back.sort_values("number").to_crs(4326)
    before = points.to_crs(4326)
    metres = pyproj.Geod(ellps="WGS84").inv(
        *(np.asarray(axis) for one in (before, back) for axis in (one.geometry.x, one.geometry.y))
    )[2]
    center = np.asarray((before.geometry.x.round(6) == -75) | (before.geometry.y.round(6) == 0))
    return [round(float(value) / 1000, 1) for value in (np.median(metres), metres.max(), metres[center].max())]


print("geopandas", geopandas.__version__, "pyogrio", pyogrio.__version__, "pyproj", pyproj.__version__)
found = {("GOES", file): moved(GOES, file) for file in ("goes.shp", "goes.gpkg", "goes.fgb", "goes.parquet")}
found["Meteosat", "meteosat.shp"] = moved(METEOSAT, "meteosat.shp")
for (satellite, file), (median, largest, middle) in found.items():
    print(f"  {satellite}, {file}: median {median} km, at most {largest} km, on the axes {middle} km")
median, largest, middle = found.pop(("GOES", "goes.shp"))
as_recorded = 5 < median < 15 and 25 < largest < 35 and middle == 0 and all(values == [0, 0, 0] for values in found.values())
sys.exit(0 if as_recorded else 1)
PYTHON
