import hashlib
import tarfile

import keras
import numpy as np
import pytest

from tests.prepare.networks.test_efficientnet_lite import WEIGHTS
from tests.support.minio_server import minio_server
from tilepipe.components.prepare.networks.efficientnet_lite import efficientnet_lite0
from tilepipe.components.prepare.weights.weights import WeightsOptions, load_weights
from tilepipe.components.shared.errors import ParameterError, SourceError

__all__ = ["minio_server"]

LITE, RGB = "efficientnet_lite0", ("red", "green", "blue")
EUROSAT = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")


def small(channels=3):
    """Another network with a stem, quick to build; Keras' loaders accept any network."""
    values = keras.Input((8, 8, channels), name="values")
    features = keras.layers.Conv2D(4, 3, use_bias=False, name="stem_conv")(values)
    features = keras.layers.BatchNormalization(name="stem_bn")(features)
    return keras.Model(values, keras.layers.Conv2D(2, 1, name="head_conv")(features), name="backbone")


def named(network):
    return {
        f"{layer.name}/{variable.name}": np.array(variable) for layer in network.layers for variable in layer.weights
    }


def saved(folder, network, **changes):
    path = folder / "weights.npz"
    np.savez(path, **{name: array for name, array in (named(network) | changes).items() if array is not None})
    return path


@pytest.mark.parametrize("suffix", ["npz", "weights.h5", "h5", "keras"])
def test_each_format_gives_the_same_weights(tmp_path, suffix):
    source, path = small(), tmp_path / f"file.{suffix}"
    if suffix == "npz":
        path = saved(tmp_path, source)
    elif suffix == "keras":
        source.save(path)
    else:
        source.save_weights(path) if suffix == "weights.h5" else _legacy(source, path)
    backbone = small()
    loaded = load_weights(backbone, LITE, str(path), channels=RGB)
    assert loaded.scaling is None
    assert loaded.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    for name, array in named(source).items():
        assert np.array_equal(named(backbone)[name], array), name


