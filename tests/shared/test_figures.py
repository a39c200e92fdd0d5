import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from tilepipe.components.evaluate.figures.metrics import score
from tilepipe.components.shared.figures import OVERALL, PER_CLASS, classification_figures
from tilepipe.components.train.figures.epoch_figures import epoch_figures

# 20 predictions of three classes. The third has no tile, but is predicted once.
LABELS = np.array([0] * 10 + [1] * 10, np.int64)
PREDICTED = np.array([0] * 9 + [2] + [1] * 10, np.int64)


def counted(labels, predicted, classes):
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def test_training_and_evaluation_agree_where_a_class_has_no_tiles():
    names = ("Forest", "SeaLake", "Pasture")
    of_train = epoch_figures(counted(LABELS, PREDICTED, 3), names)
    of_evaluate = score(LABELS, np.eye(3, dtype=np.float32)[PREDICTED])
    scalars = of_evaluate.scalars()
    assert {name: of_train[f"val_{name}"] for name in OVERALL} == {name: scalars[name] for name in OVERALL}
    assert scalars["macro_f1"] == pytest.approx(0.974, abs=5e-4)
    assert scalars["macro_precision"] == 1
    for figure in PER_CLASS:
        per_class = getattr(of_evaluate.figures, figure)
        assert [of_train[f"val_{figure}/{name}"] for name in names[:2]] == per_class[:2].tolist()
        assert f"val_{figure}/Pasture" not in of_train
        assert np.isnan(per_class[2])


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn_tile_by_tile(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 3], 300, p=[0.8, 0.15, 0.05])
    predicted = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 5, 300))
    figures = classification_figures(counted(labels, predicted, 5))
    present = np.unique(labels)
    expected = reference.precision_recall_fscore_support(labels, predicted, labels=present, zero_division=0)
    for values, wanted in zip((figures.precision, figures.recall, figures.f1, figures.support), expected, strict=True):
        np.testing.assert_allclose(values[present], wanted)
    with warnings.catch_warnings(action="ignore"):  # that some predicted classes have no tiles
        balanced = reference.balanced_accuracy_score(labels, predicted)
    assert figures.overall["balanced_accuracy"] == figures.overall["macro_recall"] == pytest.approx(balanced)
    assert figures.overall["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert np.isnan(figures.f1[[2, 4]]).all()


def test_counts_are_exact_where_float32_would_not_be():
    figures = classification_figures(np.array([[2**24, 1], [0, 0]]))
    assert figures.overall["accuracy"] == 2**24 / (2**24 + 1)
    assert figures.support.tolist() == [2**24 + 1, 0]


def test_a_split_without_tiles_has_no_figures():
    figures = classification_figures(np.zeros((3, 3), np.int64))
    assert figures.overall == {}
    assert np.isnan(figures.f1).all()
