#!/usr/bin/env bash
# The extent that PySTAC computes for a collection can leave out items across the antimeridian.
#
# Expected: the extent contains every item, if need be as several boxes or as all longitudes.
# Observed (PySTAC 1.15.2): `Extent.from_items` takes the least west and the greatest east as numbers. An item of Fiji
# (west 179, east -179, as GeoJSON prescribes) beside one of Laos (100 to 110) gives 100 to 110: Fiji is not in it. No
# warning.
# Why it matters: the bounding box of a collection decides whether a search looks into it at all, and a spatial split or
# a map made from it lacks the Pacific. Fiji, Chukotka, the Aleutians, New Zealand's islands and Antarctica are cut or
# lost.
# Source: RFC 7946, section 5.2, and the STAC specification of `extent.spatial.bbox`, which follows it.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pystac==1.15.2 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import datetime as dt
import warnings

import pystac


def item(name, box):
    where = {"type": "Point", "coordinates": box[:2]}
    return pystac.Item(name, where, box, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})


def contains(box, longitude):
    west, _, east, _ = box
    return west <= longitude <= east if west <= east else longitude >= west or longitude <= east


fiji, laos = item("fiji", [179, -18, -179, -16]), item("laos", [100, 15, 110, 20])
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    boxes = pystac.Extent.from_items([fiji, laos]).spatial.bboxes
alone = pystac.Extent.from_items([fiji]).spatial.bboxes
print("pystac", pystac.__version__)
print("extent of Fiji:         ", alone)
print("extent of Fiji and Laos:", boxes, "warnings:", len(said))
has_fiji = any(contains(box, longitude) for box in boxes for longitude in (179.5, -179.5))
print("it contains Fiji:", has_fiji)
raise SystemExit(0 if boxes == [[100, -18, 110, 20]] and not has_fiji and not said else 1)
PYTHON
