"""Distinct statements of the tiles about their pixels, with the number of tiles for each."""

from typing import TYPE_CHECKING

from tilepipe.components.ingest.sources.source_view import STATED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def collect_statements(connection: "DuckDBPyConnection") -> None:
    """Create the table `statements` from `chosen`; `first` is the smallest id of the tiles, `tiles` their number."""
    columns = ", ".join(STATED)
    connection.execute(
        f"CREATE TABLE statements AS SELECT {columns}, min(tile_id) AS first, count(*) AS tiles "  # noqa: S608
        "FROM chosen GROUP BY ALL"
    )


def drop_statements(connection: "DuckDBPyConnection") -> None:
    """Drop the table, and the columns of `chosen`, which take as long to copy as all others together."""
    for column in STATED:
        connection.execute(f"ALTER TABLE chosen DROP COLUMN {column}")
    connection.execute("DROP TABLE statements")
