import numpy as np
import pytest

from tests.support.packed import CLASSES, manifest_for
from tilepipe.components.shared.contracts.manifest import SplitSummary
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.optimization.class_weights import ClassWeightOptions, class_weights


def manifest(*counts):
    per_class = dict(zip(CLASSES, counts, strict=True))
    train = SplitSummary(tiles=sum(counts), tiles_per_class=per_class, shards=())
    others = SplitSummary(tiles=30, tiles_per_class=dict.fromkeys(CLASSES, 10), shards=())
    return manifest_for(splits={"train": train, "val": others, "test": others})


def weights_of(counts, **options):
    return class_weights(ClassWeightOptions.parse(**options), manifest(*counts))


def test_none_by_default():
    assert weights_of((10, 20, 30)) is None


def test_balanced_classes_count_the_same():
    weights = weights_of((10, 20, 30), class_weights="balanced")
    # scikit-learn's: tiles / (classes * tiles of the class)
    assert weights == pytest.approx((2.0, 1.0, 60 / 90))


@pytest.mark.parametrize("sensitivity", [0.25, 0.5, 1.0, 2.0])
def test_sensitivity_is_the_exponent_and_the_mean_tile_counts_once(sensitivity):
    counts = (100, 25, 400)
    weights = weights_of(counts, class_weights="sensitivity", class_weight_sensitivity=sensitivity)
    assert np.divide(weights, weights[2]) == pytest.approx([4**sensitivity, 16**sensitivity, 1])
    assert np.average(weights, weights=counts) == pytest.approx(1)


def test_given_weights_come_in_the_manifests_order_and_as_they_are():
    given = {"Industrial": 3, "Forest": 1, "SeaLake": 2.5}
    assert weights_of((10, 20, 0), class_weights=given) == (1, 2.5, 3)


@pytest.mark.parametrize(
    ("counts", "given", "message"),
    [
        ((1, 2, 3), {"Forest": 1, "SeaLake": 1, "Sea": 2}, r"unknown: Sea; missing: Industrial\. Spell the names"),
        ((1, 2, 3), {"Forest": 1, "SeaLake": 1}, r"weight for each of the classes Forest, .*; missing: Industrial"),
        ((1, 0, 3), "balanced", "every class has training tiles.*no training tiles of SeaLake"),
        ((0, 2, 0), "sensitivity", "no training tiles of Forest, Industrial"),
    ],
)
def test_weights_must_fit_the_manifest(counts, given, message):
    with pytest.raises(ParameterError, match=message):
        weights_of(counts, class_weights=given)


@pytest.mark.parametrize(
    "given", ["even", {}, {"Forest": 0}, {"Forest": -1}, {"Forest": float("nan")}, {"Forest": "2"}, {1: 2.0}, 3, None]
)
def test_a_wrong_weighting_is_one_message(given):
    with pytest.raises(ParameterError, match="`class_weights` must be none, balanced, sensitivity, or") as error:
        ClassWeightOptions.parse(class_weights=given)
    assert "\n" not in str(error.value)


def test_a_sensitivity_without_use_is_refused():
    with pytest.raises(ParameterError, match="must be left out unless `class_weights` is sensitivity"):
        ClassWeightOptions.parse(class_weights="balanced", class_weight_sensitivity=1)
