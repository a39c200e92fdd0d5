import io
import re

import numpy as np
import pytest
from sklearn import metrics as reference

from tests.support.checks import assert_accepted
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.figures import class_labels
from tilepipe.components.train.figures.epoch_figures import (
    check_best_metric,
    curves_file,
    epoch_figures,
    figure_names,
    score_curves,
)

NAMES = ("Forest", "SeaLake", "Industrial", "Pasture")
VAL_TILES = {"Forest": 9, "SeaLake": 4, "Industrial": 1, "Pasture": 0}


def counted(true, given, classes):
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, given), 1)
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_the_figures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    true = rng.choice(4, 200, p=[0.7, 0.2, 0.08, 0.02])
    given = np.where(rng.random(200) < 0.6, true, rng.integers(0, 4, 200))
    figures = epoch_figures(counted(true, given, 4), NAMES)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(true, given, labels=range(4), zero_division=0)
    assert figures["val_accuracy"] == pytest.approx(reference.accuracy_score(true, given))
    assert figures["val_balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(true, given))
    assert figures["val_macro_precision"] == pytest.approx(precision.mean())
    assert figures["val_macro_f1"] == pytest.approx(f1.mean())
    for values, name in ((precision, "precision"), (recall, "recall"), (f1, "f1")):
        assert [figures[f"val_{name}/{label}"] for label in NAMES] == pytest.approx(values.tolist())


def test_classes_that_do_not_occur_or_are_never_given():
    # Pasture neither occurs nor is predicted; SeaLake is never predicted; Industrial is predicted but does not occur.
    figures = epoch_figures(counted([0, 0, 1, 1], [0, 2, 0, 0], 4), NAMES)
    assert figures["val_balanced_accuracy"] == pytest.approx((0.5 + 0) / 2)
    assert figures["val_macro_precision"] == pytest.approx((1 / 3 + 0) / 2)
    assert figures["val_precision/SeaLake"] == figures["val_f1/SeaLake"] == 0
    assert [name for name in figures if name.endswith(("/Industrial", "/Pasture"))] == []
    assert tuple(figures) == figure_names(NAMES, (2, 2, 0, 0))


def test_a_split_without_tiles_has_no_figures():
    assert epoch_figures(np.zeros((4, 4), np.int64), NAMES) == {}


def test_labels_are_unique_names_that_mlflow_accepts():
    from mlflow.utils.validation import _validate_metric_name

    names = ("Wälder", "a/b", "a:b", "a_b", "A_B", "..", "", "x-9", "x", "X", "<b>&", "../../etc", "l" * 400, "木")
    labels = class_labels(names)
    assert labels[0] == "Wälder"
    assert labels[1] == "a_b"
    assert len({label.casefold() for label in labels}) == len(names)
    for name in figure_names(names, [1] * len(names)):
        _validate_metric_name(name)
        assert len(name) <= 250
        assert "//" not in name


@pytest.mark.parametrize("names", [("x-3", "x", "X"), ("X", "x", "x-2", "x-2-3"), ("", " ", "class 1")])
def test_a_number_that_is_taken_is_not_given_again(names):
    assert len({label.casefold() for label in class_labels(names)}) == len(names)


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy", "val_balanced_accuracy", "val_recall/SeaLake"])
def test_any_figure_can_choose_the_best_epoch(metric):
    assert_accepted(check_best_metric, metric, NAMES, VAL_TILES)


@pytest.mark.parametrize("metric", ["val_recall", "val_recall/Sea", "val_auc", "val_recall/Pasture"])
def test_a_figure_that_no_epoch_has_is_refused(metric):
    with pytest.raises(ParameterError, match=re.escape(f"best_metric={metric!r}. Use one of: val_loss, val_accuracy")):
        check_best_metric(metric, NAMES, VAL_TILES)


def test_curves_are_those_of_scikit_learn_at_the_thresholds():
    rng = np.random.default_rng(3)
    true = rng.integers(0, 2, 500)
    scores = (rng.integers(0, 64, 500) * 4 / 256 + 0.2 * true).clip(0, 1).astype(np.float32)
    counts = np.zeros((1, 256, 2), np.int64)
    np.add.at(counts, (0, np.minimum((scores * 256).astype(int), 255), true), 1)
    curves = score_curves(counts)
    assert {name: array.dtype for name, array in curves.items()} == dict.fromkeys(curves, np.float32)
    for place in (0, 17, 100, 200):
        given = scores >= curves["threshold"][place]
        precision = reference.precision_score(true, given, zero_division=1)
        assert curves["precision"][0, place] == pytest.approx(precision)
        assert curves["recall"][0, place] == pytest.approx(reference.recall_score(true, given))
    assert curves["precision"][0, 255] in (1.0, pytest.approx(true[scores >= 255 / 256].mean()))


def test_the_file_holds_the_arrays_and_is_the_same_each_time():
    counts, scores = counted([0, 1, 1], [0, 1, 0], 4), np.ones((4, 256, 2), np.int64)
    content = curves_file(NAMES, counts, scores)
    assert content == curves_file(NAMES, counts, scores)
    found = np.load(io.BytesIO(content), allow_pickle=False)
    assert tuple(found["class_names"]) == NAMES
    assert np.array_equal(found["confusion"], counts)
    assert found["precision"].shape == found["recall"].shape == (4, 256)
    assert set(np.load(io.BytesIO(curves_file(NAMES, counts))).files) == {"class_names", "confusion"}
