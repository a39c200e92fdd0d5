import json
import logging
import re
from types import SimpleNamespace

import numpy as np
import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.loop.epochs import Epochs


class Weight:
    """A variable of one number, like those of a model."""

    dtype, shape, path = "float64", (1,), "weight"

    def __init__(self):
        self.value = np.zeros(1)

    def numpy(self):
        return self.value.copy()

    def assign(self, value):
        self.value = value


class RecordStub:
    """Replacement of `Record` that keeps everything it receives."""

    def __init__(self):
        self.epochs, self.steps = [], []

    def epoch(self, epoch, figures, curves=b""):
        self.epochs.append((epoch, dict(figures), curves))

    def running(self, step, figures):
        self.steps.append((step, dict(figures)))


def make(received=None, tiles=(20, 10), check_every_steps=1, **parameters):
    config = TrainConfig.parse(**{"epochs": 10, "batch_size": 10, **parameters})
    return Epochs(config, tiles, received or RecordStub(), check_every_steps=check_every_steps)


def go_through(epochs, figures, model, first=1, first_step=0):
    """Run epochs with the given (val_loss, val_accuracy); the weight is the number of the epoch."""
    for number, (val_loss, val_accuracy) in enumerate(figures, start=first):
        epochs.begin(number, first_step)
        for step in range(first_step, 2):
            epochs.stepped(step + 1, {"loss": 1.0, "accuracy": 0.5})
        model.weights[0].assign(np.full(1, float(number)))
        own = {"loss": 1.0, "accuracy": 0.5, "learning_rate": 0.01}
        own |= {} if val_loss is None else {"val_loss": val_loss, "val_accuracy": val_accuracy}
        epochs.consider(own, model)
        epochs.end(own, trained_seconds=2.0, validated_seconds=0.5, curves=b"curves")
        first_step = 0
        if epochs.is_enough:
            break


def run(figures, **parameters):
    received, model = RecordStub(), SimpleNamespace(weights=[Weight()])
    epochs = make(received, **{"epochs": len(figures), **parameters})
    go_through(epochs, figures, model)
    return epochs, model, received


@pytest.mark.parametrize(
    ("metric", "best_epoch"), [("val_accuracy", 3), ("val_loss", 2)]
)  # epochs 1 and 3 are as accurate; 3 has the smaller loss
def test_the_best_epoch_is_kept(metric, best_epoch):
    epochs, model, _ = run([(0.9, 0.8), (0.5, 0.7), (0.6, 0.8), (0.7, 0.1)], options={"best_metric": metric})
    assert epochs.history.best_epoch == best_epoch
    epochs.give_best(model)
    assert model.weights[0].value == [best_epoch]


def test_without_validation_the_last_epoch_is_kept():
    epochs, _, _ = run([(None, None)] * 3, tiles=(20, 0))
    assert (epochs.history.metric, epochs.history.best_epoch) == ("last_epoch", 3)
    assert epochs.best_weights == {}


def test_each_epoch_is_reported_as_it_ends():
    _, _, received = run([(0.9, 0.8), (0.5, 0.7)])
    assert [epoch for epoch, _, _ in received.epochs] == [1, 2]
    _, figures, curves = received.epochs[0]
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert set(figures) == {*names, "seconds", "tiles_per_second", "seconds_left"}
    assert (figures["seconds"], figures["tiles_per_second"], figures["seconds_left"]) == (2.5, 10, 2.5)
    assert curves == b"curves"


def test_figures_within_an_epoch_are_numbered_by_steps_of_the_training():
    _, _, received = run([(0.9, 0.8), (0.5, 0.7)])
    assert [step for step, _ in received.steps] == [1, 2, 3, 4]
    assert set(received.steps[0][1]) == {"loss", "tiles_per_second", "seconds_left"}


def test_an_epoch_is_one_line(caplog):
    caplog.set_level(logging.INFO, "tilepipe.train")
    run([(0.9, 0.8), (0.5, 0.7)])
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "epoch 1 of 2: loss 1.000, accuracy 0.500, val_loss 0.900, val_accuracy 0.800, 10 tiles per second, 2 s left",
        "epoch 2 of 2: loss 1.000, accuracy 0.500, val_loss 0.500, val_accuracy 0.700, 10 tiles per second",
    ]


def test_long_epochs_report_progress(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "tilepipe.train")
    clock = iter(range(0, 10_000, 6))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    run([(0.9, 0.8)])
    assert "epoch 1 of 1: trained on 10 of 20 tiles (50 %)" in caplog.text


@pytest.mark.parametrize(("patience", "epochs_run"), [(0, 6), (2, 4), (5, 6)])
def test_patience_ends(patience, epochs_run, caplog):
    caplog.set_level(logging.INFO, "tilepipe.train")
    figures = [(0.9, 0.5), (0.8, 0.6), (0.8, 0.6), (0.7, 0.5), (0.6, 0.5), (0.5, 0.5)]
    epochs, _, _ = run(figures, options={"early_stopping_patience_epochs": patience})
    assert len(epochs.history.epochs) == epochs_run
    assert epochs.history.best_epoch == 2
    assert ("early stopping: val_accuracy has not improved for 2 epochs" in caplog.text) == (epochs_run < 6)


def test_a_second_phase_has_patience_of_its_own():
    """The age of the best epoch of the first phase does not matter, since the backbone has not been trained yet."""
    figures = [(0.1, 0.9), (0.2, 0.8), (0.2, 0.8), (0.2, 0.8), (0.2, 0.8), (0.2, 0.8), (0.2, 0.8)]
    epochs, _, _ = run(figures, options={"early_stopping_patience_epochs": 2, "head_epochs": 4})
    assert len(epochs.history.epochs) == 6
    assert epochs.history.best_epoch == 1


