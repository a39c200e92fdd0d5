import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

from tests.support.packed import write_packed
from tilepipe.components.train.input import shard_reader
from tilepipe.components.train.input.shard_reader import ShardReader, aligned


@pytest.fixture
def reader(tmp_path):
    manifest = write_packed(tmp_path, shards=4)
    shards = manifest.splits["train"].shards
    return ShardReader([str(tmp_path / "train" / shard.name) for shard in shards], shards, manifest, None)


# A record has about 330 bytes: cut anywhere, and larger than the buffer.
@pytest.mark.parametrize("piece_bytes", [7, 100, 333, 1000])
def test_tiles_however_the_file_is_cut(reader, monkeypatch, piece_bytes):
    images, labels = reader.read([0, 2], threading.Event())
    assert images.shape == (12, 8, 8, 2)
    assert np.abs(images.reshape(12, -1).mean(axis=1) - (60 + 60 * labels)).max() < 15
    monkeypatch.setattr(shard_reader, "_PIECE_BYTES", piece_bytes)
    again = reader.read([0, 2], threading.Event())
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[1], labels)


def test_shards_come_in_the_order_that_is_asked_for(reader):
    images, labels = reader.read([3, 1], threading.Event())
    for place, number in enumerate((3, 1)):
        alone = reader.read([number], threading.Event())
        np.testing.assert_array_equal(images[6 * place : 6 * place + 6], alone[0])
        np.testing.assert_array_equal(labels[6 * place : 6 * place + 6], alone[1])


def test_reading_can_be_stopped(reader):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(CancelledError):
        reader.read([0], stopped)


@pytest.mark.parametrize("shape", [(0, 3, 3, 1), (5, 7, 3, 2), (100, 64, 64, 3)])
def test_arrays_start_where_tensorflow_takes_them_as_they_are(shape):
    array = aligned(shape, np.dtype("uint16"))
    assert array.shape == shape
    assert array.ctypes.data % 64 == 0 or not array.size
    assert array.flags.c_contiguous
