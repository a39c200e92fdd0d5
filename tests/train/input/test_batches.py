import contextlib

import numpy as np
import pytest

from tests.support.packed import write_packed
from tilepipe.components.shared.errors import ArtifactError, ParameterError, SplitError
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.input.augmentation import Augmenter
from tilepipe.components.train.input.batches import Batches, check_tiles
from tilepipe.components.train.input.tiles import open_tiles
from tilepipe.components.train.optimization.class_weights import class_weights


@pytest.fixture
def packed(tmp_path):
    return write_packed(tmp_path, tiles=(20, 10, 0), shards=2), tmp_path


@contextlib.contextmanager
def batches(packed, placements=("auto", "auto"), **parameters):
    manifest, folder = packed
    config = TrainConfig.parse(**{"batch_size": 8, "augmentation": [], **parameters})
    with contextlib.ExitStack() as stack:
        train, val = (
            stack.enter_context(
                open_tiles(
                    [folder / split],
                    split,
                    manifest,
                    batch_size=config.batch_size,
                    seed=config.seed,
                    options=config.options.model_copy(update={"placement": placement}),
                    memory_mebibytes=config.memory_mebibytes,
                )
            )
            for split, placement in zip(("train", "val"), placements, strict=True)
        )
        yield Batches(
            train,
            val,
            Augmenter(config.augmentation, config.options, manifest),
            batch_size=config.batch_size,
            seed=config.seed,
            class_weights=class_weights(config.options, manifest),
        )


def check(manifest, **parameters):
    config = TrainConfig.parse(**parameters)
    check_tiles(
        manifest,
        batch_size=config.batch_size,
        patience_epochs=config.options.early_stopping_patience_epochs,
        schedule=config.options.schedule,
    )


def joined(data):
    """Return all images and labels of a data set, and the weights if there are any."""
    return tuple(np.concatenate(parts) for parts in zip(*data.as_numpy_iterator(), strict=True))


def test_training_tiles_come_in_full_batches_and_another_order_each_epoch(packed):
    with batches(packed) as made:
        (first, labels), (second, _) = joined(made.train(0)), joined(made.train(1))
        assert (made.steps, made.validation_steps, made.has_validation) == (2, 2, True)
    assert first.shape == (16, 8, 8, 2)
    assert first.dtype == np.uint16
    assert labels.dtype == np.float32
    assert (labels.sum(axis=1) == 1).all()
    assert labels.sum(axis=0).all()
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("placement", ["memory", "device", "streamed"])
def test_no_thread_that_sleeps_tunes_them(packed, placement):
    with batches(packed, (placement, placement)) as made:
        assert not made.train(0).options().autotune.enabled
        assert not made.validation().options().autotune.enabled


@pytest.mark.parametrize("placement", ["memory", "streamed"])
def test_the_same_seed_gives_the_same_batches(packed, placement):
    def epochs(seed):
        with batches(packed, (placement, "auto"), seed=seed, augmentation=["flip", "quarter_turn"]) as made:
            return np.stack([joined(made.train(0))[0], joined(made.train(1))[0]])

    assert np.array_equal(epochs(1), epochs(1))
    assert not np.array_equal(epochs(1), epochs(2))


@pytest.mark.parametrize("placement", ["memory", "streamed"])
def test_an_epoch_can_be_taken_up_at_any_batch(packed, placement):
    """The resumed epoch has the same tiles with the same augmentation."""
    settings = {"batch_size": 4, "augmentation": ["flip", "zoom", "mixup"]}
    with batches(packed, (placement, "auto"), **settings) as made:
        images, labels = joined(made.train(3))
        later, later_labels = joined(made.train(3, first_step=2))
        assert not list(made.train(3, first_step=5))
    assert images.dtype == np.float32
    assert np.array_equal(later, images[8:])
    assert np.array_equal(later_labels, labels[8:])


