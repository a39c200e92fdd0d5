import numpy as np
import pytest
import xxhash

from tilepipe.components.pack.shards.writer import ShardPlan, ShardWriter
from tilepipe.components.shared.records.example import frame_example

MEBIBYTE = 1024 * 1024


def write(folder, places, planned, tile_bytes, size=1000, part=0, parts=1):
    """Write the records of one worker; returns its shards by their numbers."""
    plan = ShardPlan.of("train", planned, tile_bytes, shard_mebibytes=1)
    wanted = set(places)
    with ShardWriter(folder, plan) as writer:
        for shard in plan.of_part(part, parts):
            for place in plan.places(shard):
                if place in wanted:
                    writer.write(shard, [bytes([place % 251]) * size])
        return writer.finish()


def test_files_of_about_the_size_asked_for(tmp_path):
    shards = write(tmp_path, range(3000), 3000, 1000)
    assert list(shards) == [0, 1, 2]
    assert [shard.name for shard in shards.values()] == [f"train-0000{index}-of-00003.tfrecord" for index in range(3)]
    assert [shard.tiles for shard in shards.values()] == [1000, 1000, 1000]
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard.name for shard in shards.values()]
    for shard in shards.values():
        content = (tmp_path / shard.name).read_bytes()
        assert (len(content), xxhash.xxh3_128_hexdigest(content)) == (shard.bytes, shard.checksum)


@pytest.mark.parametrize(("tiles", "count"), [(1, 1), (7, 3), (3000, 7), (10, 10)])
def test_every_tile_has_one_shard(tiles, count):
    plan = ShardPlan("val", tiles, count)
    assert [place for shard in range(count) for place in plan.places(shard)] == list(range(tiles))
    lengths = [len(plan.places(shard)) for shard in range(count)]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_workers_share_the_shards_and_give_them_the_same_names_and_bytes(tmp_path, parts):
    (tmp_path / "all").mkdir()
    whole, shared = write(tmp_path / "all", range(3000), 3000, 1000), {}
    for part in range(parts):
        (tmp_path / str(part)).mkdir()
        shared |= write(tmp_path / str(part), range(3000), 3000, 1000, part=part, parts=parts)
    assert dict(sorted(shared.items())) == whole
    assert sorted(path.name for path in tmp_path.glob("[0-9]/*")) == [shard.name for shard in whole.values()]


def test_a_tile_that_is_left_out_moves_no_other(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "some").mkdir()
    every = write(tmp_path / "all", range(3000), 3000, 1000)
    some = write(tmp_path / "some", [place for place in range(3000) if place != 5], 3000, 1000)
    assert [some[number] for number in (1, 2)] == [every[number] for number in (1, 2)]
    assert some[0].tiles == 999


def test_a_shard_that_stays_empty_is_no_file_and_changes_no_name(tmp_path):
    shards = write(tmp_path, range(1000, 3000), 3000, 1000)
    assert [shard.name for shard in shards.values()] == [
        "train-00001-of-00003.tfrecord",
        "train-00002-of-00003.tfrecord",
    ]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_shard_larger_than_what_is_written_at_once(tmp_path):
    plan = ShardPlan("train", 3, 1)
    records = [bytes([number]) * (3 * MEBIBYTE + number) for number in range(3)]
    with ShardWriter(tmp_path, plan) as writer:
        for record in records:
            writer.write(0, [record[:5], record[5:]])
        (shard,) = writer.finish().values()
    assert (tmp_path / shard.name).read_bytes() == b"".join(records)
    assert shard.bytes == sum(map(len, records))
    assert shard.checksum == xxhash.xxh3_128_hexdigest(b"".join(records))


def test_no_more_shards_than_tiles(tmp_path):
    assert len(write(tmp_path, range(2), 2, 50 * MEBIBYTE)) == 2


def test_an_empty_split_has_no_shards(tmp_path):
    assert write(tmp_path, [], 0, 1000) == {}
    assert list(tmp_path.iterdir()) == []


def test_an_error_closes_the_file(tmp_path):
    with pytest.raises(KeyError), ShardWriter(tmp_path, ShardPlan("train", 1, 1)) as writer:
        writer.write(0, [b"x"])
        raise KeyError


def test_the_bytes_of_a_shard_never_change(tmp_path):
    """A digest of a shard that an earlier release wrote: training resumes and caches rely on identical bytes."""
    with ShardWriter(tmp_path, ShardPlan("train", 300, 1)) as writer:
        for number in range(300):
            pixels = np.arange(number, number + 8 * 8 * 4, dtype="<u2").view(np.uint8)
            writer.write(0, frame_example(pixels, number, f"größe/{number}"))
        (shard,) = writer.finish().values()
    assert (shard.tiles, shard.bytes, shard.checksum) == (300, 178_262, "02e6c81ccc11ca94e1999bda0546f4e6")
