"""Files between steps and from other writers: TFRecords, manifests, tile tables, bundles, checkpoints, zips."""

import gzip
import io
import json
import tarfile
import tracemalloc
import uuid
import zipfile

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.hostile import check_refused_or_read, damaged, spoiled
from tests.support.packed import manifest_for, shard_of
from tilepipe.components.pack.packing_order import open_plan
from tilepipe.components.predict_tiles.tile_rows import read_rows
from tilepipe.components.shared.contracts.bundle import read_bundle, write_bundle
from tilepipe.components.shared.contracts.manifest import SplitSummary, read_manifest
from tilepipe.components.shared.contracts.shard_tiles import read_tiles
from tilepipe.components.shared.contracts.tile_table import (
    SCHEMA,
    TileTableInfo,
    read_tile_table_info,
    write_tile_table,
)
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.records.example import features, frame_example, only_bytes, parse_example
from tilepipe.components.shared.records.frames import iter_frames
from tilepipe.components.shared.storage import zip_members
from tilepipe.components.train.checkpoints import file as checkpoint

MANIFEST = json.loads(manifest_for().model_dump_json())
FRAMED = b"".join(bytes(part) for part in frame_example(bytes(256), 1, "tile"))
PAYLOAD = next(iter_frames([FRAMED]))[1]


@pytest.fixture
def hostile_file(tmp_path):
    """Function that writes a content under a new name: some readers keep what they know of a file."""

    def write(content):
        path = tmp_path / uuid.uuid4().hex
        path.write_bytes(content)
        return path

    return write


@given(damaged(FRAMED * 3))
def test_frames(data):
    found = check_refused_or_read(lambda: list(iter_frames([data])), ValueError)
    assert found is None or all(payload == PAYLOAD for _, payload in found)


@given(damaged(PAYLOAD))
def test_examples(data):
    check_refused_or_read(lambda: parse_example(data), ValueError)
    check_refused_or_read(lambda: [only_bytes(each) for each in features(data).values()], ValueError)
    assert len(data) < 10 * len(PAYLOAD)


@given(st.data())
def test_a_damaged_shard_is_never_taken_for_whole(hostile_file, data):
    shard = shard_of("s", FRAMED * 3, tiles=3)
    split = SplitSummary(tiles=3, tiles_per_class={"Forest": 0, "SeaLake": 3, "Industrial": 0}, shards=(shard,))
    manifest = manifest_for(splits={"train": split})
    content = data.draw(damaged(FRAMED * 3))
    found = check_refused_or_read(lambda: [tile.tile_id for tile in read_tiles(hostile_file(content), shard, manifest)])
    assert (found == ["tile"] * 3) == (content == FRAMED * 3)


@given(spoiled(MANIFEST))
def test_manifests(hostile_file, document):
    content = json.dumps(document).encode()
    found = check_refused_or_read(lambda: read_manifest(hostile_file(content)))
    if found is not None:
        assert min(found.tile_shape) >= 1
        assert np.isfinite([(one.mean, one.std, one.minimum, one.maximum) for one in found.statistics]).all()


@given(damaged(json.dumps(MANIFEST).encode()))
def test_bytes_of_manifests(hostile_file, content):
    found = check_refused_or_read(lambda: read_manifest(hostile_file(content)))
    assert found is None or found.schema_version == 1


@pytest.fixture(scope="module")
def tile_table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "tiles.parquet"
    row = {"tile_id": "a", "uri": "/x", "label": "Forest", "split": "train"}
    rows = pa.table({name: [row.get(name)] * 3 for name in SCHEMA.names}, schema=SCHEMA)
    write_tile_table(rows, TileTableInfo(name="n", source="s", source_kind="folder", class_names=("Forest",)), path)
    return path.read_bytes()


@given(st.data())
def test_tile_tables(tile_table, hostile_file, data):
    content = data.draw(damaged(tile_table))
    found = check_refused_or_read(lambda: read_tile_table_info(hostile_file(content)))
    assert found is None or isinstance(found, TileTableInfo)
    rows = check_refused_or_read(lambda: list(read_rows(hostile_file(content), range(3), 100)))
    assert rows is None or sum(batch.num_rows for batch in rows) == 3
    splits = check_refused_or_read(lambda: splits_of(hostile_file(content)))
    assert splits is None or sum(splits.values()) == 3


def splits_of(path):
    with open_plan(path, seed=0) as plan:
        return plan.counts


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model.tar.gz"
    write_bundle({"model.keras": bytes(range(256)), "mlm.json": b"{}"}, path)
    return path.read_bytes()


@settings(max_examples=80)
@given(st.data())
def test_a_damaged_bundle_is_never_taken_for_whole(bundle, hostile_file, data):
    is_packed = data.draw(st.booleans())
    content = data.draw(damaged(bundle)) if is_packed else gzip.compress(data.draw(damaged(gzip.decompress(bundle))), 1)
    found = check_refused_or_read(lambda: read_bundle(hostile_file(content)))
    assert found in (None, {"model.keras": bytes(range(256)), "mlm.json": b"{}"})


@pytest.mark.parametrize("stated", [b"[]", b"[1]", b"null", b"[" * 100_000, b"{", b'{"a": 1}'])
def test_checksums_of_a_bundle_may_be_anything(tmp_path, hostile_file, stated):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("checksums.json")
        member.size = len(stated)
        archive.addfile(member, io.BytesIO(stated))
    path = hostile_file(file.getvalue())
    if stated == b"[]":  # no files, and no checksums
        assert read_bundle(path) == {}
    else:
        with pytest.raises(ArtifactError, match="A bundle must be"):
            read_bundle(path)


def tar_header(kind, size):
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_SPARSE, tarfile.SYMTYPE])
def test_headers_of_a_bundle_take_no_memory(hostile_file, kind):
    content = gzip.compress(tar_header(kind, 64 * 2**20) + bytes(64 * 2**20), 1)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match="the entry 'x' is not a plain file"):
            read_bundle(hostile_file(content))
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_nothing_follows_the_files_of_a_bundle(bundle, hostile_file):
    whole = gzip.decompress(bundle)
    for content in (whole + bytes(2**20), whole[:-10240], whole + tar_header(tarfile.REGTYPE, 0)):
        with pytest.raises(ArtifactError, match="no end, or more after it"):
            read_bundle(hostile_file(gzip.compress(content, 1)))


@given(st.data())
def test_checkpoints(data):
    state = checkpoint.owned(checkpoint.State({"kernel": np.arange(4, dtype="f4")}, {}, {"step": 1}))
    content = b"".join(bytes(part) for part in checkpoint.encode("key", state.arrays, state.facts).parts)
    found = data.draw(damaged(content))
    digest = xxhash.xxh3_128_hexdigest(found)  # a forged one, since the digest of the content refuses all damage
    arrays = check_refused_or_read(lambda: checkpoint.decode(found, digest, "key"))
    assert arrays is None or sum(array.nbytes for array in arrays[0].values()) < 1000


@given(st.data())
def test_zips(hostile_file, data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(300))
        archive.writestr("b.png", b"22")
    path = str(hostile_file(data.draw(damaged(file.getvalue()))))
    for member in check_refused_or_read(lambda: zip_members.member_sizes(path)) or ():
        assert ".." not in member.split("/")
        check_refused_or_read(lambda member=member: zip_members.read_member(path, member))
