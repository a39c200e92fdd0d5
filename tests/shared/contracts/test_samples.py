"""Tests of the small sample of tiles."""

import numpy as np
import pytest

from tests.support.packed import manifest_for, write_packed
from tilepipe.components.shared.contracts.samples import choose_samples, read_samples, write_samples
from tilepipe.components.shared.contracts.shard_tiles import read_tiles
from tilepipe.components.shared.errors import ArtifactError

TILE_BYTES = 8 * 8 * 2 * 2


@pytest.fixture
def manifest(tmp_path):
    return write_packed(tmp_path, tiles=(6, 13, 0), shards=2)


@pytest.mark.parametrize(("most_bytes", "count"), [(2**20, 13), (5 * TILE_BYTES + 1, 5), (1, 1)])
def test_the_first_tiles_are_taken_up_to_the_size(tmp_path, manifest, most_bytes, count):
    samples = choose_samples([tmp_path / "val"], "val", manifest, most_bytes=most_bytes)
    write_samples(samples, tmp_path / "samples.npz")
    found = read_samples(tmp_path / "samples.npz", manifest)
    tiles = [
        (tile.image.copy(), tile.label, tile.tile_id)
        for shard in manifest.splits["val"].shards
        for tile in read_tiles(tmp_path / "val" / shard.name, shard, manifest)
    ][:count]
    assert found.split == "val"
    np.testing.assert_array_equal(found.tiles, np.stack([image for image, _, _ in tiles]))
    assert found.labels.tolist() == [label for _, label, _ in tiles]
    assert found.tile_ids == tuple(tile_id for _, _, tile_id in tiles)


def test_a_damaged_shard_is_refused(tmp_path, manifest):
    path = tmp_path / "val" / manifest.splits["val"].shards[0].name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="must have the checksum"):
        choose_samples([tmp_path / "val"], "val", manifest, most_bytes=1)


def test_samples_of_other_tiles_are_refused(tmp_path, manifest):
    write_samples(choose_samples([tmp_path / "val"], "val", manifest), tmp_path / "samples.npz")
    with pytest.raises(ArtifactError, match=r"Samples must be tiles of \(8, 8, 3\) uint16.* Received: \(8, 8, 2\)"):
        read_samples(tmp_path / "samples.npz", manifest_for((8, 8, 3)))
    with pytest.raises(ArtifactError, match="each with a class of the manifest"):
        read_samples(tmp_path / "samples.npz", manifest_for((8, 8, 2), classes=("Forest",)))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 and no more"])
def test_another_file_is_refused(tmp_path, manifest, content):
    (tmp_path / "samples.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match="must be the file of `evaluate`"):
        read_samples(tmp_path / "samples.npz", manifest)
