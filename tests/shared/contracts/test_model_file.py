import io
import subprocess
import sys
import zipfile

import h5py
import keras
import pytest

from tests.support.packed import manifest_for
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.errors import ArtifactError


@pytest.fixture
def saved(tmp_path):
    def save(shape=(8, 8, 2), classes=3):
        path = tmp_path / "model.keras"
        layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes, activation="softmax")]
        keras.Sequential(layers).save(path)
        return path

    return save


def test_a_model_that_fits_is_loaded(saved):
    assert load_model(saved(), manifest_for()).output_shape == (None, 3)


def test_a_model_for_other_tiles_is_an_error(saved):
    with pytest.raises(ArtifactError, match=r"tiles of .* = \(8, 8, 2\), bands B01, B02.*\(None, 8, 8, 3\)"):
        load_model(saved(shape=(8, 8, 3)), manifest_for())


def test_a_model_for_other_classes_is_an_error(saved):
    with pytest.raises(ArtifactError, match=r"each of the manifest's 3 classes.*\(None, 5\)"):
        load_model(saved(classes=5), manifest_for())


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_another_file_is_an_error(tmp_path, content):
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"must be a \.keras file"):
        load_model(path, manifest_for())


def test_a_model_with_damaged_weights_is_an_error(saved):
    path = saved()
    content = bytearray(path.read_bytes())
    (kernel,) = (weight for weight in keras.saving.load_model(path).get_weights() if weight.ndim == 2)
    content[content.index(kernel.tobytes()[:64]) + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="Bad CRC-32"):
        load_model(path, manifest_for())


def test_a_model_with_code_is_not_run(tmp_path):
    path = tmp_path / "model.keras"
    layers = [keras.Input((8, 8, 2)), keras.layers.Flatten(), keras.layers.Lambda(lambda x: x), keras.layers.Dense(3)]
    keras.Sequential(layers).save(path)
    with pytest.raises(ArtifactError, match="Lambda"):
        load_model(path, manifest_for())


def test_weights_in_another_file_are_not_read(saved, tmp_path):
    path, other = saved(), tmp_path / "other"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        shape, kind = file[names[0]].shape, file[names[0]].dtype
        other.write_bytes(bytes(file[names[0]].nbytes))
        del file[names[0]]
        file.create_dataset(names[0], shape=shape, dtype=kind, external=[(str(other), 0, other.stat().st_size)])
    members["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ArtifactError, match="Not allowed"):
        load_model(path, manifest_for())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_model_that_ends_early_is_an_error(saved, share):
    path = saved()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ArtifactError, match=r"must be a \.keras file"):
        load_model(path, manifest_for())


def test_tensorflow_keeps_quiet_and_others_are_heard():
    code = (
        "import os, sys, types\n"
        "from tilepipe.components.shared.contracts.model_file import load_tensorflow, _without_chatter\n"
        "load_tensorflow()\n"
        "import tensorflow as tf\n"
        "tf.zeros(3)\n"
        "with _without_chatter():\n"
        "    os.write(2, b'I0000 00:00 fine\\nE0000 00:00 not fine\\n')\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "E0000 00:00 not fine\n"