def test_augmentation_differs_from_epoch_to_epoch(tmp_path):
    packed = write_packed(tmp_path, tiles=(9, 3, 0)), tmp_path

    def by_pixels(tiles):  # identifies a tile after any turn
        return tiles[np.lexsort(np.sort(tiles.reshape(len(tiles), -1)).T)]

    with batches(packed, batch_size=9, augmentation=["flip", "quarter_turn"]) as made:
        first, second = (by_pixels(joined(made.train(epoch))[0]) for epoch in (0, 1))
    assert np.array_equal(np.sort(first.reshape(9, -1)), np.sort(second.reshape(9, -1)))
    assert not np.array_equal(first, second)


def test_validation_tiles_come_once_each_and_as_they_are(packed):
    with batches(packed, batch_size=4, augmentation=["flip", "mixup"], options={"class_weights": "balanced"}) as made:
        (first, labels), (second, _) = joined(made.validation()), joined(made.validation())
        assert made.validation_steps == 3
    assert len(first) == 10
    assert first.dtype == np.uint16
    assert np.array_equal(first, second)
    assert list(labels.sum(axis=0)) == [4, 3, 3]


def test_tiles_weigh_what_their_classes_do(packed):
    weights = {"Forest": 1.0, "SeaLake": 2.0, "Industrial": 4.0}
    with batches(packed, options={"class_weights": weights}) as made:
        _, labels, of_tiles = joined(made.train(0))
    assert of_tiles.dtype == np.float32
    assert np.array_equal(of_tiles, labels @ np.float32([1, 2, 4]))
    with batches(packed, augmentation=["mixup"], options={"class_weights": weights}) as made:
        _, labels, of_tiles = joined(made.train(0))
    assert np.allclose(of_tiles, labels @ np.float32([1, 2, 4]))
    assert len(set(of_tiles)) > 3


@pytest.mark.parametrize("placements", [("device", "device"), ("device", "memory"), ("memory", "device")])
def test_tiles_on_the_device_are_made_into_the_same_batches_there(packed, placements):
    """Each split may be kept elsewhere."""
    settings = {"batch_size": 4, "augmentation": ["flip", "zoom"]}
    with batches(packed, ("memory", "memory"), **settings) as made:
        expected = joined(made.train(1)), joined(made.validation())
    with batches(packed, placements, **settings) as made:
        assert made.builds_on_device == (placements[0] == "device")
        assert made.builds_validation_on_device == (placements[1] == "device")
        train, val = made.train(1), made.validation()
        train = map(made.to_batch, train) if made.builds_on_device else train
        val = map(made.to_validation_batch, val) if made.builds_validation_on_device else val
        got = [[np.concatenate(parts) for parts in zip(*data, strict=True)] for data in (train, val)]
    for one, other in zip(expected, got, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_damaged_shard_is_named(packed):
    manifest, folder = packed
    path = folder / "train" / manifest.splits["train"].shards[1].name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with batches(packed, ("streamed", "auto")) as made:
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=path.name), made.translate_errors():
            joined(made.train(0))


@pytest.mark.parametrize(
    ("tiles", "options", "said"),
    [
        ((9, 0, 0), {}, "9 training, 0 validation and 0 test tiles in "),
        ((0, 9, 9), {}, "0 training, 9 validation and 9 test tiles in "),
        ((9, 0, 9), {"early_stopping_patience_epochs": 3}, "9 test tiles .*, early_stopping_patience_epochs=3"),
        ((9, 0, 9), {"schedule": "reduce_on_plateau"}, r"9 test tiles .*, schedule='reduce_on_plateau'\."),
    ],
)
def test_there_must_be_tiles_to_train_on_and_to_measure_with(tmp_path, tiles, options, said):
    manifest = write_packed(tmp_path, tiles=tiles)
    with pytest.raises(SplitError, match=said):
        check(manifest, batch_size=2, options=options)


def test_a_batch_must_fit_into_the_split(packed):
    manifest, _ = packed
    check(manifest, batch_size=20)
    with pytest.raises(ParameterError, match=r"batch_size=21 for 20 training tiles\. Use batch_size=4, or at most 20"):
        check(manifest, batch_size=21)
