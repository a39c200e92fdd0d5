import numpy as np
import pyarrow as pa
import pytest

from tilepipe.components.evaluate.tiles.tile_facts import read_tile_facts
from tilepipe.components.shared.contracts.tile_table import SCHEMA, TileTableInfo, write_tile_table
from tilepipe.components.shared.errors import ArtifactError


def write_table(path, rows):
    filled = [{name: row.get(name) for name in SCHEMA.names} for row in rows]
    table = pa.Table.from_pylist(filled, schema=SCHEMA)
    write_tile_table(table, TileTableInfo(name="tiny", source="memory", source_kind="folder"), path)
    return path


def box(west, south, east, north):
    return {"xmin": west, "ymin": south, "xmax": east, "ymax": north}


def test_facts_come_in_the_order_of_the_tiles(tmp_path):
    rows = [
        {"tile_id": "a", "uri": "https://example.org/a.tif", "group": "north", "bbox": box(10.0, 50.0, 11.0, 52.0)},
        {"tile_id": "b", "uri": "/b.tif", "bbox": box(179.0, -1.0, -178.0, 1.0)},
        {"tile_id": "c", "uri": "/c.tif"},
    ]
    facts = read_tile_facts(write_table(tmp_path / "tiles.parquet", rows), ["c", "a", "unknown", "b"])
    assert facts.uris == ["/c.tif", "https://example.org/a.tif", "", "/b.tif"]
    assert facts.groups == ["", "north", "", ""]
    assert np.isnan(facts.centers[[0, 2]]).all()
    assert facts.centers[[1, 3]].tolist() == [[10.5, 51.0], [-179.5, 0.0]]


def test_a_table_without_places_and_groups_has_neither(tmp_path):
    facts = read_tile_facts(write_table(tmp_path / "tiles.parquet", [{"tile_id": "a", "uri": "/a.png"}]), ["a"])
    assert facts.groups == [""]
    assert np.isnan(facts.centers).all()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "tiles.parquet").write_bytes(b"not parquet")
    with pytest.raises(ArtifactError, match="A tile table must be a Parquet file written by ingest"):
        read_tile_facts(tmp_path / "tiles.parquet", ["a"])
