"""Coverage-guided fuzzing of each parser of outside bytes with atheris: the second half of `make fuzz`.

`python -m tests.fuzz.coverage_guided` fuzzes each parser for FUZZ_SECONDS, in a process of its own, and keeps the
inputs of failures in build/fuzz/found. A parser fails if it raises another error than it documents, crashes, or takes
longer than a minute or more than 2 GiB for one input.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "fuzz"
MOST_BYTES = 20_000
LIMITS = ("-timeout=60", "-rss_limit_mb=2048", f"-max_len={MOST_BYTES}", "-verbosity=0", "-print_final_stats=1")

Read = Callable[[bytes], object]
Parser = Callable[[Path], tuple[Read, Iterable[bytes]]]
"""Function of a scratch folder that returns a reader and valid inputs."""


def _file_reader(path: Path, read: Callable[[Path], object]) -> Read:
    from tests.support.hostile import check_refused_or_read

    def read_bytes(data: bytes) -> object:
        path.write_bytes(data)
        return check_refused_or_read(lambda: read(path))

    return read_bytes


def stac(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """Items and catalogs."""
    from tests.fuzz.test_catalogs import CATALOG, COLLECTION, ITEMS, rows

    own_links = {**CATALOG, "links": [{"rel": "item", "href": "document.json"}]}
    one = {**ITEMS, "features": ITEMS["features"][:1]}
    documents = (one, own_links, COLLECTION, ITEMS["features"][0])
    read = _file_reader(folder / "document.json", lambda path: rows(path.parent, path.name))
    return read, [json.dumps(document).encode() for document in documents]


def geoparquet(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """STAC-GeoParquet."""
    import copy

    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    from tests.fuzz.test_catalogs import ITEMS, ingested

    items = copy.deepcopy(ITEMS["features"][:2])
    to_parquet(parse_stac_items_to_arrow([{**item, "collection": "k"} for item in items]), folder / "valid.parquet")
    content = (folder / "valid.parquet").read_bytes()
    return _file_reader(folder / "items.parquet", lambda path: ingested(path.parent, path.name)), [content]


def images(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """GeoTIFF, JPEG, PNG and other pictures."""
    from tests.fuzz.test_images import FILES
    from tests.support.hostile import check_refused_or_read
    from tilepipe.components.shared.tiles.decode import decode

    return lambda data: check_refused_or_read(lambda: decode(data)), FILES.values()


def frames(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """TFRecord frames and the examples in them."""
    from tests.fuzz.test_records import FRAMED, PAYLOAD
    from tests.support.hostile import check_refused_or_read
    from tilepipe.components.shared.records.example import features, only_bytes, parse_example
    from tilepipe.components.shared.records.frames import iter_frames

    def read(data: bytes) -> None:
        check_refused_or_read(lambda: list(iter_frames([data])), ValueError)
        check_refused_or_read(lambda: parse_example(data), ValueError)
        check_refused_or_read(lambda: [only_bytes(each) for each in features(data).values()], ValueError)

    return read, [FRAMED, PAYLOAD]


def manifests(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """Manifests."""
    from tests.fuzz.test_records import MANIFEST
    from tilepipe.components.shared.contracts.manifest import read_manifest

    return _file_reader(folder / "manifest.json", read_manifest), [json.dumps(MANIFEST).encode()]


def tables(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """Tile tables."""
    import pyarrow as pa

    from tilepipe.components.shared.contracts.tile_table import (
        SCHEMA,
        TileTableInfo,
        read_tile_table_info,
        write_tile_table,
    )

    row = {"tile_id": "a", "uri": "/x", "label": "Forest", "split": "train"}
    rows = pa.table({name: [row.get(name)] * 3 for name in SCHEMA.names}, schema=SCHEMA)
    write_tile_table(rows, TileTableInfo(name="n", source="s", source_kind="folder"), folder / "valid.parquet")
    return _file_reader(folder / "tiles.parquet", read_tile_table_info), [(folder / "valid.parquet").read_bytes()]


def bundles(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """Archives of exported models, compressed or not."""
    import gzip

    from tilepipe.components.shared.contracts.bundle import read_bundle, write_bundle

    write_bundle({"model.keras": bytes(200), "mlm.json": b"{}"}, folder / "valid.tar.gz")
    content = gzip.decompress((folder / "valid.tar.gz").read_bytes())
    read = _file_reader(folder / "bundle.tar.gz", read_bundle)
    return lambda data: read(data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1)), [content]


def archives(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """Zip archives of tiles."""
    import io
    import zipfile

    from tilepipe.components.shared.storage import zip_members

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(300))

    def read(path: Path) -> None:
        for member in zip_members.member_sizes(str(path)):
            zip_members.read_member(str(path), member)

    numbers = iter(range(10**12))  # readers keep what they know of a file

    def read_new(data: bytes) -> object:
        path = folder / f"{next(numbers)}.zip"
        try:
            return _file_reader(path, read)(data)
        finally:
            path.unlink(missing_ok=True)

    return read_new, [file.getvalue()]


def checkpoints(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """Checkpoints with a forged digest: that of the content refuses all damage."""
    import numpy as np
    import xxhash

    from tests.support.hostile import check_refused_or_read
    from tilepipe.components.train.checkpoints import file as checkpoint

    state = checkpoint.owned(checkpoint.State({"kernel": np.arange(4, dtype="f4")}, {}, {"step": 1}))
    content = b"".join(bytes(part) for part in checkpoint.encode("key", state.arrays, state.facts).parts)

    def read(data: bytes) -> object:
        digest = xxhash.xxh3_128_hexdigest(data)
        return check_refused_or_read(lambda: checkpoint.decode(data, digest, "key"))

    return read, [content]


def configurations(folder: Path) -> tuple[Read, Iterable[bytes]]:
    """Files of parameters, and parameters of the command line: one per line after a first line `ARGS`."""
    from tests.support.hostile import check_refused_or_read
    from tilepipe.pipelines.cli import arguments
    from tilepipe.pipelines.cli.compilation import compiled_pipeline

    pipeline = compiled_pipeline.load("train_classifier")
    path = folder / "run.yaml"

    def read(data: bytes) -> object:
        if data.startswith(b"ARGS\n"):
            words = data[5:].decode(errors="replace").splitlines()
            return check_refused_or_read(lambda: arguments.collect(pipeline, None, ["data_source=x", *words]))
        path.write_bytes(data)
        return check_refused_or_read(lambda: arguments.collect(pipeline, path, []))

    return read, [
        b"data_source: x\ntrain_epochs: 3\npack_options: {cache: a, tile_size: [64, 64]}\nx: &a [1]\ny: *a\n",
        b'ARGS\ntrain_epochs=3\npack_options={"tile_size": [64, 64]}\ntrain_augmentation=["flip"]',
    ]


PARSERS: dict[str, Parser] = {
    parser.__name__: parser
    for parser in (
        stac,
        geoparquet,
        images,
        frames,
        manifests,
        tables,
        bundles,
        archives,
        checkpoints,
        configurations,
    )
}


def fuzz_one(name: str, seconds: int) -> None:
    """Fuzz one parser until the time is over or it fails; atheris then ends the process."""
    import atheris

    corpus = OUT / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        with atheris.instrument_imports(include=["tilepipe", "tifffile", "yaml", "tarfile", "zipfile"]):
            read, valid = PARSERS[name](Path(scratch))
        for number, data in enumerate(valid):
            read(data)
            (corpus / f"valid-{number}").write_bytes(data)
        (OUT / "found").mkdir(exist_ok=True)
        limits = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={OUT / 'found' / name}-"]
        atheris.Setup([name, str(corpus), *limits], read)
        atheris.Fuzz()


def main(names: Iterable[str]) -> int:
    """Fuzz parsers one after the other; returns 1 if one failed."""
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    failed = []
    for name in names or PARSERS:
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.coverage_guided", "--one", name, str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=ROOT, check=False)
        output = done.stdout + done.stderr
        number = next((line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line), "?")
        print(f"{name}: {number} inputs in {seconds} s, {'failed' if done.returncode else 'passed'}", flush=True)
        if done.returncode:
            failed.append(name)
            print(output[-4000:], flush=True)
    return bool(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        with contextlib.suppress(KeyboardInterrupt):
            fuzz_one(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main(sys.argv[1:]))
