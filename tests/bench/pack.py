"""Packing from MinIO on this machine, compared with only fetching the same objects and with alternatives for users.

Run as a module with a tile table and a folder, it packs into the folder, and prints its peak memory in bytes.
"""

import logging
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench import stages
from tests.bench.bucket import Bucket, sample_in_a_bucket
from tests.bench.pack_loops import (
    OWN,
    Run,
    boto3_loop,
    clients,
    curl_clients,
    fastest,
    processor_seconds,
    vsis3_loop,
)
from tests.bench.peak import own_peak, peak_of
from tests.support.measure import Figure
from tests.support.tls_server import make_certificates
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.pack import PackOutputs, pack
from tilepipe.components.shared.contracts.manifest import SPLITS

_ROUNDS = 5
_TIMES_OVER = 4
"""Times that a round fetches each object; opening the table and inspecting tiles takes a tenth of a second."""
_CALIBRATED = 900
_VSIS3_TILES = 120
_BOTO3_TILES = 400
_TIMES = 10
_GIBIBYTE = 2**30


def measure(scratch: Path) -> list[Figure]:
    """Measure the rates with MinIO, the readers on one core, the memory for two sizes, and the rate over TLS."""
    with sample_in_a_bucket(scratch) as bucket:
        figures = [*_rates(bucket, scratch), *stages.measure(bucket), *_memory(bucket, scratch)]
    over_tls, certificates = scratch / "tls", scratch / "certificates"
    over_tls.mkdir()
    certificates.mkdir()
    make_certificates(certificates)
    with sample_in_a_bucket(over_tls, certificates) as bucket:
        return [*figures, *_over_tls(bucket, scratch)]


def outputs(folder: Path) -> PackOutputs:
    """Return the output paths of a packing in a folder."""
    return PackOutputs(
        {split: folder / split for split in SPLITS},
        folder / "part.json",
        folder / "contents.parquet",
        folder / "quarantine.parquet",
    )


class _Rounds:
    """Rates and processor times of several runs in turn.

    Args:
        scratch: folder in which packing writes `packed`, which is removed before each run.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._rates = defaultdict[str, list[float]](list)
        self._used = defaultdict[str, list[float]](list)

    def measure(self, runs: Mapping[str, tuple[Run, Sequence[str]]]) -> None:
        """Time one round: each run with the keys that it fetches, by name."""
        for name, (run, keys) in runs.items():
            shutil.rmtree(self._scratch / "packed", ignore_errors=True)
            used_before, started = processor_seconds(), time.perf_counter()
            run(keys)
            self._rates[name].append(len(keys) / (time.perf_counter() - started))
            self._used[name].append((processor_seconds() - used_before) / len(keys) * 1000)

    def rate(self, name: str) -> float:
        """Return the median rate of a run per second."""
        return statistics.median(self._rates[name])

    def processor_time(self, name: str) -> float:
        """Return the median processor time of a run in seconds per 1,000 objects."""
        return statistics.median(self._used[name])

    def ratio(self, figure: str, other: str, goal: float, unit: str, run: str = "pack") -> Figure:
        """Return the median ratio of the rate of a run to that of another run of the same round."""
        pairs = zip(self._rates[run], self._rates[other], strict=True)
        value = statistics.median(ours / theirs for ours, theirs in pairs)
        return Figure(figure, value, unit, f">= {goal:g}", value >= goal)


def _packing(table: Path, scratch: Path) -> Run:
    def run(_: Sequence[str]) -> None:
        pack(PackConfig(), table, outputs(scratch / "packed"))

    return run


def _with_profile(run: Run, scratch: Path) -> Run:
    """Return a run that takes the same key from an AWS profile."""
    key = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    profile = scratch / "aws-credentials"
    profile.write_text("[default]\n" + "".join(f"{name.lower()} = {value}\n" for name, value in key.items()))

    def run_with_profile(keys: Sequence[str]) -> None:
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(profile)
        for name in key:
            del os.environ[name]
        try:
            run(keys)
        finally:
            os.environ.update(key)

    return run_with_profile


def _over_tls(bucket: Bucket, scratch: Path) -> list[Figure]:
    """Compare packing over TLS with libcurl's GETs of the same objects, and with packing with a profile."""
    curl = curl_clients(bucket.server)
    keys = bucket.keys * _TIMES_OVER
    packing = _packing(bucket.many(scratch / "over-tls.parquet", _TIMES_OVER), scratch)
    runs = {
        "pack": packing,
        "curl": curl[fastest(curl, bucket.keys[:_CALIBRATED])],
        "profile": _with_profile(packing, scratch),
    }
    runs["pack"](keys)
    rounds = _Rounds(scratch)
    for _ in range(_ROUNDS):
        rounds.measure({name: (run, keys) for name, run in runs.items()})
    return [
        Figure("pack.tls.rate", rounds.rate("pack"), "tiles/s"),
        Figure("get.curl_tls.rate", rounds.rate("curl"), "objects/s"),
        rounds.ratio("pack.tls.of_curl_get", "curl", 0.80, "of curl's"),
        rounds.ratio("pack.tls.with_profile", "pack", 0.90, "of the rate with a key", run="profile"),
        Figure("pack.tls.processor_time", rounds.processor_time("pack"), "s/1000 tiles"),
        Figure("get.curl_tls.processor_time", rounds.processor_time("curl"), "s/1000 tiles"),
    ]


