#!/usr/bin/env bash
# One STAC item without a geometry, such as a model's, makes a whole STAC-GeoParquet table fail.
#
# Expected: STAC allows `geometry: null` (an item that is nowhere), so the row has a null geometry.
# Observed: `parse_stac_items_to_arrow` raises for the whole batch.
# Why it matters: a catalog that holds tiles and the model trained on them (MLM extension) cannot be
# written as one table.
# Source: the STAC item specification, field `geometry`.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check stac-geoparquet==0.8.3 pyarrow==25.0.1 pystac==1.15.2 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import stac_geoparquet
from stac_geoparquet.arrow import parse_stac_items_to_arrow

tile = {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "id": "tile", "collection": "c",
        "geometry": {"type": "Point", "coordinates": [5.0, 52.0]}, "bbox": [5.0, 52.0, 5.0, 52.0],
        "properties": {"datetime": "2026-01-01T00:00:00Z"}, "links": [], "assets": {}}
model = {key: value for key, value in tile.items() if key != "bbox"} | {"id": "model", "geometry": None}
rows = parse_stac_items_to_arrow([tile]).read_all().num_rows
try:
    both = parse_stac_items_to_arrow([tile, model]).read_all().num_rows
except Exception as error:  # noqa: BLE001 - which one is part of what is recorded
    both = type(error).__name__
print("stac-geoparquet 0.8.3: one tile:", rows, "row; with the model's item:", both)
sys.exit(0 if rows == 1 and isinstance(both, str) else 1)
PYTHON
