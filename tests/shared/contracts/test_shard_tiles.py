import numpy as np
import pytest

from tests.support.packed import manifest_for, shard_of, write_packed
from tests.support.tensorflow_shards import open_shards
from tilepipe.components.shared.contracts import shard_tiles
from tilepipe.components.shared.contracts.shard_tiles import aligned, read_tiles
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.records.frames import frame


def read_all(folder, split, manifest):
    """Read images, labels and ids of a split."""
    images, labels, ids = [], [], []
    for shard in manifest.splits[split].shards:
        for tile in read_tiles(folder / split / shard.name, shard, manifest):
            images.append(tile.image.copy())
            labels.append(tile.label)
            ids.append(tile.tile_id)
    return images, labels, ids


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_tiles_are_those_that_tensorflow_reads(tmp_path, dtype):
    manifest = write_packed(tmp_path, dtype=dtype, shape=(5, 7, 3), shards=2)
    images, labels, ids = read_all(tmp_path, "train", manifest)
    ((theirs, their_labels, their_ids),) = open_shards(
        tmp_path, "train", manifest, batch_size=100, with_ids=True
    ).as_numpy_iterator()
    assert images[0].dtype == dtype
    np.testing.assert_array_equal(np.stack(images), theirs)
    assert labels == their_labels.tolist()
    assert ids == [tile_id.decode() for tile_id in their_ids]


# A record has about 330 bytes: cut anywhere, and larger than the buffer.
@pytest.mark.parametrize("piece_bytes", [7, 100, 333, 1000])
def test_tiles_however_the_file_is_cut(tmp_path, monkeypatch, piece_bytes):
    manifest = write_packed(tmp_path)
    images, labels, ids = read_all(tmp_path, "train", manifest)
    monkeypatch.setattr(shard_tiles, "_PIECE_BYTES", piece_bytes)
    again = read_all(tmp_path, "train", manifest)
    np.testing.assert_array_equal(np.stack(again[0]), np.stack(images))
    assert again[1:] == (labels, ids)


def write_shard(folder, examples):
    """A shard of serialized examples, and its entry in a manifest."""
    content = b"".join(map(frame, examples))
    (folder / "a.tfrecord").write_bytes(content)
    return folder / "a.tfrecord", shard_of("a.tfrecord", content, len(examples))


def example(*names, label=1, tile_id="a", size=256):
    """Serialize an example with its features in this order, which TensorFlow's own writer cannot do."""
    import tensorflow as tf

    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes([label % 256]) * size])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "tile_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[tile_id.encode()])),
    }
    entries = b""
    for name in names:
        one = tf.train.Features(feature={name: features[name]})
        entries += one.SerializeToString()
    return wrapped(entries)


def wrapped(entries):
    size, length = len(entries), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return b"\x0a" + length + bytes([size]) + entries


def test_records_of_one_length_may_have_their_features_in_any_order(tmp_path):
    orders = [("image", "label", "tile_id"), ("tile_id", "image", "label"), ("label", "tile_id", "image")]
    # Labels above 127 and longer ids take more bytes; equal lengths with other orders must not be confused.
    cases = [
        (order, label, tile_id)
        for label in (3, 300, 5)
        for tile_id in ("a", "é", "longer")
        for order in (*orders, *orders)
    ]
    path, shard = write_shard(tmp_path, [example(*order, label=label, tile_id=i) for order, label, i in cases])
    found = [
        (tile.label, tile.tile_id, int(tile.image.view(np.uint8).ravel()[0]))
        for tile in read_tiles(path, shard, manifest_for())
    ]
    wanted = [(label, tile_id, label % 256) for _, label, tile_id in cases]
    assert found == wanted


@pytest.mark.parametrize(
    "names",
    [("image", "label"), ("image", "tile_id"), ("label", "tile_id"), ()],
    ids=["no id", "no label", "no image", "nothing"],
)
def test_a_record_without_a_feature_is_refused(tmp_path, names):
    path, shard = write_shard(tmp_path, [example(*names)])
    with pytest.raises(ArtifactError, match=r"must hold 1 tiles of \(8, 8, 2\) uint16\. Received: other records"):
        list(read_tiles(path, shard, manifest_for()))


def test_pixels_of_another_size_are_refused(tmp_path):
    path, shard = write_shard(
        tmp_path, [example("image", "label", "tile_id"), example("image", "label", "tile_id", size=255)]
    )
    with pytest.raises(ArtifactError, match="Received: other records"):
        list(read_tiles(path, shard, manifest_for()))


@pytest.mark.parametrize("stated", [1, 3])
def test_more_or_fewer_tiles_than_the_manifest_states_are_refused(tmp_path, stated):
    path, shard = write_shard(tmp_path, [example("image", "label", "tile_id")] * 2)
    with pytest.raises(ArtifactError, match=f"must hold {stated} tiles"):
        list(read_tiles(path, shard.model_copy(update={"tiles": stated}), manifest_for()))


@pytest.mark.parametrize("position", [0, 50, -1])
def test_a_damaged_shard_is_refused(tmp_path, position):
    path, shard = write_shard(tmp_path, [example("image", "label", "tile_id")] * 2)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="s3://bucket/a must have the checksum"):
        list(read_tiles(path, shard, manifest_for(), shown="s3://bucket/a"))


@pytest.mark.parametrize("shape", [(0, 3, 3, 1), (5, 7, 3, 2), (100, 64, 64, 3)])
def test_arrays_start_where_tensorflow_takes_them_as_they_are(shape):
    array = aligned(shape, np.dtype("uint16"))
    assert array.shape == shape
    assert array.ctypes.data % 64 == 0 or not array.size
    assert array.flags.c_contiguous
