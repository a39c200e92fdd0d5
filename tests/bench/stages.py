"""Processor time of each stage of packing, measured separately on one thread, with everything in memory."""

import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import xxhash

from tests.bench.bucket import BUCKET, Bucket
from tests.bench.pack_loops import reader_rates
from tests.support.measure import Figure
from tilepipe.components.pack.statistics.tile_moments import TileMoments
from tilepipe.components.shared.records.example import frame_example
from tilepipe.components.shared.storage.storage import read_bytes
from tilepipe.components.shared.tiles.decode import decode

_TILES = 300
_ROUNDS = 5
_PIECE_TILES = 3


def measure(bucket: Bucket) -> list[Figure]:
    """Measure the seconds of one core per 1,000 tiles, one figure per stage; and the rates of the readers."""
    files = [read_bytes(f"s3://{BUCKET}/{key}") for key in bucket.keys[:_TILES]]
    images = [decode(data).pixels for data in files]
    pixels = [image.reshape(-1).view(np.uint8) for image in images]
    records = [frame_example(each, 3, "Forest/0-Forest_1") for each in pixels]
    pieces = [records[start : start + _PIECE_TILES] for start in range(0, len(records), _PIECE_TILES)]
    joined = [b"".join(part for record in piece for part in record) for piece in pieces]
    checksum = xxhash.xxh3_128()
    scratch = bucket.table.with_name("stage")
    with scratch.open("wb", buffering=0) as file:
        stages: list[tuple[str, Callable[[Any], object], Iterable[Any]]] = [
            ("decode", decode, files),
            ("statistics", TileMoments().add, images),
            ("digest", xxhash.xxh3_128_digest, pixels),
            ("frame", lambda each: frame_example(each, 3, "Forest/0-Forest_1"), pixels),
            ("join", lambda piece: b"".join(part for record in piece for part in record), pieces),
            ("checksum", checksum.update, joined),
            ("write", file.write, joined),
            ("md5", lambda data: hashlib.md5(data, usedforsecurity=False), files),
        ]
        found = {name: min(_seconds(work, items) for _ in range(_ROUNDS)) for name, work, items in stages}
    scratch.unlink()
    return [
        *(Figure(f"pack.stage.{name}", value / _TILES * 1000, "s/1000 tiles") for name, value in found.items()),
        *(Figure(f"read.{name}.rate", rate, "tiles/s") for name, rate in reader_rates(files).items()),
    ]


def _seconds(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    started = time.thread_time()
    for item in items:
        work(item)
    return time.thread_time() - started
