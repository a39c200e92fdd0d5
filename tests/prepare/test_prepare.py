import keras
import numpy as np
import pytest

from tests.packed import manifest_for
from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.prepare.prepare import prepare
from tilepipe.components.shared.errors import ArtifactError

OPTIONS = {"filters": [4, 8], "dense_units": 8}


@pytest.fixture
def run(tmp_path):
    def run(name="base", manifest=None, **parameters):
        (manifest or manifest_for()).write(tmp_path / "manifest.json")
        config = PrepareConfig.parse(**{"options": OPTIONS, **parameters})
        model, summary = tmp_path / f"{name}.keras", tmp_path / f"{name}.md"
        return prepare(config, tmp_path / "manifest.json", model, summary), model, summary

    return run


def test_the_saved_model_can_be_trained_at_once(run):
    facts, path, summary = run()
    model = keras.saving.load_model(path)
    assert model.compiled
    loss, _ = model.train_on_batch(np.ones((2, 8, 8, 2), "uint16"), np.array([0, 1]))
    assert np.isfinite(loss)
    assert facts["parameters"] == model.count_params()
    assert facts["architecture"] == "cnn"
    assert facts["classes"] == 3
    assert summary.read_text().startswith("# Model `cnn`")


def test_the_same_seed_gives_the_same_weights(run):
    def weights(name, seed):
        return keras.saving.load_model(run(name, seed=seed)[1]).get_weights()

    first, again, other = weights("first", 7), weights("again", 7), weights("other", 8)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_one_class_is_no_classification(run):
    with pytest.raises(ArtifactError, match=r"two classes at least. Received: class_names=\['Forest'\]"):
        run(manifest=manifest_for(classes=("Forest",)))


def test_a_damaged_manifest_leaves_nothing(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="schema version"):
        prepare(PrepareConfig.parse(), tmp_path / "manifest.json", tmp_path / "m.keras", tmp_path / "s.md")
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
