import base64
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.conftest import make_item
from tests.support.ingesting import ingest_into
from tests.support.tile_tables import read_tile_table
from tilepipe.components.ingest.sources.stac.multihash import hexadecimal

DIGEST = bytes.fromhex("1220") + hashlib.sha256(b"tile").digest()


def base58(content):
    number, text = int.from_bytes(content, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + text
    return text


SPELLINGS = {
    "hexadecimal": DIGEST.hex().upper(),
    "base16": "f" + DIGEST.hex(),
    "base32": "b" + base64.b32encode(DIGEST).decode().rstrip("=").lower(),
    "base58": "z" + base58(DIGEST),
    "base64": "m" + base64.b64encode(DIGEST).decode().rstrip("="),
    "padded": "M" + base64.b64encode(DIGEST).decode(),
    "url": "u" + base64.urlsafe_b64encode(DIGEST).decode().rstrip("="),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_spellings_of_a_multihash(spelling):
    assert hexadecimal(SPELLINGS[spelling]) == DIGEST.hex()


def test_base58_is_that_of_ipfs():
    # https://docs.ipfs.tech/concepts/content-addressing/: a version 0 CID is a bare base58 multihash.
    assert hexadecimal("zQmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG") == (
        "12209d6c2be50f706953479ab9df2ce3edca90b68053c00b3004b7f0accbe1e8eedf"
    )


@pytest.mark.parametrize("text", ["", "xyz", "f12", "f1220aa", "mAAAA!", "z0OIl", "bafy1", "m"])
def test_texts_that_are_no_multihash(text):
    assert hexadecimal(text) is None


def test_checksums_of_a_geoparquet(tmp_path):
    rows = []
    for number, spelling in enumerate([*SPELLINGS, *SPELLINGS, *SPELLINGS]):
        image = make_item()["assets"]["image"] | {"href": f"./{number}.tif", "file:checksum": SPELLINGS[spelling]}
        rows.append({"id": f"t{number:02d}", "class": "ab"[number % 2], "assets": {"image": image}})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    ingest_into(tmp_path, source=str(tmp_path / "items.parquet"), options={"allow_duplicates": True})
    assert set(read_tile_table(tmp_path / "tiles.parquet")[0]["checksum"].to_pylist()) == {DIGEST.hex()}
