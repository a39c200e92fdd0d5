"""Concurrent reading of tiles: the number of threads, and of tiles that they process at a time."""

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from tilepipe.components.shared.runtime.cpus import available_cpus
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.tiles.reader import Tile

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT_BYTES = 256 * 1024 * 1024
_AT_ONCE = 8
"""Tiles that one of `readers` requests before it reads the first."""


def plan_concurrency(tile: Tile | None, readers: int, tile_bytes: int, *, has_cache: bool) -> tuple[int, int, int]:
    """Choose the number of threads, and the tiles that each processes at a time.

    Where requests are sent ahead of time, threads need not wait for the network, and more of them than CPUs only take
    time from each other: fewer threads then request as many tiles in total, and one more than CPUs keeps these busy. On
    two CPUs, packing tiles of 107 kB over TLS took 0.49 ms of processor time per tile with 3 threads, 0.59 with 16.

    Args:
        tile: one of the tiles; None if there are none.
        readers: number of threads that wait for the network, as configured.
        tile_bytes: size of a decoded tile.
        has_cache: whether tiles may be read from a cache, for which a thread waits.

    Returns:
        The number of threads; the tiles of a batch, all of which a thread requests before it reads the first; and the
        largest number of batches that are being read or wait to be taken.
    """
    in_flight = _IN_FLIGHT_BYTES // max(1, tile_bytes)
    threads = readers
    if tile and not has_cache and tile.member is None and tile.offset is None and storage.requests_ahead(tile.uri):
        threads = min(readers, available_cpus() + 1)
    # Twice as many tiles are in flight as the threads process, so that no thread waits for a result to be taken.
    at_once = max(1, min(_AT_ONCE * readers // threads, in_flight // (2 * threads)))
    return threads, at_once, max(2, min(2 * threads, in_flight // at_once))


def map_batches(
    work: Callable[[list[Item]], Result],
    items: Iterator[Item],
    tile_of: Callable[[Item], Tile],
    *,
    readers: int,
    tile_bytes: int,
    has_cache: bool,
) -> Generator[Result, None, None]:
    """Apply `work` to batches of tiles on threads, and yield the results in the order of the tiles.

    Args:
        work: called on the threads with the items of a batch.
        items: tiles, or items with one each; consumed as there is room.
        tile_of: function that returns the tile of an item.
        readers: number of threads that wait for the network, as configured.
        tile_bytes: size of a decoded tile.
        has_cache: whether tiles may be read from a cache.

    Yields:
        One result per batch; the first error that `work` raises ends it.
    """
    first = list(itertools.islice(items, 1))
    tile = tile_of(first[0]) if first else None
    threads, at_once, window = plan_concurrency(tile, readers, tile_bytes, has_cache=has_cache)
    unread = itertools.chain(first, items)
    batches = iter(lambda: list(itertools.islice(unread, at_once)), [])
    return map_in_order(work, batches, threads=threads, window=window)
