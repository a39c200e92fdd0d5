import keras
import numpy as np
import pytest

from tests.support.packed import manifest_for
from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.flops import leaves
from tilepipe.components.prepare.networks.architectures import build_model


@pytest.mark.parametrize(
    ("architecture", "options", "names"),
    [
        ("cnn", {"dense_units": 8}, ["mean", "dense", "dropout", "probabilities"]),
        ("cnn", {"head_units": (8, 4)}, ["mean", "dense1", "dropout1", "dense2", "dropout", "probabilities"]),
        ("compact", {}, ["mean", "dropout", "probabilities"]),
        ("compact", {"head_units": (8,), "pooling": "max"}, ["max", "dense", "dropout", "probabilities"]),
    ],
)
def test_the_head_is_as_asked(architecture, options, names):
    model = build_model(architecture, manifest_for(), ModelOptions(**options, dropout=0.25))
    assert [layer.name for layer in model.layers][-len(names) :] == names
    units = options.get("head_units", (options["dense_units"],) if "dense_units" in options else ())
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [*units, 3]
    assert {layer.rate for layer in model.layers if layer.name.startswith("dropout")} == {0.25}


def penalty(model, power):
    kernels = [layer.kernel for layer in leaves(model) if hasattr(layer, "kernel")]
    return sum(np.sum(np.abs(keras.ops.convert_to_numpy(kernel)) ** power) for kernel in kernels), len(kernels)


@pytest.mark.parametrize("architecture", ["cnn", "compact", "mobilenet_v2"])
def test_every_kernel_has_its_penalty_before_and_after_saving(architecture, tmp_path):
    model = build_model(
        architecture, manifest_for((32, 32, 2)), ModelOptions(regularizer="l1_l2", regularizer_rate=0.01)
    )
    (l1, kernels), (l2, _) = penalty(model, 1), penalty(model, 2)
    model.save(tmp_path / "model.keras")
    for one in (model, keras.saving.load_model(tmp_path / "model.keras")):
        assert len(one.losses) == kernels
        assert float(sum(one.losses)) == pytest.approx(0.01 * (l1 + l2), rel=1e-4)


def test_one_penalty_or_none():
    def losses(**options):
        model = build_model("cnn", manifest_for(), ModelOptions(filters=(4,), dense_units=4, **options))
        return model, float(sum(model.losses, start=0.0))

    for power, name in ((1, "l1"), (2, "l2")):
        model, loss = losses(regularizer=name, regularizer_rate=0.5)
        assert loss == pytest.approx(0.5 * penalty(model, power)[0], rel=1e-5)
    assert losses()[1] == 0
