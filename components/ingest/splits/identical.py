"""Identical tiles stay together where tiles are split at random: a copy in test would be a tile of the training set."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import xxhash

from tilepipe.components.shared.errors import TilepipeError
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.tiles.packed_records import is_packed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tilepipe.components.shared.tiles.reader import Tile

logger = logging.getLogger("tilepipe.ingest")

_BATCH_ROWS = 8192
_THREADS = 8


def tie_identical_tiles(connection: "DuckDBPyConnection") -> None:
    """Give tiles with the same content one `tilepipe_unit`, together with the units that they already have.

    The content is compared by the checksums that the source states; files on the local disk without one are read, if
    another has the same size.

    Args:
        connection: a database with the table `chosen`.
    """
    connection.execute("CREATE TABLE contents (row BIGINT, content VARCHAR)")
    for batch in _digests(connection):
        connection.register("batch", batch)
        connection.execute("INSERT INTO contents SELECT * FROM batch")
        connection.unregister("batch")
    connection.execute(
        """
        INSERT INTO contents SELECT rowid, checksum FROM chosen WHERE hash(checksum) IN (
            SELECT hash(checksum) FROM chosen WHERE checksum IS NOT NULL GROUP BY hash(checksum) HAVING count(*) > 1
        );
        CREATE TABLE ties AS
        SELECT row, coalesce(tilepipe_unit, tile_id) AS unit, content FROM contents JOIN chosen ON row = chosen.rowid
        WHERE content IN (SELECT content FROM contents GROUP BY content HAVING count(*) > 1);
        CREATE TABLE tied AS SELECT DISTINCT unit, unit AS first FROM ties
        """
    )
    changed = 1
    while changed:  # a unit of several tiles may tie more than two of them
        [(changed,)] = connection.execute(
            """
            UPDATE tied SET first = least_of_unit FROM (
                SELECT unit, min(least) AS least_of_unit FROM ties JOIN (
                    SELECT content, min(first) AS least FROM ties JOIN tied USING (unit) GROUP BY content
                ) USING (content) GROUP BY unit
            ) AS reached WHERE tied.unit = reached.unit AND least_of_unit < first
            """
        ).fetchall()
    [(tiles, images)] = connection.execute("SELECT count(*), count(DISTINCT content) FROM ties").fetchall()
    connection.execute(
        """
        UPDATE chosen SET tilepipe_unit = first FROM tied WHERE coalesce(tilepipe_unit, tile_id) = unit;
        DROP TABLE contents; DROP TABLE ties; DROP TABLE tied
        """
    )
    if tiles:
        logger.info("%s tiles are copies of each other (%s images); copies stay in one split", f"{tiles:,}", images)


def _digests(connection: "DuckDBPyConnection") -> Iterator[pa.Table]:
    """Yield row and digest of the local tiles without a checksum that may be the same as another."""
    sizes = Counter(size for _, size in _sized(connection))
    shared = {size for size, count in sizes.items() if count > 1}
    rows: list[tuple[int, str]] = []
    found = map_in_order(_digest, (one for one in _sized(connection) if one[1] in shared), threads=_THREADS)
    for row, digest in found:
        if digest:
            rows.append((row, digest))
        if len(rows) == _BATCH_ROWS:
            yield _table(rows)
            rows.clear()
    if rows:
        yield _table(rows)


def _table(rows: list[tuple[int, str]]) -> pa.Table:
    numbers, digests = zip(*rows, strict=True)
    return pa.table({"row": pa.array(numbers, pa.int64()), "content": pa.array(digests, pa.string())})


def _sized(connection: "DuckDBPyConnection") -> Iterator[tuple[tuple[int, "Tile"], int]]:
    """Yield the local tiles without a checksum whose bytes can be read on their own, and their sizes."""
    from tilepipe.components.shared.tiles.reader import Tile

    cursor = connection.cursor().execute(
        'SELECT rowid, tile_id, uri, label, bytes, checksum, member, "offset" FROM chosen '
        'WHERE checksum IS NULL AND band_uris IS NULL AND (member IS NULL OR "offset" IS NULL) '
        "AND starts_with(uri, '/')"  # on the local disk
    )
    while batch := cursor.fetchmany(_BATCH_ROWS):
        for row, *values in batch:
            tile = Tile(*values)
            if is_packed(tile.uri):
                continue
            size = tile.bytes
            if size is None and tile.member is None and tile.offset is None:
                try:
                    size = Path(tile.uri).stat().st_size
                except OSError:  # pack reports it
                    continue
            if size:
                yield (row, tile), size


def _digest(sized: tuple[tuple[int, "Tile"], int]) -> tuple[int, str]:
    from tilepipe.components.shared.tiles.reader import content

    (row, tile), _ = sized
    try:
        return row, f"xxh3:{xxhash.xxh3_128_hexdigest(content(tile))}"
    except TilepipeError:  # pack reports it
        return row, ""
