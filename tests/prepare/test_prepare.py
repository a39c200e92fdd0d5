import keras
import numpy as np
import pytest

from tests.support.packed import manifest_for
from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.prepare.prepare import prepare
from tilepipe.components.shared.errors import ArtifactError, BandError

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


def test_the_model_takes_all_bands_and_sees_the_chosen_ones(run):
    options = {"bands": ["B03"], "indices": ["ND(B01,B02)"], "width": 0.125}
    manifest = manifest_for((8, 8, 3))
    _, path, summary = run(manifest=manifest, architecture="compact", options=options)
    model = keras.saving.load_model(path)
    assert model.input_shape == (None, 8, 8, 3)
    assert model.get_layer("backbone").input_shape[-1] == 2
    assert "| B03 |" in summary.read_text()
    assert "| B01 |" not in summary.read_text()
    with pytest.raises(BandError, match="where B09 is not among them"):
        run(manifest=manifest, options={"bands": ["B09"]})


def test_one_class_is_no_classification(run):
    with pytest.raises(ArtifactError, match=r"at least two classes. Received: class_names=\['Forest'\]"):
        run(manifest=manifest_for(classes=("Forest",)))


def test_a_damaged_manifest_leaves_nothing(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="schema version"):
        prepare(PrepareConfig.parse(), tmp_path / "manifest.json", tmp_path / "m.keras", tmp_path / "s.md")
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


LITE0 = "weights/efficientnet-lite0-imagenet.npz"
SHA256 = "fda3ed38e30077b63cadb43beae26689dc3d704b7bf794087bace23349751b5e"


@pytest.mark.parametrize(
    ("bands", "dtype", "options", "scaling"),
    [
        (3, "uint8", {"rgb_bands": ["B01", "B02", "B03"]}, (127, 128)),  # as for the weights' training images
        (13, "uint16", {"indices": ["NDVI"], "input_scaling": "standardise"}, (1000, 300)),
    ],
)
def test_pretrained_weights_are_within_and_frozen_as_asked(run, real_data, bands, dtype, options, scaling):
    weights = real_data(LITE0)
    facts, path, summary = run(
        manifest=manifest_for((16, 16, bands), dtype),
        architecture="efficientnet_lite0",
        weights_uri=str(weights),
        options={"trainable_backbone": "last_blocks", "trainable_blocks": 2, "weights_sha256": SHA256, **options},
    )
    model = keras.saving.load_model(path)
    backbone, standardise = model.get_layer("backbone"), model.get_layer("standardise")
    with np.load(weights) as file:
        assert np.array_equal(backbone.get_layer("head_conv").kernel, file["head_conv/kernel"])
        assert np.array_equal(backbone.get_layer("stem_conv").kernel, file["stem_conv/kernel"]) == (bands == 3)
    assert backbone.get_layer("stem_conv").kernel.shape[2] == bands + len(options.get("indices", []))
    assert (np.ravel(standardise.mean)[0], np.ravel(standardise.variance)[0] ** 0.5) == pytest.approx(scaling)
    assert not backbone.get_layer("block13_project_conv").trainable
    assert backbone.get_layer("block14_project_conv").trainable
    assert facts["weights"].endswith(SHA256)
    assert SHA256 in summary.read_text()
    assert model(np.zeros((1, 16, 16, bands), dtype)).shape == (1, 3)


@pytest.mark.parametrize(("scaling", "expected"), [("auto", (1000, 300)), ("min_max", (0, 9000))])
def test_a_classifier_as_weights_keeps_its_scaling(run, scaling, expected):
    """It was trained from random weights, on standardised tiles, and not on those of ImageNet's scale."""
    lite = {"manifest": manifest_for((16, 16, 4)), "architecture": "efficientnet_lite0"}
    _, first, _ = run("first", **lite, options={})
    other = manifest_for((16, 16, 4), classes=("Ice", "Rock"), statistics=[(2000.0, 500.0)] * 4)
    _, second, _ = run(**lite | {"manifest": other}, weights_uri=str(first), options={"input_scaling": scaling})
    standardise = keras.saving.load_model(second).get_layer("standardise")
    assert (np.ravel(standardise.mean)[3], np.ravel(standardise.variance)[3] ** 0.5) == pytest.approx(expected)


def test_a_missing_band_leaves_nothing(run, tmp_path):
    with pytest.raises(BandError, match=r"NDVI, which takes nir .* for tiles of B01, B02\."):
        run(options={"indices": ["NDVI"]})
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
