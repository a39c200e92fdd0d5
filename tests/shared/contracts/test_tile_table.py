from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.export.conftest import write_tiles
from tilepipe.components.shared.contracts.tile_table import COLUMNS, SCHEMA, TableRow, read_tile_table_info
from tilepipe.components.shared.errors import ArtifactError

README = Path(__file__).parents[3] / "components" / "ingest" / "README.md"


def test_columns_and_schema_follow_the_fields_of_a_row():
    assert SCHEMA.names == list(COLUMNS) == [field.name for field in fields(TableRow)]
    assert [field.name for field in SCHEMA if not field.nullable] == ["tile_id", "uri"]
    assert SCHEMA.field("band_uris").type == pa.list_(pa.string())


def test_the_readme_of_ingest_describes_each_column():
    table = README.read_text().partition("| column of `tiles` | |\n| --- | --- |\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [f"| `{name}` | {column.description} |" for name, column in COLUMNS.items()]


def test_some_rows_of_a_table_that_pyarrow_writes_are_a_tile_table(tmp_path):
    write_tiles(tmp_path / "tiles.parquet")
    table = pq.read_table(tmp_path / "tiles.parquet")
    pq.write_table(table.slice(0, 1), tmp_path / "some.parquet")
    assert read_tile_table_info(tmp_path / "some.parquet") == read_tile_table_info(tmp_path / "tiles.parquet")


def test_a_table_without_the_metadata_is_refused_and_can_be_given_them(tmp_path):
    write_tiles(tmp_path / "tiles.parquet")
    info = read_tile_table_info(tmp_path / "tiles.parquet")
    new = pa.table({"tile_id": ["tile-0"], "uri": ["/tiles/0.tif"]})
    pq.write_table(new, tmp_path / "new.parquet")
    with pytest.raises(ArtifactError, match=r"must have the metadata of ingest.*`new\.replace_schema_metadata\("):
        read_tile_table_info(tmp_path / "new.parquet")
    new = new.replace_schema_metadata(pq.read_schema(tmp_path / "tiles.parquet").metadata)
    pq.write_table(new, tmp_path / "new.parquet")
    assert read_tile_table_info(tmp_path / "new.parquet") == info
