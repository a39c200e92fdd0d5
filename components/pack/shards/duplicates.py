"""Detection of identical pixels in two splits, which would make the evaluation meaningless."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.shared.runtime.database import open_database

_MOST_MEBIBYTES = 768
"""Memory limit of DuckDB, which uses the disk beyond it; memory does not grow with the number of tiles."""


@dataclass(frozen=True)
class Duplicates:
    """Tiles that have the same pixels as a tile of another split."""

    images: int
    """Number of distinct images among them."""
    tiles: int
    examples: tuple[str, ...]
    """The first few images, each as the first tile of every split that contains it."""
    copies: tuple[str, ...] = ()
    """All tiles but the first of each image that occurs more than once, also within a split; empty if they are many."""


def find_duplicates(contents: Sequence[Path], limit: int = 5, most_copies: int = 20) -> Duplicates:
    """Find pixels that occur in more than one split.

    Args:
        contents: paths of the tables of packed tiles of all parts.
        limit: number of examples.
        most_copies: largest number of copies that are listed. Defaults to 20.

    Returns:
        The numbers of tiles and images, the first examples by tile id, and the copies.
    """
    with open_database(_MOST_MEBIBYTES) as database:
        # A folder called `split=train` must not replace the column `split`.
        database.read_parquet([str(path) for path in contents], hive_partitioning=False).create_view("contents")
        database.execute(
            """
            CREATE TABLE shared AS
            WITH digests AS (SELECT digest FROM contents GROUP BY digest HAVING min(split) <> max(split))
            SELECT digest, split, tile_id FROM contents SEMI JOIN digests USING (digest)
            """
        )
        images, tiles = database.execute("SELECT count(DISTINCT digest), count(*) FROM shared").fetchall()[0]
        if not images:
            return Duplicates(0, 0, ())
        examples = database.execute(
            """
            SELECT string_agg(first || ' (' || split || ')', ', ' ORDER BY first)
            FROM (SELECT digest, split, min(tile_id) AS first FROM shared GROUP BY digest, split)
            GROUP BY digest ORDER BY min(first) LIMIT $limit
            """,
            {"limit": limit},
        ).fetchall()
        copies = database.execute(
            """
            SELECT tile_id FROM contents SEMI JOIN (
                SELECT digest FROM contents GROUP BY digest HAVING count(*) > 1
            ) AS repeated USING (digest)
            QUALIFY row_number() OVER (PARTITION BY digest ORDER BY tile_id) > 1
            ORDER BY tile_id LIMIT $limit
            """,
            {"limit": most_copies + 1},
        ).fetchall()
    listed = tuple(name for (name,) in copies) if len(copies) <= most_copies else ()
    return Duplicates(images, tiles, tuple(example for (example,) in examples), listed)
