import numpy as np
import pytest

from tests.support.tensorflow_shards import open_shards
from tilepipe.components.evaluate.predict import predict_split
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.errors import ArtifactError


@pytest.fixture
def data(make_data, manifest_at):
    root = make_data()
    return root, manifest_at(root)


def test_predictions_are_sorted_and_belong_to_their_tiles(data, model_path):
    root, manifest = data
    model = load_model(model_path, manifest)
    found = predict_split(model, [root / "test"], "test", manifest, batch_size=7)
    assert found.tile_ids == [f"test/{number:03d}" for number in range(36)]
    assert found.labels.tolist() == [number % 3 for number in range(36)]
    assert found.probabilities.shape == (36, 3)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert 0.6 < (found.predicted == found.labels).mean() < 1


def test_the_batch_size_changes_no_answer(data, model_path):
    root, manifest = data
    model = load_model(model_path, manifest)
    one, other = (predict_split(model, [root / "val"], "val", manifest, batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)


def test_batches_are_those_of_one_sequence_over_all_shards(data):
    class Recording:
        def __init__(self):
            self.batches = []

        def predict_on_batch(self, images):
            self.batches.append(images.copy())
            return np.full((len(images), 3), 1 / 3, np.float32)

    root, manifest = data
    model = Recording()
    found = predict_split(model, [root / "test"], "test", manifest, batch_size=10)
    assert [len(batch) for batch in model.batches] == [10, 10, 10, 6]  # shards of 32 and 4 tiles
    ((images, labels, tile_ids),) = open_shards(root, "test", manifest, batch_size=36, with_ids=True)
    np.testing.assert_array_equal(np.concatenate(model.batches), images)
    order = np.argsort(tile_ids.numpy())
    assert found.tile_ids == [tile_ids.numpy()[i].decode() for i in order]
    np.testing.assert_array_equal(found.labels, labels.numpy()[order])
    np.testing.assert_array_equal(found.positions, order)


def test_probabilities_are_averaged_over_the_variants_of_each_tile(data):
    class Corner:
        """Gives a probability for each digit of the first pixel."""

        def predict_on_batch(self, images):
            digits = np.stack([images[:, 0, 0, 0] // 10**place % 10 + 1 for place in range(3)], axis=1)
            return (digits / digits.sum(axis=1, keepdims=True)).astype(np.float32)

    root, manifest = data
    found = predict_split(Corner(), [root / "test"], "test", manifest, batch_size=10, variations=("quarter_turn",))
    plain = predict_split(Corner(), [root / "test"], "test", manifest, batch_size=10)
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)
    assert plain.averaged is None
    ((images, _, tile_ids),) = open_shards(root, "test", manifest, batch_size=36, with_ids=True)
    place = [name.decode() for name in tile_ids.numpy()].index(found.tile_ids[5])
    corners = images.numpy()[place : place + 1][:, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(4, 1, 1, -1)
    expected = Corner().predict_on_batch(corners).mean(axis=0)
    np.testing.assert_allclose(found.averaged[5], expected, rtol=1e-6)


def test_progress_is_logged(data, model_path, caplog):
    root, manifest = data
    caplog.set_level("INFO", logger="tilepipe")
    predict_split(load_model(model_path, manifest), [root / "test"], "test", manifest, batch_size=16)
    assert "predicted in test: 36 of 36 tiles (100 %)" in caplog.text


def test_a_model_without_softmax_is_refused(data, make_model):
    root, manifest = data
    model = load_model(make_model(activation="linear"), manifest)
    with pytest.raises(ArtifactError, match="End the model with a softmax"):
        predict_split(model, [root / "test"], "test", manifest, batch_size=64)


def test_a_diverged_model_is_refused(data, make_model):
    root, manifest = data
    model = load_model(make_model(slope=float("nan")), manifest)
    with pytest.raises(ArtifactError, match="NaN or infinity, as after a training that diverged"):
        predict_split(model, [root / "test"], "test", manifest, batch_size=64)


def test_a_truncated_shard_is_named(data, model_path):
    root, manifest = data
    shard = root / "test" / manifest.splits["test"].shards[0].name
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=shard.name):
        predict_split(load_model(model_path, manifest), [root / "test"], "test", manifest, batch_size=64)


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_shard_is_named(data, model_path, number):
    root, manifest = data
    shard = root / "test" / manifest.splits["test"].shards[number].name
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{shard.name} must have the checksum"):
        predict_split(load_model(model_path, manifest), [root / "test"], "test", manifest, batch_size=4)


def test_labels_that_are_no_class_are_refused(data, make_model):
    root, manifest = data
    fewer = manifest.model_copy(update={"class_names": ("AnnualCrop", "Forest")})
    model = load_model(make_model(classes=2), fewer)
    with pytest.raises(ArtifactError, match=r"Labels must be 0 to 1.* Received: labels 0 to 2 in the test shards"):
        predict_split(model, [root / "test"], "test", fewer, batch_size=64)
