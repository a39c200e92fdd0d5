import shutil

import numpy as np
import pytest

from tests.support.packed import write_packed
from tilepipe.components.shared.contracts.shards import check_shards, open_shards
from tilepipe.components.shared.errors import ArtifactError


@pytest.fixture
def packed(tmp_path):
    def write(**settings):
        return write_packed(tmp_path, **settings)

    return write


def ids(data):
    return [tile_id.decode() for _, _, batch in data for tile_id in batch.numpy()]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_batches_hold_what_was_packed(packed, tmp_path, dtype):
    manifest = packed(dtype=dtype, shape=(5, 7, 3), shards=2)
    data = open_shards([tmp_path / "train"], manifest.splits["train"], manifest, batch_size=10, with_ids=True)
    batches = list(data.as_numpy_iterator())
    assert [len(labels) for _, labels, _ in batches] == [10, 10, 4]
    assert data.cardinality().numpy() == 3
    assert not data.options().autotune.enabled
    for images, labels, tile_ids in batches:
        assert images.dtype == dtype
        assert images.shape[1:] == (5, 7, 3)
        assert labels.dtype == np.int64
        assert [int(tile_id[-1:]) for tile_id in tile_ids] == labels.tolist()
        brightness = images.reshape(len(images), -1).mean(axis=1)
        assert np.abs(brightness - (60 + 60 * labels)).max() < 15


def test_the_order_is_the_shards_own_without_a_seed(packed, tmp_path):
    manifest = packed(shards=3)
    data = open_shards([tmp_path / "train"], manifest.splits["train"], manifest, batch_size=5, with_ids=True)
    assert ids(data) == ids(data)
    assert ids(data)[0] == open_first(tmp_path / "train" / manifest.splits["train"].shards[0].name)


def open_first(path):
    import tensorflow as tf

    record = next(iter(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()))
    return tf.train.Example.FromString(record).features.feature["tile_id"].bytes_list.value[0].decode()


def test_an_empty_split_has_no_batches(packed, tmp_path):
    manifest = packed()
    data = open_shards([tmp_path / "test"], manifest.splits["test"], manifest, batch_size=10)
    assert list(data) == []


def test_a_missing_shard_is_an_error(packed, tmp_path):
    manifest = packed()
    shard = tmp_path / "train" / manifest.splits["train"].shards[0].name
    shard.unlink()
    with pytest.raises(ArtifactError, match=rf"no file {shard.name} in {shard.parent}.*same `pack`"):
        open_shards([tmp_path / "train"], manifest.splits["train"], manifest, batch_size=10)


def test_shards_are_found_by_name_in_whichever_part_has_them(packed, tmp_path):
    manifest = packed(shards=3)
    folders = [tmp_path / "train", tmp_path / "part-1", tmp_path / "part-2"]
    names = [shard.name for shard in manifest.splits["train"].shards]
    whole = ids(open_shards(folders[:1], manifest.splits["train"], manifest, batch_size=5, with_ids=True))
    for folder, name in zip(folders[1:], names[:2], strict=True):
        folder.mkdir()
        (tmp_path / "train" / name).rename(folder / name)
    found = check_shards(folders[::-1], manifest.splits["train"])
    assert [path.parent.name for path in found] == ["part-1", "part-2", "train"]
    assert ids(open_shards(folders, manifest.splits["train"], manifest, batch_size=5, with_ids=True)) == whole


def test_a_shard_that_is_there_twice_is_an_error(packed, tmp_path):
    manifest = packed()
    folders = [tmp_path / "train", tmp_path / "again"]
    shutil.copytree(*folders)
    with pytest.raises(ArtifactError, match=r"there, once\. Received: 2 files train-00000-of-00001\.tfrecord"):
        check_shards(folders, manifest.splits["train"])


def test_a_truncated_shard_is_an_error(packed, tmp_path):
    manifest = packed()
    shard = tmp_path / "train" / manifest.splits["train"].shards[0].name
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"must have [\d,]+ bytes. Received: [\d,]+ bytes"):
        open_shards([tmp_path / "train"], manifest.splits["train"], manifest, batch_size=10)


def test_a_damaged_shard_is_an_error_where_checksums_are_verified(packed, tmp_path):
    manifest = packed()
    shard = tmp_path / "train" / manifest.splits["train"].shards[0].name
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArtifactError, match="must have the checksum"):
        check_shards([tmp_path / "train"], manifest.splits["train"])
    assert check_shards([tmp_path / "train"], manifest.splits["train"], verify=False) == [shard]