def _rates(bucket: Bucket, scratch: Path) -> list[Figure]:
    ways = clients(bucket.server)
    for run in (next(iter(each.values())) for each in ways.values()):
        run(bucket.keys[:_CALIBRATED])  # to warm up
    chosen = {name: fastest(each, bucket.keys[:_CALIBRATED]) for name, each in ways.items()}
    print("fastest with:", ", ".join(f"{name} {way}" for name, way in chosen.items()), file=sys.stderr)
    table = bucket.many(scratch / "over.parquet", _TIMES_OVER)
    checked = bucket.many(scratch / "checked.parquet", _TIMES_OVER, checked=True)
    keys = bucket.keys * _TIMES_OVER
    _packing(table, scratch)(keys)
    loops = vsis3_loop(bucket.server), boto3_loop(bucket.server)
    rounds = _Rounds(scratch)
    for number in range(_ROUNDS):
        # GDAL caches what it has read: each round uses other objects.
        parts = [bucket.keys[number * size :][:size] for size in (_VSIS3_TILES, _BOTO3_TILES)]
        runs = {
            "pack": (_packing(table, scratch), keys),
            **{name: (each[chosen[name]], bucket.keys if name == "boto3" else keys) for name, each in ways.items()},
            "checked": (_packing(checked, scratch), keys),
            "vsis3": (loops[0], parts[0]),
            "boto3_loop": (loops[1], parts[1]),
        }
        rounds.measure(runs)
    shutil.rmtree(scratch / "packed", ignore_errors=True)
    best = max(ways.keys() - {OWN}, key=rounds.rate)
    return [
        Figure("pack.s3.rate", rounds.rate("pack"), "tiles/s"),
        Figure("pack.s3.rate_with_md5", rounds.rate("checked"), "tiles/s"),
        *(Figure(f"get.{name}.rate", rounds.rate(name), "objects/s") for name in ways),
        Figure("loop.vsis3.rate", rounds.rate("vsis3"), "tiles/s"),
        Figure("loop.boto3.rate", rounds.rate("boto3_loop"), "tiles/s"),
        rounds.ratio("pack.s3.of_fastest_get", best, 0.80, f"of {best}'s"),
        rounds.ratio("pack.s3.over_vsis3_loop", "vsis3", 20, "times"),
        rounds.ratio("pack.s3.over_boto3_loop", "boto3_loop", 5, "times"),
        Figure("pack.s3.processor_time", rounds.processor_time("pack"), "s/1000 tiles"),
        *(
            Figure(f"get.{name}.processor_time", rounds.processor_time(name), "s/1000 tiles")
            for name in ("obstore", "curl", OWN)
        ),
    ]


def _memory(bucket: Bucket, scratch: Path) -> list[Figure]:
    """Return the peak memory of a process that packs; the larger table has each object ten times, under other ids."""
    tables = [bucket.table, bucket.many(scratch / "many.parquet", _TIMES)]
    peaks = []
    for table in tables:
        peaks.append(peak_of("tests.bench.pack", str(table), str(scratch / "measured")).peak_bytes)
        shutil.rmtree(scratch / "measured")
    growth = peaks[1] / peaks[0]
    tiles = len(bucket.keys)
    return [
        Figure(f"pack.peak_memory_{tiles}", peaks[0] / _GIBIBYTE, "GiB"),
        Figure(f"pack.peak_memory_{tiles * _TIMES}", peaks[1] / _GIBIBYTE, "GiB", "< 1", peaks[1] < _GIBIBYTE),
        Figure("pack.peak_memory_growth", growth, "times", "<= 1.1", growth <= 1.1),
    ]


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    pack(PackConfig(), Path(sys.argv[1]), outputs(Path(sys.argv[2])))
    own_peak()