def _legacy(network, path):
    """Weights as Keras 2 wrote them, and as keras.applications provides them."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                group[name] = np.array(variable)


@pytest.mark.parametrize("suffix", ["npz", "weights.h5", "h5"])
def test_more_bands_take_the_kernels_of_their_colors(tmp_path, suffix):
    source, path = small(), tmp_path / f"file.{suffix}"
    if suffix == "npz":
        path = saved(tmp_path, source)
    else:
        source.save_weights(path) if suffix == "weights.h5" else _legacy(source, path)
    backbone = small(4)
    load_weights(backbone, LITE, str(path), channels=("B08", "B04", "B03", "B02"))
    grey = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    expected = keras.ops.convert_to_numpy(source(np.repeat(grey, 3, axis=-1)))
    assert np.allclose(keras.ops.convert_to_numpy(backbone(np.repeat(grey, 4, axis=-1))), expected, atol=1e-5)


def test_a_classifier_gives_its_backbone_band_for_band(tmp_path):
    source = small(5)
    tiles = keras.Input((8, 8, 5))
    pooled = keras.layers.GlobalAveragePooling2D()(source(tiles))
    keras.Model(tiles, keras.layers.Dense(3)(pooled)).save(tmp_path / "model.keras")
    backbone = small(5)
    load_weights(backbone, LITE, str(tmp_path / "model.keras"), channels=tuple("abcde"))
    assert np.array_equal(named(backbone)["stem_conv/kernel"], named(source)["stem_conv/kernel"])
    message = r"Received: .*model\.keras with 5, and tiles with 3: red, green, blue\. .* options\.bands"
    with pytest.raises(ParameterError, match=message):
        load_weights(small(3), LITE, str(tmp_path / "model.keras"), channels=RGB)


def test_a_bucket_holds_weights_too(minio_server, monkeypatch, tmp_path):
    minio_server.use(monkeypatch)
    path = saved(tmp_path, small())
    minio_server.make_bucket("weights-of-backbones").upload_file(str(path), "lite/weights.npz")
    backbone = small()
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    load_weights(backbone, LITE, "s3://weights-of-backbones/lite/weights.npz", checksum.upper(), channels=RGB)
    with np.load(path) as file:
        assert np.array_equal(named(backbone)["head_conv/kernel"], file["head_conv/kernel"])


def test_the_checksum_is_verified_before_the_file_is_read(tmp_path):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"none of ours")
    with pytest.raises(SourceError, match=r"must have the checksum .* Received: .*weights\.npz with [0-9a-f]{64}"):
        load_weights(small(), LITE, str(path), "0" * 64, channels=RGB)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem_bn/gamma": None, "stem_bn/beta": None}, r"2 of 7 arrays are missing \(stem_bn/gamma, stem_bn/beta\)"),
        ({"other/kernel": np.zeros(3, "float32")}, r"1 are not the network's \(other/kernel\)"),
        ({"head_conv/bias": np.zeros(9, "float32")}, r"head_conv/bias is float32 \(9,\) instead of \(2,\)"),
        ({"head_conv/bias": np.zeros(2, "int64")}, r"head_conv/bias is int64"),
        ({"stem_conv/kernel": np.zeros((3, 3, 2, 4), "float32")}, r"\(3, 3, 2, 4\) instead of \(3, 3, 3, 4\)"),
    ],
)
def test_another_architectures_arrays_are_named(tmp_path, changes, message):
    backbone = small()
    before = named(backbone)
    with pytest.raises(ParameterError, match=f"for efficientnet_lite0: .*{message}"):
        load_weights(backbone, LITE, str(saved(tmp_path, small(), **changes)), channels=RGB)
    assert all(np.array_equal(array, before[name]) for name, array in named(backbone).items())


@pytest.mark.parametrize("suffix", ["weights.h5", "h5", "keras"])
def test_another_network_in_keras_formats_is_refused(tmp_path, suffix):
    values = keras.Input((8, 8, 3))
    other = keras.Model(values, keras.layers.Conv2D(4, 3, name="stem_conv")(values))
    path = tmp_path / f"file.{suffix}"
    if suffix == "keras":
        other.save(path)
    else:
        other.save_weights(path) if suffix == "weights.h5" else _legacy(other, path)
    with pytest.raises(ParameterError, match="Weights must be the architecture's"):
        load_weights(small(), LITE, str(path), channels=RGB)


@pytest.mark.parametrize("suffix", ["npz", "h5", "weights.h5", "keras"])
def test_damaged_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(b"PK\x03\x04 and then nothing that is a file")
    with pytest.raises(SourceError, match="A weights file must be readable"):
        load_weights(small(), LITE, str(path), channels=RGB)


def test_numbers_that_are_none_are_refused(tmp_path):
    path = saved(tmp_path, small(), **{"head_conv/bias": np.array([1, np.nan], "float32")})
    with pytest.raises(SourceError, match="must be finite"):
        load_weights(small(), LITE, str(path), channels=RGB)


def test_pickles_are_not_opened(tmp_path):
    path = saved(tmp_path, small(), **{"head_conv/bias": np.array([{}, {}], object)})
    with pytest.raises(SourceError, match="allow_pickle"):
        load_weights(small(), LITE, str(path), channels=RGB)


@pytest.mark.parametrize(
    ("architecture", "uri", "error", "message"),
    [
        ("cnn", "w.npz", ParameterError, "architecture=cnn, which learns from its own first weights"),
        (LITE, "imagenet", ParameterError, "Give the address of a file"),
        (LITE, "weights.npz", SourceError, "must exist"),
        (LITE, "weights.pt", ParameterError, r"must end with \.npz, \.h5, \.keras"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_reported(architecture, uri, error, message):
    with pytest.raises(error, match=message):
        load_weights(small(), architecture, uri, channels=RGB)


def test_without_a_network_there_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # nothing downloaded before
    with pytest.raises(SourceError, match=r"must reach its server to download MobileNetV2's weights.*`weights_uri`"):
        load_weights(small(), "mobilenet_v2", "imagenet", channels=RGB)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights_sha256": "12"}, "weights_sha256"),
        ({"rgb_bands": ["B04", "B03"]}, "must name three bands"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ParameterError, match=message):
        WeightsOptions.parse(**options)


def test_imagenets_weights_fit_the_thirteen_bands_of_sentinel_2(real_data):
    import io

    import tifffile

    from tests.support.packed import manifest_for
    from tilepipe.components.prepare.weights.band_weights import input_scaling

    with tarfile.open(real_data("eurosat-ms100/eurosat-ms100.tar")) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".tif")]
        pixels = [tifffile.imread(io.BytesIO(archive.extractfile(member).read())) for member in members[::5]]
    tiles = np.stack([tile if tile.shape[-1] == 13 else np.moveaxis(tile, 0, -1) for tile in pixels])
    assert tiles.shape == (20, 64, 64, 13)

    def features(bands):
        part = tiles[..., [EUROSAT.index(band) for band in bands]]
        numbers = [(float(part[..., place].mean()), float(part[..., place].std())) for place in range(len(bands))]
        manifest = manifest_for(part.shape[1:], statistics=numbers)
        renamed = [old.model_copy(update={"band": band}) for old, band in zip(manifest.statistics, bands, strict=True)]
        manifest = manifest.model_copy(update={"bands": bands, "statistics": tuple(renamed)})
        means, variances = input_scaling(LITE, manifest)
        backbone = efficientnet_lite0(part.shape[1:])
        load_weights(backbone, LITE, str(real_data(WEIGHTS)), channels=bands)
        values = ((part - means) / np.sqrt(variances)).astype("float32")
        return keras.ops.convert_to_numpy(backbone(values)).mean(axis=(1, 2))

    of_rgb, of_all = features(("B04", "B03", "B02")), features(EUROSAT)
    assert np.isfinite(of_all).all()
    lengths = np.linalg.norm(of_all, axis=1) * np.linalg.norm(of_rgb, axis=1)
    cosines = (of_all * of_rgb).sum(axis=1) / lengths
    assert cosines.mean() > 0.9
    assert np.allclose(features(("B02", "B04", "B03")), of_rgb, atol=1e-4)
