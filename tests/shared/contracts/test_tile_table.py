from dataclasses import fields
from pathlib import Path

import pyarrow as pa

from tilepipe.components.shared.contracts.tile_table import COLUMNS, SCHEMA, TableRow

README = Path(__file__).parents[3] / "components" / "ingest" / "README.md"


def test_columns_and_schema_follow_the_fields_of_a_row():
    assert SCHEMA.names == list(COLUMNS) == [field.name for field in fields(TableRow)]
    assert [field.name for field in SCHEMA if not field.nullable] == ["tile_id", "uri"]
    assert SCHEMA.field("band_uris").type == pa.list_(pa.string())


def test_the_readme_of_ingest_describes_each_column():
    table = README.read_text().partition("| column of `tiles` | |\n| --- | --- |\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [f"| `{name}` | {column.description} |" for name, column in COLUMNS.items()]
