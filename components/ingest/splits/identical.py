"""Keep identical tiles in one split where tiles are split at random, so that no training tile has a copy in test."""

import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
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
_PART_BYTES = 4096


def tie_identical_tiles(connection: "DuckDBPyConnection") -> None:
    """Give tiles of `chosen` with the same content one `tilepipe_unit`, together with the units that they already have.

    The content is compared by the checksums that the source states; files on the local disk without one are read, if
    another has the same size.
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
    # Uncompressed tiles all have one size: a few bytes of each are enough to see that most are unlike any other.
    parts = np.fromiter(map_in_order(_part, _sized(connection, shared), threads=_THREADS), np.uint64)
    digests, counts = np.unique(parts, return_counts=True)
    alike = np.isin(parts, digests[counts > 1])
    rows: list[tuple[int, str]] = []
    found = map_in_order(_digest, itertools.compress(_sized(connection, shared), alike), threads=_THREADS)
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


def _sized(
    connection: "DuckDBPyConnection", sizes: Container[int] | None = None
) -> Iterator[tuple[tuple[int, "Tile"], int]]:
    """Yield the local tiles without a checksum whose bytes can be read on their own, and their sizes, if in `sizes`."""
    from tilepipe.components.shared.tiles.reader import Tile

    cursor = connection.cursor().execute(
        'SELECT rowid, tile_id, uri, label, bytes, checksum, member, "offset" FROM chosen '
        'WHERE checksum IS NULL AND band_uris IS NULL AND (member IS NULL OR "offset" IS NULL) '
        "AND starts_with(uri, '/') ORDER BY rowid"  # on the local disk
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
            if size and (sizes is None or size in sizes):
                yield (row, tile), size


def _part(sized: tuple[tuple[int, "Tile"], int]) -> int:
    """Return a digest of the size and some bytes from the middle of a file; of the size alone for a member of one."""
    (_, tile), size = sized
    data = b""
    if tile.member is None and tile.offset is None:
        with contextlib.suppress(OSError), Path(tile.uri).open("rb", buffering=0) as file:  # pack reports it
            file.seek(max(0, (size - _PART_BYTES) // 2))
            data = file.read(_PART_BYTES)
    return xxhash.xxh3_64_intdigest(data, seed=size)


def _digest(sized: tuple[tuple[int, "Tile"], int]) -> tuple[int, str]:
    from tilepipe.components.shared.tiles.reader import content

    (row, tile), _ = sized
    try:
        return row, f"xxh3:{xxhash.xxh3_128_hexdigest(content(tile))}"
    except TilepipeError:  # pack reports it
        return row, ""
