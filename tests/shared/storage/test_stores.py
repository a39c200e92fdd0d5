"""What object stores do, as the documentation says."""

import uuid
from pathlib import Path

import pytest

from tests.support.s3_stores import STORES
from tests.support.store_probes import probe

README = Path(__file__).parents[3] / "components" / "shared" / "storage" / "README.md"


def documented():
    """Return the table of the documentation: the answers of each store, by its name in lower case."""
    lines = [line.strip("| ") for line in README.read_text().splitlines() if line.startswith("| ")]
    header, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    names = [title.split()[0].lower() for title in header[1:]]
    return {name: {row[0]: row[column] for row in rows} for column, name in enumerate(names, 1)}


@pytest.mark.parametrize("store", ["minio", "versitygw", "seaweedfs"])
def test_the_table_of_stores(store, s3_servers, monkeypatch):
    if store not in STORES:
        pytest.skip(f"{store} is absent: CONTRIBUTING.md says how tests find it")
    server = s3_servers(store)
    server.use(monkeypatch)
    bucket = server.make_bucket(f"probes-{uuid.uuid4().hex[:8]}")
    assert probe(server, bucket.name) == documented()[store]
