"""Tests of the table of predictions as others read it."""

import datetime as dt
import json

import duckdb
import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from tilepipe.components.predict_tiles.prediction_rows import prediction_table, read_predictions, write_predictions
from tilepipe.components.shared.contracts.tile_table import SCHEMA
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.prediction_plan import PredictionOptions, PredictionPlan

PLAN = PredictionPlan(
    model_name="m",
    model_version="3",
    model_digest="0" * 64,
    model_uri="models:/m/3",
    class_names=("Forest", "Sea, Lake"),
    tiles=2,
    known=0,
    parts=1,
    created="20261129T100000Z",
    output_uri="",
    experiment="",
    options=PredictionOptions(),
)


@pytest.fixture
def path(tmp_path):
    box = shapely.box(1, 2, 3, 4)
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), box.bounds, strict=True))
    time = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = [
        {"tile_id": "a", "uri": "a.tif", "datetime": time, "bbox": corners, "geometry": shapely.to_wkb(box)},
        {"tile_id": "b", "uri": "b.tif"},
    ]
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    table = prediction_table(pa.Table.from_pylist(rows, schema=SCHEMA), probabilities, PLAN)
    with write_predictions(tmp_path / "p.parquet", PLAN, part=0) as writer:
        writer.write(table)
    return tmp_path / "p.parquet"


def test_it_is_geoparquet_with_a_column_per_fact(path):
    frame = geopandas.read_parquet(path)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry[0].bounds == (1, 2, 3, 4)
    assert frame["class"].tolist() == ["Sea, Lake", "Forest"]
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    assert (geo["version"], geo["columns"]["geometry"]["geometry_types"]) == ("1.1.0", ["Polygon"])
    query = f"""SELECT tile_id, probabilities."Sea, Lake", model_version, datetime FROM '{path}' ORDER BY tile_id"""
    first, second = duckdb.sql(query.replace("datetime", "epoch(datetime)")).fetchall()
    assert first == ("a", 0.75, "3", 1767225600.0)
    assert second == ("b", 0.5, "3", None)


def test_a_folder_of_runs_is_one_table_for_geopandas_also_where_the_first_has_no_places(path):
    rows = [{"tile_id": "c", "uri": "c.tif"}]
    table = prediction_table(pa.Table.from_pylist(rows, schema=SCHEMA), np.array([[1, 0]], np.float32), PLAN)
    with write_predictions(path.with_name("a.parquet"), PLAN, part=0) as writer:
        writer.write(table)
    frame = geopandas.read_parquet(path.parent)
    assert frame["tile_id"].tolist() == ["c", "a", "b"]
    assert frame.geometry.notna().tolist() == [False, True, False]
    assert frame.crs == "OGC:CRS84"


def test_the_metadata_names_part_and_classes(path):
    rows, metadata = read_predictions(path)
    assert sum(table.num_rows for table in rows) == 2
    assert (metadata["part"], metadata["class_names"]) == (0, ["Forest", "Sea, Lake"])


def test_other_files_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "odd.parquet")
    with pytest.raises(ArtifactError, match="must be a Parquet file of `predict_tiles`"):
        read_predictions(tmp_path / "odd.parquet")
