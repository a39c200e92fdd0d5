import logging
from types import SimpleNamespace

import numpy as np
import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.epochs import Epochs


class Model(SimpleNamespace):
    """What the callback touches of a model."""

    def __init__(self):
        super().__init__(weights=[np.zeros(1)], stop_training=False, optimizer=SimpleNamespace(learning_rate=0.01))

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def run(figures, **parameters):
    """Go through epochs with the given (val_loss, val_accuracy); the weights are the epoch's number."""
    reports = []
    config = TrainConfig.parse(**{"epochs": len(figures), "batch_size": 10, **parameters})
    epochs = Epochs(config, (20, 10), lambda epoch, values: reports.append((epoch, values)))
    model = Model()
    epochs.set_model(model)
    for epoch, (val_loss, val_accuracy) in enumerate(figures):
        epochs.on_epoch_begin(epoch)
        for batch in range(2):
            epochs.on_train_batch_end(batch, {"loss": 1.0, "accuracy": 0.5})
        epochs.on_test_begin()
        epochs.on_test_batch_end(0, {"loss": val_loss})
        model.weights = [np.full(1, epoch + 1)]
        epochs.on_epoch_end(epoch, {"loss": 1.0, "accuracy": 0.5, "val_loss": val_loss, "val_accuracy": val_accuracy})
        if model.stop_training:
            break
    return epochs, model, reports


@pytest.mark.parametrize(
    ("metric", "best_epoch"), [("val_accuracy", 3), ("val_loss", 2)]
)  # epochs 1 and 3 are as accurate; 3 has the smaller loss
def test_the_best_epoch_is_kept(metric, best_epoch):
    epochs, model, _ = run([(0.9, 0.8), (0.5, 0.7), (0.6, 0.8), (0.7, 0.1)], options={"best_metric": metric})
    assert epochs.history.best_epoch == best_epoch
    epochs.restore_best()
    assert model.weights[0] == [best_epoch]


def test_each_epoch_is_reported_as_it_ends():
    _, _, reports = run([(0.9, 0.8), (0.5, 0.7)])
    assert [epoch for epoch, _ in reports] == [1, 2]
    assert set(reports[0][1]) == {
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "seconds",
        "tiles_per_second",
    }
    assert reports[0][1]["learning_rate"] == 0.01


def test_an_epoch_is_one_line(caplog):
    caplog.set_level(logging.INFO, "tilepipe.train")
    run([(0.9, 0.8), (0.5, 0.7)])
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("epoch 1 of 2: loss 1.000, accuracy 0.500, val_loss 0.900, val_accuracy 0.800, ")
    assert lines[0].endswith(" tiles a second, 0 s left")
    assert lines[1].endswith(" tiles a second")


def test_long_epochs_tell_how_far_they_are(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "tilepipe.train")
    clock = iter(range(0, 10_000, 6))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    run([(0.9, 0.8)])
    assert "epoch 1 of 1: trained on 10 of 20 tiles (50 %)" in caplog.text
    assert "epoch 1 of 1: validated on 10 of 10 tiles (100 %)" in caplog.text


@pytest.mark.parametrize(("patience", "epochs_run"), [(0, 6), (2, 4), (5, 6)])
def test_patience_ends(patience, epochs_run):
    figures = [(0.9, 0.5), (0.8, 0.6), (0.8, 0.6), (0.7, 0.5), (0.6, 0.5), (0.5, 0.5)]
    epochs, model, _ = run(figures, options={"early_stopping_patience_epochs": patience})
    assert len(epochs.history.epochs) == epochs_run
    assert epochs.history.best_epoch == 2
    assert model.stop_training == (epochs_run < 6)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(value):
    epochs = Epochs(TrainConfig.parse(learning_rate=0.5, optimizer="sgd"), (20, 10), lambda *_: None)
    epochs.set_model(Model())
    epochs.on_epoch_begin(1)
    message = rf"loss={value} in epoch 2 of 10, batch 5, with optimizer='sgd' and learning_rate=0.5\. .*such as 0.05"
    with pytest.raises(ParameterError, match=message):
        epochs.on_train_batch_end(4, {"loss": value})


def test_a_validation_loss_that_is_no_number_ends_the_training():
    with pytest.raises(ParameterError, match="val_loss=nan in epoch 1 of 1, the validation"):
        run([(float("nan"), 0.5)])
