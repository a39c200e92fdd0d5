"""Rows of text files."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.selection import choose
from tilepipe.components.ingest.sources.tables.table import TableSource
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import open_database


def chosen(path, **parameters):
    """Return the id and the class of each row."""
    config = IngestConfig(source=str(path), **parameters)
    source = TableSource(str(path), config, frozenset())
    with open_database() as connection, source.found(connection):
        choose(connection, config)
        return connection.execute("SELECT tile_id, label FROM chosen ORDER BY ALL").fetchall()


@pytest.mark.parametrize("blank", [",,", " , ,", ',"",', "\n,,\n,,"])
def test_rows_without_any_value_are_skipped(tmp_path, caplog, blank):
    path = tmp_path / "tiles.csv"
    path.write_text(f"file,label,area\na.png,River,1\n{blank}\nb.png,Forest,\n{blank}\n")
    assert chosen(path) == [("a.png", "River"), ("b.png", "Forest")]
    assert "rows without any value" in caplog.text


def test_a_row_of_parquet_without_an_image_is_named(tmp_path):
    path = tmp_path / "tiles.parquet"
    pq.write_table(pa.table({"file": ["a.png", None], "label": ["River", None]}), path)
    with pytest.raises(SourceError, match=r"1 of 2 without one, such as one without an id"):
        chosen(path)