class TestResumed:
    FIGURES = ((0.9, 0.5), (1 / 3, 0.1 + 0.2), (0.7, 0.1), (0.6, 0.2))

    def test_it_resumes_as_if_it_had_never_stopped(self):
        """Figures are restored exactly from JSON, and the weights of the best epoch are no longer in memory."""
        options = {"early_stopping_patience_epochs": 3, "best_metric": "val_loss"}
        whole, _, _ = run(self.FIGURES, epochs=10, options=options)
        first, _, _ = run(self.FIGURES[:2], epochs=10, options=options)
        second, model = make(options=options), SimpleNamespace(weights=[Weight()])
        second.restore(json.loads(json.dumps(first.state())), first.best_weights)
        assert second.history == first.history
        go_through(second, self.FIGURES[2:], model, first=3)
        assert second.history == whole.history
        second.give_best(model)
        assert model.weights[0].value == [2]

    def test_its_rates_are_those_of_the_steps_that_are_its_own(self, caplog, monkeypatch):
        caplog.set_level(logging.INFO, "tilepipe.train")
        now = iter(range(0, 10_000, 10))
        monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
        received, model = RecordStub(), SimpleNamespace(weights=[Weight()])
        epochs = make(received, tiles=(1000, 10), batch_size=100)
        epochs.begin(1, 8)
        epochs.stepped(9, {"loss": 1.0})
        assert "trained on 900 of 1,000 tiles (90 %), 10 per second" in caplog.text
        epochs.stepped(10, {"loss": 1.0})
        assert [step for step, _ in received.steps] == [9, 10]
        assert all(figures["tiles_per_second"] < 11 for _, figures in received.steps)
        figures = {"loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}
        epochs.consider(figures, model)
        epochs.end(figures, 20.0, 5.0, b"")
        _, reported, _ = received.epochs[0]
        assert reported["tiles_per_second"] == 10
        assert reported["seconds_left"] == 9 * (100 + 5)

    def test_an_epoch_may_have_no_steps_left(self):
        received, model = RecordStub(), SimpleNamespace(weights=[Weight()])
        epochs = make(received)
        go_through(epochs, [(0.9, 0.5), (0.8, 0.6)], model, first_step=2)
        assert [epoch["tiles_per_second"] for epoch in epochs.history.epochs] == [0, 10]
        assert all(np.isfinite(list(figures.values())).all() for _, figures in received.steps)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(value):
    epochs = make(tiles=(100, 10), learning_rate=0.5, optimizer="sgd")
    epochs.begin(2, 4)
    message = (
        rf"a loss of {value} in epoch 2 of 10, batch 5, with optimizer='sgd' and learning_rate=0\.5\. .*such as 0\.01"
    )
    with pytest.raises(ParameterError, match=message) as error:
        epochs.stepped(5, {"loss": value})
    assert "checkpoint" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "learning_rate=0.05. Use a smaller learning_rate, such as 0.005, or"),
        ({"head_epochs": 2}, "learning_rate=0.05. Use a smaller learning_rate, such as 0.005, or"),
        ({"head_epochs": 1}, "finetune_learning_rate=0.05. Use a smaller finetune_learning_rate, such as 0.005, or"),
        (
            {"learning_rate_finder": "use"},
            "learning_rate=0.05. Use learning_rate_finder='report' and a smaller learning_rate, such as 0.005, or",
        ),
    ],
)
def test_the_rate_to_lower_is_the_one_that_is_used(options, said):
    epochs = make(learning_rate=7, options=options)
    epochs.learning_rate = 0.05
    epochs.begin(2, 0)
    with pytest.raises(ParameterError, match=re.escape(said)):
        epochs.stepped(1, {"loss": float("nan")})


def test_a_gpu_is_asked_for_its_loss_rarely_and_at_the_end_of_an_epoch():
    received = RecordStub()
    epochs = make(received, tiles=(100, 10), check_every_steps=4, checkpoint_uri="/checkpoints")
    epochs.begin(1, 0)
    for step in range(1, 9):
        epochs.stepped(step, {"loss": 1.0} if step in (4, 8) else {})
    epochs.stepped(9, {})
    with pytest.raises(
        ParameterError, match=r"in epoch 1 of 10, batch 9 to batch 10, .*last checkpoint before it is kept"
    ):
        epochs.stepped(10, {"loss": float("nan")})
    assert [step for step, _ in received.steps] == [4, 8]


def test_a_validation_loss_that_is_no_number_ends_the_training():
    with pytest.raises(ParameterError, match="a val_loss of nan in epoch 1 of 1, the validation"):
        run([(float("nan"), 0.5)])


@pytest.mark.parametrize(("val_loss", "tiles"), [(0.9, (20, 10)), (None, (20, 0))])
def test_weights_that_are_no_numbers_end_the_training(val_loss, tiles):
    epochs, model = make(tiles=tiles, learning_rate=0.5), SimpleNamespace(weights=[Weight()])
    model.weights[0].value[:] = np.inf
    epochs.begin(2, 2)
    figures = {"loss": 1.0} | ({} if val_loss is None else {"val_loss": val_loss, "val_accuracy": 0.5})
    with pytest.raises(ParameterError, match=r"in weight after epoch 2 of 10, with a loss of 1, .*such as 0\.01"):
        epochs.consider(figures, model)
