"""Tests of the distances between predictions and training data."""

import json
import math

import numpy as np
import pytest

from tilepipe.components.shared.contracts.manifest import BandStatistics
from tilepipe.components.shared.errors import DriftError
from tilepipe.components.shared.inference.drift import (
    Reference,
    check_drift,
    compare,
    compare_bands,
    kolmogorov_smirnov,
    stability_index,
)

CONFIDENT = np.linspace(0.5, 1, 1000, dtype=np.float32)


def test_the_stability_index_is_the_published_sum():
    expected, found = np.array([100.5, 200.5, 700.5]), np.array([300.5, 300.5, 400.5])
    one, other = expected / expected.sum(), found / found.sum()
    published = float(((one - other) * np.log(one / other)).sum())
    assert stability_index([100, 200, 700], [300, 300, 400]) == pytest.approx(published)
    assert stability_index([10, 20], [100, 200]) == pytest.approx(0, abs=1e-3)


def test_the_distance_does_not_depend_on_the_number_of_tiles():
    shifted = CONFIDENT - np.float32(0.1)
    few, many = (kolmogorov_smirnov(CONFIDENT[::step], shifted[::step]) for step in (10, 1))
    assert few == pytest.approx(many, abs=0.02)
    assert kolmogorov_smirnov(CONFIDENT, CONFIDENT) == 0


def test_the_rounding_of_the_exported_model_is_no_drift():
    keras = 1 - np.arange(24, dtype=np.float32) / 2**22
    onnx = np.nextafter(keras, np.float32(0))
    assert kolmogorov_smirnov(keras, onnx) == 0
    assert kolmogorov_smirnov(keras, keras - np.float32(0.001)) == 1


def test_classes_that_were_never_seen_are_named_and_finite():
    drift = compare({"a": 50, "b": 50, "c": 0}, CONFIDENT[:100], (), Reference("x", {"a": 100, "old": 10}))
    assert drift.new_classes == ("b",)
    assert math.isfinite(drift.values["classes"])
    assert drift.values["classes"] > 1
    assert {one.name: one.found for one in drift.classes} == {"a": 0.5, "b": 0.5, "c": 0, "old": 0}


def test_confidences_that_are_no_numbers_are_counted_and_left_out():
    confidences = np.concatenate([CONFIDENT, np.full(5, np.nan, np.float32)])
    drift = compare({"a": 1000}, CONFIDENT, (), Reference("x", {"a": 1005}, confidences))
    assert (drift.values["confidence"], drift.dropped) == (0, 5)
    empty = compare({"a": 1000}, CONFIDENT, (), Reference("x", {"a": 5}, np.full(5, np.nan, np.float32)))
    assert "confidence" not in empty.values


def test_bands_are_measured_in_training_deviations():
    training = [
        BandStatistics(band=name, mean=mean, std=std, minimum=0, maximum=1)
        for name, mean, std in (("B02", 100, 10), ("B03", 100, 0), ("B04", 100, 10))
    ]
    same, constant, absent = compare_bands(training, [103, 150, math.nan], [14, 0, math.nan])
    assert same.distance == pytest.approx(0.5)
    assert constant.distance == pytest.approx(0.5)
    assert (absent.mean, absent.distance) == (None, None)
    json.dumps(compare({"a": 1}, CONFIDENT[:1], (same, constant, absent), None).to_json(), allow_nan=False)


def test_without_tiles_or_reference_nothing_is_compared():
    assert compare({"a": 0}, CONFIDENT[:0], (), Reference("x", {"a": 1})).scalars() == {}
    assert compare({"a": 2}, CONFIDENT[:2], (), None).values == {}


def test_only_limits_that_are_set_are_checked():
    drift = compare({"a": 1, "b": 99}, CONFIDENT[:100], (), Reference("x", {"a": 99, "b": 1}))
    check_drift(drift, {})
    with pytest.raises(DriftError, match=r"Received: classes [\d.]+ \(limit 0\.25\)"):
        check_drift(drift, {"classes": 0.25})


def test_a_limit_of_what_was_not_measured_is_an_error():
    drift = compare({"a": 1, "b": 99}, CONFIDENT[:100], (), Reference("x", {"a": 99, "b": 1}))
    with pytest.raises(DriftError, match=r"Received: a limit for confidence and bands, without anything to compare"):
        check_drift(drift, {"confidence": 1, "bands": 9})
    check_drift(compare({"a": 0}, CONFIDENT[:0], (), None), {"confidence": 0.1})  # no tiles: nothing is added either
