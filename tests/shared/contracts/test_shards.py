import shutil

import pytest

from tests.support.packed import write_packed
from tilepipe.components.shared.contracts.shards import check_shard, check_shards, locate_shards
from tilepipe.components.shared.errors import ArtifactError


@pytest.fixture
def packed(tmp_path):
    def write(**settings):
        return write_packed(tmp_path, **settings)

    return write


def test_an_empty_split_has_no_shards(packed, tmp_path):
    assert check_shards([tmp_path / "test"], packed().splits["test"]) == []


def test_a_missing_shard_is_an_error(packed, tmp_path):
    manifest = packed()
    shard = tmp_path / "train" / manifest.splits["train"].shards[0].name
    shard.unlink()
    with pytest.raises(ArtifactError, match=rf"no file {shard.name} in {shard.parent}.*same `pack`"):
        check_shards([tmp_path / "train"], manifest.splits["train"])


def test_shards_are_found_by_name_in_whichever_part_has_them(packed, tmp_path):
    manifest = packed(shards=3)
    folders = [tmp_path / "train", tmp_path / "part-1", tmp_path / "part-2"]
    names = [shard.name for shard in manifest.splits["train"].shards]
    for folder, name in zip(folders[1:], names[:2], strict=True):
        folder.mkdir()
        (tmp_path / "train" / name).rename(folder / name)
    found = check_shards(folders[::-1], manifest.splits["train"])
    assert [path.parent.name for path in found] == ["part-1", "part-2", "train"]
    assert [path.name for path in found] == names


def test_a_shard_that_is_there_twice_is_an_error(packed, tmp_path):
    manifest = packed()
    folders = [tmp_path / "train", tmp_path / "again"]
    shutil.copytree(*folders)
    with pytest.raises(ArtifactError, match=r"exactly once\. Received: 2 files train-00000-of-00001\.tfrecord"):
        check_shards(folders, manifest.splits["train"])


def test_a_truncated_shard_is_an_error(packed, tmp_path):
    manifest = packed()
    shard = tmp_path / "train" / manifest.splits["train"].shards[0].name
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"must have [\d,]+ bytes. Received: [\d,]+ bytes"):
        check_shards([tmp_path / "train"], manifest.splits["train"])


def test_a_damaged_shard_is_an_error_where_checksums_are_verified(packed, tmp_path):
    (stated,) = packed().splits["train"].shards
    shard = tmp_path / "train" / stated.name
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArtifactError, match="must have the checksum"):
        check_shard(shard, stated)
    assert check_shard(shard, stated, verify=False) == shard


def test_addresses_of_shards_are_found_in_whichever_part_has_them(packed, tmp_path):
    manifest = packed(shards=2)
    train, names = manifest.splits["train"], [shard.name for shard in manifest.splits["train"].shards]
    (tmp_path / "part").mkdir()
    (tmp_path / "train" / names[0]).rename(tmp_path / "part" / names[0])
    folders = [(tmp_path / "train").as_uri(), str(tmp_path / "part")]
    assert locate_shards(folders, train) == [str(tmp_path / "part" / names[0]), str(tmp_path / "train" / names[1])]
    (tmp_path / "part" / names[0]).write_bytes(b"short")
    with pytest.raises(ArtifactError, match=r"must have [\d,]+ bytes. Received: 5 bytes"):
        locate_shards(folders, train)
    with pytest.raises(ArtifactError, match=f"no file {names[0]}"):
        locate_shards(folders[:1], train)
    assert locate_shards([], manifest.splits["test"]) == []
