import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

from tests.support.packed import write_packed
from tilepipe.components.train.input.shard_reader import ShardReader


@pytest.fixture
def reader(tmp_path):
    manifest = write_packed(tmp_path, shards=4)
    shards = manifest.splits["train"].shards
    return ShardReader([str(tmp_path / "train" / shard.name) for shard in shards], shards, manifest, None)


def test_tiles_of_several_shards_are_put_into_one_array(reader):
    images, labels = reader.read([0, 2], threading.Event())
    assert images.shape == (12, 8, 8, 2)
    assert np.abs(images.reshape(12, -1).mean(axis=1) - (60 + 60 * labels)).max() < 15


def test_shards_come_in_the_order_that_is_asked_for(reader):
    images, labels = reader.read([3, 1], threading.Event())
    for place, number in enumerate((3, 1)):
        single = reader.read([number], threading.Event())
        np.testing.assert_array_equal(images[6 * place : 6 * place + 6], single[0])
        np.testing.assert_array_equal(labels[6 * place : 6 * place + 6], single[1])


def test_reading_can_be_stopped(reader):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(CancelledError):
        reader.read([0], stopped)
