"""The same pixels in two splits: figures on tiles that the model has learnt by heart say nothing."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MEMORY = "768MB"
"""Beyond it DuckDB goes to the disk, so that memory does not grow with the number of tiles."""


@dataclass(frozen=True)
class Duplicates:
    """Tiles that have the same pixels as a tile of another split."""

    images: int
    """How many different pictures they are."""
    tiles: int
    examples: tuple[str, ...]
    """The first few pictures: the first tile of each split that has it."""


def find_duplicates(contents: Sequence[Path], limit: int = 5) -> Duplicates:
    """Find pixels that more than one split has.

    Args:
        contents: the Parquet files of all parts.
        limit: how many examples to give.

    Returns:
        How many there are, and the first by tile id.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        database = duckdb.connect(str(Path(folder) / "duplicates.duckdb"))
        try:
            for setting in (f"memory_limit='{_MEMORY}'", f"temp_directory='{folder}'", "threads=2"):
                database.execute(f"SET {setting}")
            files = [str(path) for path in contents]
            database.execute(
                """
                CREATE TABLE shared AS
                WITH digests AS (
                    SELECT digest FROM read_parquet($files) GROUP BY digest HAVING min(split) <> max(split)
                )
                SELECT digest, split, tile_id FROM read_parquet($files) SEMI JOIN digests USING (digest)
                """,
                {"files": files},
            )
            counted = database.execute("SELECT count(DISTINCT digest), count(*) FROM shared").fetchone()
            images, tiles = counted or (0, 0)
            examples = database.execute(
                """
                SELECT string_agg(first || ' (' || split || ')', ', ' ORDER BY first)
                FROM (SELECT digest, split, min(tile_id) AS first FROM shared GROUP BY digest, split)
                GROUP BY digest ORDER BY min(first) LIMIT $limit
                """,
                {"limit": limit},
            ).fetchall()
        finally:
            database.close()
    return Duplicates(images, tiles, tuple(example for (example,) in examples))
