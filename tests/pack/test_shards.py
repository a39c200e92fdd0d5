import hashlib

import pytest

from tilepipe.components.pack.shards import ShardWriter

MEBIBYTE = 1024 * 1024


def write(folder, places, planned, tile_bytes, size=1000):
    with ShardWriter(folder, "train", planned, tile_bytes, shard_mebibytes=1) as writer:
        for place in places:
            writer.write(place, bytes([place % 251]) * size)
        return writer.finish()


def test_files_of_about_the_size_asked_for(tmp_path):
    shards = write(tmp_path, range(3000), 3000, 1000)
    assert [shard.name for shard in shards] == [f"train-0000{index}-of-00003.tfrecord" for index in range(3)]
    assert [shard.tiles for shard in shards] == [1000, 1000, 1000]
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard.name for shard in shards]
    for shard in shards:
        content = (tmp_path / shard.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.bytes, shard.checksum)


def test_a_tile_that_is_left_out_moves_no_other(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "some").mkdir()
    every = write(tmp_path / "all", range(3000), 3000, 1000)
    some = write(tmp_path / "some", [place for place in range(3000) if place != 5], 3000, 1000)
    assert [shard.checksum for shard in some[1:]] == [shard.checksum for shard in every[1:]]
    assert some[0].tiles == 999


def test_a_shard_that_stays_empty_is_none(tmp_path):
    shards = write(tmp_path, range(1000, 3000), 3000, 1000)
    assert [shard.name for shard in shards] == ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]


def test_no_more_shards_than_tiles(tmp_path):
    assert len(write(tmp_path, range(2), 2, 50 * MEBIBYTE)) == 2


def test_an_empty_split_has_no_shards(tmp_path):
    assert write(tmp_path, [], 0, 1000) == ()
    assert list(tmp_path.iterdir()) == []


def test_an_error_closes_the_file(tmp_path):
    with pytest.raises(KeyError), ShardWriter(tmp_path, "train", 1, 1, 1) as writer:
        writer.write(0, b"x")
        raise KeyError
