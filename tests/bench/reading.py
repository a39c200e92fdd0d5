"""Reading of shards as in training, compared with a plain sequential read of the same files.

Run as a module with the folder of a packed data set, it prints bytes per second of both, and tiles per second.
"""

import statistics
import sys
import time
from pathlib import Path

from tests.bench.pack import outputs
from tests.bench.peak import own_peak, peak_of
from tests.support.ingesting import ingest_into
from tests.support.measure import Figure
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.merge import MergeInputs, merge
from tilepipe.components.pack.pack import pack
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.pipelines.cli.sample.sample import write_sample

_TILES_PER_CLASS = 200
_ROUNDS = 5
_BATCH_SIZE = 64
_CHUNK_BYTES = 2**20


def measure(scratch: Path) -> list[Figure]:
    """Read the training split of a packed sample, in another order in each pass, without keeping it in memory."""
    folder, sample = scratch / "read", scratch / "read-sample"
    folder.mkdir()
    write_sample(sample, tiles_per_class=_TILES_PER_CLASS)
    ingest_into(folder, source=str(sample / "catalog.json"))
    written = outputs(folder)
    pack(PackConfig(), folder / "tiles.parquet", written)
    parts = MergeInputs([written.part_manifest], [written.contents], [written.quarantine])
    merge(parts, folder / "manifest.json", folder / "left-out.parquet")
    tiles, ours, theirs = map(float, peak_of("tests.bench.reading", str(folder)).lines)
    return [
        Figure("read_shards.rate", tiles, "tiles/s"),
        Figure("read_shards.bytes", ours / 2**20, "MiB/s"),
        Figure("read_shards.of_plain_reading", ours / theirs, "of the rate"),
    ]


def _measured(folder: Path) -> None:
    from tilepipe.components.train.input.options import DataOptions
    from tilepipe.components.train.input.tiles import open_tiles

    manifest = read_manifest(folder / "manifest.json")
    split = manifest.splits["train"]
    files = [folder / "train" / shard.name for shard in split.shards]
    size = sum(shard.bytes for shard in split.shards)
    options = DataOptions(placement="streamed")
    where = {"batch_size": _BATCH_SIZE, "seed": 0, "options": options, "memory_mebibytes": 0}
    ours, theirs = [], []
    with open_tiles([folder / "train"], "train", manifest, **where) as data:
        for epoch in range(1 + _ROUNDS):
            started = time.perf_counter()
            for _ in data.shuffled(epoch):
                pass
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            for file in files:
                _read(file)
            theirs.append(time.perf_counter() - started)
    seconds, plain = (statistics.median(found[1:]) for found in (ours, theirs))
    print(split.tiles / seconds, size / seconds, size / plain)


def _read(path: Path) -> None:
    buffer = bytearray(_CHUNK_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


if __name__ == "__main__":
    _measured(Path(sys.argv[1]))
    own_peak()
