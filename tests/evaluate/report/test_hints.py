import dataclasses
from html.parser import HTMLParser

import numpy as np
import pytest

from tilepipe.components.evaluate.figures.group_figures import GroupFigures
from tilepipe.components.evaluate.figures.metrics import score
from tilepipe.components.evaluate.figures.model_facts import ModelFacts
from tilepipe.components.evaluate.report.hints import HINTS_SHOWN, hints


def text_of(markup):
    parser, found = HTMLParser(), []
    parser.handle_data = found.append
    parser.feed(markup)
    return "".join(found).replace("\u202f", " ")


def titles(evaluation):
    return [hint.title for hint in hints(evaluation)]


def with_epochs(evaluation, **best):
    """Change figures of the best epoch, which is the first of two."""
    epochs = evaluation.history.epochs[:2]
    history = evaluation.history.model_copy(update={"best_epoch": 1, "epochs": ({**epochs[0], **best}, epochs[1])})
    return dataclasses.replace(evaluation, history=history)


@pytest.fixture
def good(make_evaluation):
    """An evaluation that is right everywhere, of a training that has converged."""
    return with_epochs(make_evaluation(skill=60, tiles=300), accuracy=0.99, val_accuracy=0.98)


def scored(evaluation, labels, probabilities):
    scores = {split: score(np.array(labels), np.float32(probabilities)) for split in evaluation.scores}
    return dataclasses.replace(evaluation, scores=scores)


def test_where_all_is_well_nothing_is_to_be_tried(good):
    assert hints(good) == []


def test_a_class_without_tiles_and_a_small_one_are_named(good):
    labels = [0] * 50 + [1] * 4
    found = hints(scored(good, labels, np.eye(3)[labels] * 0.97 + 0.01))
    assert [hint.title for hint in found] == [
        "Add test tiles of classes without any",
        "Add test tiles of small classes",
    ]
    assert text_of(found[0].reason) == "Nothing is known about SeaLake."
    assert "Fewer than 10 tiles: Forest." in text_of(found[1].reason)


def test_confident_mistakes_point_to_labels(good):
    (sure,) = good.shown.typical[0][:1]
    mistakes = (sure._replace(probability=0.99), sure._replace(probability=0.4))
    found = dataclasses.replace(good, shown=dataclasses.replace(good.shown, mistakes=mistakes))
    (hint,) = hints(found)
    assert hint.title == "Check the labels of the most confident mistakes"
    assert "At least 1 tile is wrong with a probability of 90 % or more" in text_of(hint.reason)


def test_two_classes_that_are_confused_are_named(good):
    labels = np.repeat([0, 1, 2], 100)
    predicted = labels.copy()
    predicted[:20], predicted[100:110] = 1, 0
    hint = hints(scored(good, labels, np.eye(3)[predicted] * 0.85 + 0.05))[0]
    assert "100 % of all mistakes are between AnnualCrop and Forest" in text_of(hint.reason)


def test_weak_classes_with_few_training_tiles_are_named(good):
    train = good.manifest.splits["train"]
    per_class = {"AnnualCrop": 100, "Forest": 100, "SeaLake": 20}
    splits = {**good.manifest.splits, "train": train.model_copy(update={"tiles_per_class": per_class})}
    manifest = good.manifest.model_copy(update={"splits": splits})
    labels = np.repeat([0, 1, 2], 100)
    predicted = labels.copy()
    predicted[200:230] = np.arange(30) % 2
    found = scored(dataclasses.replace(good, manifest=manifest), labels, np.eye(3)[predicted] * 0.94 + 0.02)
    hint = next(hint for hint in hints(found) if hint.title.startswith("Add training tiles"))
    assert "SeaLake (20)" in text_of(hint.reason)
    assert """train_options='{"class_weights": "balanced"}'""" in text_of(hint.reason)
    weighed = ModelFacts("cnn", 3, 9, 9, {}, settings={"options.class_weights": "balanced"})
    hint = next(
        hint for hint in hints(dataclasses.replace(found, model=weighed)) if hint.title.startswith("Add training")
    )
    assert "weigh the classes" not in text_of(hint.reason)


@pytest.mark.parametrize(
    ("best", "title"),
    [({"accuracy": 0.99, "val_accuracy": 0.8}, "Train with more variety"), ({"accuracy": 0.8}, None)],
)
def test_overfitting_is_recognized(good, best, title):
    assert titles(with_epochs(good, **{"val_accuracy": 0.79, **best})) == ([title] if title else [])


def test_a_training_that_was_still_improving_is_recognized(make_evaluation):
    assert titles(make_evaluation(skill=60, tiles=300)) == ["Train longer"]


def test_a_weak_group_is_named(good):
    groups = (GroupFigures("tiny", 2, 1, 0.0), GroupFigures("north <b>", 40, 2, 0.5), GroupFigures("south", 40, 3, 1.0))
    (hint,) = hints(dataclasses.replace(good, groups=groups))
    assert "north <b>: 50.0 % of 40 tiles." in text_of(hint.reason)


def test_averages_that_help_are_recommended(make_evaluation, good):
    weaker = with_epochs(make_evaluation(tiles=300), accuracy=0.99, val_accuracy=0.98)
    found = dataclasses.replace(weaker, averaged={"test": good.headline})
    assert "Average over the variants of a tile" in titles(found)


def test_a_model_that_is_too_sure_or_guesses_is_called_so(make_evaluation):
    guessing = make_evaluation(tiles=600, skill=0.0)
    found = hints(guessing)
    assert found[0].title == "Check the training before anything else"
    assert len(found) <= HINTS_SHOWN
    labels = np.arange(300) % 3
    predicted = np.where(np.arange(300) < 60, (labels + 1) % 3, labels)
    sure = hints(scored(guessing, labels, np.eye(3)[predicted] * 0.97 + 0.01))
    calibration = next(hint for hint in sure if hint.title == "Do not use the probabilities as they are")
    assert "too sure" in text_of(calibration.reason)
    assert "label_smoothing" in text_of(calibration.reason)


def test_few_tiles_make_uncertain_figures(make_evaluation):
    assert "Evaluate on more test tiles" in titles(make_evaluation(tiles=40))
