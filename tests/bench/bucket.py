"""The sample in a bucket of a MinIO on this machine, for measurements with an object store."""

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tests.support.ingesting import ingest_into
from tests.support.minio_server import S3Server, own_server
from tests.support.tile_tables import read_tile_table
from tilepipe.components.shared.contracts.tile_table import write_tile_table
from tilepipe.components.shared.storage.s3 import write_bytes
from tilepipe.components.shared.storage.storage import list_files
from tilepipe.pipelines.cli.sample.sample import write_sample

BUCKET = "tiles"
_TILES_PER_CLASS = 90
_COPIES = 3
_SPARE_SECONDS = 2.0


@dataclass(frozen=True)
class Bucket:
    """Addresses of the tiles."""

    server: S3Server
    keys: list[str]
    table: Path
    """Tile table as ingest creates it from a catalog: without checksums, which a GET does not verify either."""
    checked_table: Path
    """Tile table as ingest creates it from the prefix: with the MD5s of the listing."""

    def many(self, path: Path, times: int, *, checked: bool = False) -> Path:
        """Create a table with each object several times under different ids, optionally with the checksums."""
        table, info = read_tile_table(self.checked_table if checked else self.table)
        place = table.schema.get_field_index("tile_id")
        parts = [
            table.set_column(place, "tile_id", pa.array(f"{name}-{time:03d}" for name in table["tile_id"].to_pylist()))
            for time in range(times)
        ]
        write_tile_table(pa.concat_tables(parts), info, path)
        return path


@contextlib.contextmanager
def sample_in_a_bucket(scratch: Path, certificates: Path | None = None) -> Iterator[Bucket]:
    """Serve `_COPIES` times ten classes of the sample's tiles, of 107 kB each; the environment names the server.

    Args:
        scratch: an empty folder.
        certificates: folder of `tls_server.make_certificates`, to serve them over TLS.
    """
    write_sample(scratch / "bucket-sample", tiles_per_class=_TILES_PER_CLASS)
    files = sorted((scratch / "bucket-sample").rglob("*.tif"))
    server_of_tiles = own_server(scratch / "minio", certificates=certificates)
    with server_of_tiles as server, _environment(server, certificates):
        server.make_bucket(BUCKET)
        jobs = [(f"set/{file.parent.name}/{copy}-{file.name}", file) for copy in range(_COPIES) for file in files]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda job: write_bytes(f"s3://{BUCKET}/{job[0]}", job[1].read_bytes()), jobs))
        folder = scratch / "ingested"
        folder.mkdir()
        ingest_into(folder, source=f"s3://{BUCKET}/set", options={"allow_duplicates": True})
        table, info = read_tile_table(folder / "tiles.parquet")
        place = table.schema.get_field_index("checksum")
        unchecked = table.set_column(place, "checksum", pa.nulls(table.num_rows, pa.string()))
        write_tile_table(unchecked, info, scratch / "unchecked.parquet")
        time.sleep(_SPARE_SECONDS)  # the server finishes its writes
        keys = [file.uri.removeprefix(f"s3://{BUCKET}/") for file in list_files(f"s3://{BUCKET}/set")]
        yield Bucket(server, keys, scratch / "unchecked.parquet", folder / "tiles.parquet")


@contextlib.contextmanager
def _environment(server: S3Server, certificates: Path | None) -> Iterator[None]:
    before = dict(os.environ)
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    os.environ.update(
        AWS_ENDPOINT_URL=server.endpoint,
        AWS_ACCESS_KEY_ID=server.access_key,
        AWS_SECRET_ACCESS_KEY=server.secret_key,
        AWS_REGION="us-east-1",
    )
    if certificates:
        os.environ["AWS_CA_BUNDLE"] = str(certificates / "ca-bundle.crt")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
