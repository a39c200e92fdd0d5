import numpy as np
import pytest

from tests.packed import write_packed
from tilepipe.components.shared.errors import ParameterError, SplitError
from tilepipe.components.train.batches import check_tiles, make_for_train, make_for_validation
from tilepipe.components.train.config import TrainConfig


def epoch_of(data):
    batches = list(data.as_numpy_iterator())
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


@pytest.fixture
def packed(tmp_path):
    return write_packed(tmp_path, tiles=(20, 10, 0), shards=2), tmp_path


def test_training_tiles_come_in_full_batches_and_another_order_each_epoch(packed):
    manifest, folder = packed
    data = make_for_train([folder / "train"], manifest, TrainConfig.parse(batch_size=8, augmentation=[]))
    (first, labels), (second, _) = epoch_of(data), epoch_of(data)
    assert first.shape == (16, 8, 8, 2)
    assert first.dtype == np.uint16
    assert set(labels) == {0, 1, 2}
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("memory", ["8Gi", "1k"])  # kept in memory, and read anew in each epoch
def test_the_same_seed_gives_the_same_batches(packed, memory):
    manifest, folder = packed

    def epochs(seed):
        config = TrainConfig.parse(batch_size=8, seed=seed, memory=memory)
        data = make_for_train([folder / "train"], manifest, config)
        return np.stack([epoch_of(data)[0], epoch_of(data)[0]])

    assert np.array_equal(epochs(1), epochs(1))
    assert not np.array_equal(epochs(1), epochs(2))


def test_augmentation_differs_from_epoch_to_epoch(tmp_path):
    manifest = write_packed(tmp_path, tiles=(9, 3, 0))
    data = make_for_train([tmp_path / "train"], manifest, TrainConfig.parse(batch_size=9))

    def by_brightness(tiles):  # which no augmentation changes
        return tiles[np.argsort(tiles.reshape(len(tiles), -1).astype(int).sum(axis=1))]

    first, second = by_brightness(epoch_of(data)[0]), by_brightness(epoch_of(data)[0])
    assert np.array_equal(np.sort(first.reshape(9, -1)), np.sort(second.reshape(9, -1)))
    assert not np.array_equal(first, second)


def test_validation_tiles_come_once_each_and_as_they_are(packed):
    manifest, folder = packed
    data = make_for_validation([folder / "val"], manifest, TrainConfig.parse(batch_size=4))
    (first, _), (second, _) = epoch_of(data), epoch_of(data)
    assert len(first) == 10
    assert np.array_equal(first, second)
    plain = make_for_train([folder / "train"], manifest, TrainConfig.parse(batch_size=20, augmentation=[]))
    assert epoch_of(plain)[0].shape[0] == 20


@pytest.mark.parametrize(("tiles", "patience"), [((9, 0, 0), 0), ((0, 9, 9), 0), ((9, 0, 9), 3)])
def test_there_must_be_tiles_to_train_on_and_to_measure_with(tmp_path, tiles, patience):
    manifest = write_packed(tmp_path, tiles=tiles)
    said = rf"{tiles[0]} training, {tiles[1]} validation and {tiles[2]} test tiles .*patience_epochs={patience}"
    with pytest.raises(SplitError, match=said):
        check_tiles(TrainConfig.parse(batch_size=2, options={"early_stopping_patience_epochs": patience}), manifest)


def test_a_batch_must_fit_into_the_split(packed):
    manifest, _ = packed
    check_tiles(TrainConfig.parse(batch_size=20), manifest)
    with pytest.raises(ParameterError, match=r"batch_size=21 for 20 training tiles\. Use batch_size=20 or less"):
        check_tiles(TrainConfig.parse(batch_size=21), manifest)
