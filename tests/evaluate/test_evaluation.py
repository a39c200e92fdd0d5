import dataclasses
import math

import numpy as np


def test_the_headline_is_the_test_split_where_there_is_one(make_evaluation):
    found = make_evaluation()
    assert (found.headline_split, found.remark) == ("test", "")
    assert list(found.scores) == ["test", "val"]


def test_without_a_test_split_the_headline_is_validation_and_says_so(make_evaluation):
    found = make_evaluation(test=False)
    assert found.headline_split == "val"
    assert "no test split" in found.remark
    assert [name for name in found.scalars() if name.startswith("test_")] == []


def test_tiles_that_pack_left_out_are_counted_by_reason(make_evaluation):
    found = make_evaluation()
    assert found.left_out == ""
    manifest = found.manifest.model_copy(update={"left_out": {"it is missing": 2, "it is <blank>": 1}})
    assert dataclasses.replace(found, manifest=manifest).left_out == (
        "3 of 273 tiles were unusable, and pack left them out: 2 because it is missing; 1 because it is <blank>."
    )


def test_scalars_are_flat_and_finite(make_evaluation):
    scalars = make_evaluation().scalars()
    wanted = {"accuracy", "balanced_accuracy", "loss", "macro_precision", "macro_recall", "macro_f1"}
    assert {f"{split}_{name}" for split in ("val", "test") for name in wanted} <= set(scalars)
    assert all(type(value) is float and math.isfinite(value) for value in scalars.values())


def test_weakest_classes_come_first_and_those_without_tiles_last(make_evaluation):
    names = [f"class {i}" for i in range(100)]  # more classes than tiles
    found = make_evaluation(names, tiles=60)
    f1 = found.headline.figures.f1[found.weakest_first()]
    assert np.isnan(f1[60:]).all()
    assert (np.diff(f1[:60]) >= 0).all()
