import math

import pytest
from pydantic import ValidationError

from tilepipe.components.shared.contracts.history import History, in_words, rank, read_history
from tilepipe.components.shared.errors import ArtifactError

EPOCHS = ({"loss": 1.0, "val_loss": 1.1}, {"loss": 0.5, "val_loss": 0.9})


def test_what_is_written_is_read(tmp_path):
    history = History(metric="val_loss", best_epoch=2, epochs=EPOCHS)
    history.write(tmp_path / "history.json")
    assert read_history(tmp_path / "history.json") == history
    assert history.best == EPOCHS[1]


@pytest.mark.parametrize("best_epoch", [0, 3])
def test_the_best_epoch_is_one_of_the_epochs(best_epoch):
    with pytest.raises(ValidationError, match="best_epoch must be one of the 2 epochs"):
        History(metric="val_loss", best_epoch=best_epoch, epochs=EPOCHS)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b'{"schema_version": 2}'])
def test_another_file_is_an_error(tmp_path, content):
    path = tmp_path / "history.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match="Run `train` again"):
        read_history(path)


@pytest.mark.parametrize("metric", ["val_balanced_accuracy", "loss", "val_", ""])
def test_the_figure_that_chose_is_one_of_the_validation_tiles_that_was_written_down(metric):
    with pytest.raises(ValidationError, match="metric"):
        History(metric=metric, best_epoch=1, epochs=EPOCHS)


def test_any_figure_of_the_validation_tiles_can_have_chosen(tmp_path):
    epochs = tuple(epoch | {"val_recall/Forest": 0.5} for epoch in EPOCHS)
    history = History(metric="val_recall/Forest", best_epoch=1, epochs=epochs)
    history.write(tmp_path / "history.json")
    assert read_history(tmp_path / "history.json") == history
    assert history.has_validation


def test_a_loss_ranks_the_lowest_first_and_any_other_figure_the_highest():
    good, bad = {"val_loss": 0.5, "val_macro_f1": 0.9}, {"val_loss": 0.7, "val_macro_f1": 0.8}
    assert rank("val_loss", good) > rank("val_loss", bad)
    assert rank("val_macro_f1", good) > rank("val_macro_f1", bad)


def test_a_class_that_is_called_loss_is_ranked_like_any_other():
    good, bad = {"val_loss": 0.5, "val_recall/Forest loss": 0.9}, {"val_loss": 0.5, "val_recall/Forest loss": 0.1}
    assert rank("val_recall/Forest loss", good) > rank("val_recall/Forest loss", bad)


def test_of_two_that_are_equal_the_smaller_loss_ranks_first():
    assert rank("val_macro_f1", {"val_loss": 0.5, "val_macro_f1": 0.8}) > rank(
        "val_macro_f1", {"val_loss": 0.7, "val_macro_f1": 0.8}
    )


@pytest.mark.parametrize("metric", ["val_loss", "val_macro_f1"])
def test_what_is_no_number_ranks_last(metric):
    worst = {"val_loss": 1e9, "val_macro_f1": 0.0}
    assert rank(metric, worst) > rank(metric, worst | {metric: math.nan})


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("val_accuracy", "validation accuracy"),
        ("val_balanced_accuracy", "validation balanced accuracy"),
        ("val_macro_f1", "validation macro F1"),
        ("val_recall/SeaLake", "validation recall of SeaLake"),
        ("val_f1/sea_lake", "validation F1 of sea_lake"),
    ],
)
def test_a_figure_in_words(metric, words):
    assert in_words(metric) == words
