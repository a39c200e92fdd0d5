import json
import logging
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.tensorflow_shards import open_shards
from tilepipe.components.shared.contracts.history import read_history
from tilepipe.components.shared.errors import ArtifactError, ParameterError, SplitError
from tilepipe.components.shared.runtime import run_settings


def weights_of(place, name):
    return keras.saving.load_model(place.outputs(name).model).get_weights()


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_training_learns_and_keeps_its_best_epoch(workplace, caplog):
    caplog.set_level(logging.INFO, "tilepipe.train")
    place = workplace(tiles=(48, 24, 0))
    trained = place.train(epochs=8, learning_rate=0.1)
    history = read_history(place.outputs().history)
    assert trained.history == history
    assert trained.mlflow_run_id == ""
    assert len(history.epochs) == 8
    assert history.best["val_accuracy"] == max(epoch["val_accuracy"] for epoch in history.epochs)
    assert history.best["val_accuracy"] > 0.9
    assert trained.facts["best_epoch"] == history.best_epoch

    model = keras.saving.load_model(place.outputs().model)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    data = open_shards(place.folder, "val", place.manifest, batch_size=8)
    loss, accuracy = model.evaluate(data, verbose=0)
    assert accuracy == pytest.approx(history.best["val_accuracy"])
    assert loss == pytest.approx(history.best["val_loss"], rel=1e-5)

    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("epoch ") and "val_accuracy" in line for line in lines) == 8
    assert "MLFLOW_TRACKING_URI is not set: this run is not tracked." in lines
    assert "Best epoch" in place.outputs().curves.read_text()


def test_the_same_inputs_and_seed_give_the_same_weights(workplace):
    place = workplace()
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        place.train(name, seed=seed)
    assert same(weights_of(place, "first"), weights_of(place, "again"))
    assert not same(weights_of(place, "first"), weights_of(place, "other"))


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_each_optimizer_trains(workplace, optimizer):
    place = workplace(dtype="uint8")
    before = keras.saving.load_model(place.inputs.base_model).get_weights()
    place.train(optimizer=optimizer, epochs=1)
    assert not same(before, weights_of(place, "out"))


def test_tiles_that_are_not_square_can_be_flipped(workplace):
    place = workplace(shape=(6, 9, 3), dtype="float32")
    place.train(epochs=1, augmentation=["flip"])
    with pytest.raises(ParameterError, match="not square"):
        place.train("other", epochs=1)


def test_a_diverging_training_leaves_nothing(workplace):
    place = workplace()
    with pytest.raises(ParameterError, match=r"The loss must stay finite.*Use a smaller learning_rate"):
        place.train(optimizer="sgd", learning_rate=1e30)
    assert not (place.folder / "out").exists()


def test_weights_that_are_nan_end_a_training_whose_loss_is_finite(workplace):
    """On a CPU, TensorFlow computes a convolution together with its ReLU, and NaN becomes 0."""
    place = workplace()
    model = keras.saving.load_model(place.inputs.base_model)
    kernel, bias = model.layers[2].get_weights()
    kernel[0, 0, 0, 0] = np.nan
    model.layers[2].set_weights([kernel, bias])
    model.save(place.inputs.base_model)
    with pytest.raises(ParameterError, match=r"The weights must stay finite.*NaN or infinity in .*kernel after"):
        place.train(epochs=1)
    assert not (place.folder / "out").exists()


def test_patience_ends_a_training(workplace):
    place = workplace()
    options = {"early_stopping_patience_epochs": 1, "best_metric": "val_loss"}
    trained = place.train(epochs=50, learning_rate=0.5, options=options)
    assert len(trained.history.epochs) == trained.history.best_epoch + 1 < 50


@pytest.mark.parametrize(
    ("settings", "parameters", "error", "message"),
    [
        ({"tiles": (24, 0, 0)}, {}, SplitError, "24 training, 0 validation and 0 test tiles"),
        ({}, {"batch_size": 25}, ParameterError, "batch_size=25 for 24 training tiles"),
        ({}, {"gpu_count": "1"}, ParameterError, "gpu_count='1' of 'nvidia.com/gpu'"),
    ],
)
def test_what_cannot_work_stops_at_once(workplace, settings, parameters, error, message, monkeypatch):
    import tensorflow as tf

    place = workplace(**settings)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    with pytest.raises(error, match=message):
        place.train(**parameters)


def test_a_final_fit_keeps_the_last_epoch(workplace, caplog):
    """Without validation tiles, the model is that of the last epoch, and the pages state it."""
    caplog.set_level(logging.INFO, "tilepipe.train")
    place = workplace(tiles=(36, 0, 12))
    trained = place.train(epochs=3)
    history = trained.history
    assert (history.metric, history.best_epoch, history.has_validation) == ("last_epoch", 3, False)
    assert all(not name.startswith("val_") for epoch in history.epochs for name in epoch)
    assert trained.facts == {"best_epoch": 3, "epochs": 3}
    assert "no validation tiles: the last epoch is kept" in caplog.text
    page = place.outputs().curves.read_text(encoding="utf-8")
    assert "the last of 3 epochs, since there are no validation tiles" in page
    assert "validation loss" not in page
    assert read_history(place.outputs().history) == history

    longer = place.train("longer", epochs=4)
    assert longer.history.epochs[2]["loss"] == history.epochs[2]["loss"]
    assert not same(weights_of(place, "out"), weights_of(place, "longer")), "each keeps its own last epoch"


def test_a_model_for_other_tiles_stops_at_once(workplace):
    place = workplace()
    place.manifest.model_copy(update={"height": 16, "width": 4}).write(place.inputs.manifest)
    with pytest.raises(ArtifactError, match=r"\(16, 4, 2\)"):
        place.train(augmentation=[])


class TestTracked:
    @pytest.fixture
    def place(self, workplace, mlflow_store, monkeypatch):
        place = workplace()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store)
        monkeypatch.setenv("KFP_RUN_ID", "kfp-1")
        return place

    @pytest.fixture
    def mlflow(self, place):
        from tilepipe.components.shared.tracking import tracking

        return tracking.client()

    def test_all_of_a_training_is_recorded(self, place, mlflow, monkeypatch):
        monkeypatch.setenv(
            run_settings.VARIABLE, run_settings.encode({"split_by": "group", "train_epochs": 3}, "/runs/1")
        )
        trained = place.train(epochs=3, augmentation=["flip"], options={"label_smoothing": 0.1})
        run = mlflow.get_run(trained.mlflow_run_id)
        assert run.info.status == "RUNNING"
        assert run.info.run_name == "tiny (synthetic) tiny kfp-1"
        assert run.data.tags["kfp.run_id"] == "kfp-1"
        assert "tilepipe.version" in run.data.tags

        params = run.data.params
        assert params["epochs"] == "3"
        assert params["options.label_smoothing"] == "0.1"
        assert json.loads(params["augmentation"]) == ["flip"]
        assert (params["split_by"], params["run.folder"]) == ("group", "/runs/1")
        defaults = {"optimizer", "seed", "options.best_metric", "data.snapshot", "train_epochs"}
        assert not defaults & set(params), "only what differs from the defaults"
        assert params["data.name"] == "tiny (synthetic)"
        assert params["data.digest"] == place.manifest.digest
        assert params["data.bands"] == "B01, B02"
        assert params["data.train_tiles"] == "24"
        assert params["model.name"] == "tiny"

        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "tiles_per_second"):
            points = mlflow.get_metric_history(trained.mlflow_run_id, name)
            assert [point.step for point in points] == [1, 2, 3], name
        points = mlflow.get_metric_history(trained.mlflow_run_id, "val_loss")
        assert [p.value for p in points] == pytest.approx([e["val_loss"] for e in trained.history.epochs])

        dataset = run.inputs.dataset_inputs[0].dataset
        assert dataset.name == "tiny (synthetic)"
        assert place.manifest.digest.startswith(dataset.digest)
        assert json.loads(dataset.profile) == {"train_tiles": 24, "val_tiles": 12, "test_tiles": 0, "classes": 3}
        files = {file.path for file in mlflow.list_artifacts(trained.mlflow_run_id, "training")}
        assert files == {f"training/{name}" for name in ("curves", "curves.html", "curves.svg", "history.json")}

    def test_the_logged_model_predicts_from_raw_numbers(self, place, mlflow):
        import mlflow as fluent

        trained = place.train(epochs=1)
        run = mlflow.get_run(trained.mlflow_run_id)
        logged = mlflow.get_logged_model(run.outputs.model_outputs[0].model_id)
        assert str(logged.status) == "READY"
        assert logged.experiment_id == run.info.experiment_id
        assert {metric.key for metric in logged.metrics} >= {"val_accuracy", "train_loss"}

        tiles, _ = next(iter(open_shards(place.folder, "val", place.manifest, batch_size=12)))
        model = fluent.pyfunc.load_model(f"runs:/{trained.mlflow_run_id}/model")
        own = keras.saving.load_model(place.outputs().model)
        assert np.allclose(model.predict(tiles.numpy()), own.predict(tiles, verbose=0), atol=1e-6)
        assert model.input_example.shape == (1, 8, 8, 2)
        assert model.metadata.metadata["class_names"] == list(place.manifest.class_names)
        needed = Path(fluent.pyfunc.get_model_dependencies(model.metadata.get_model_info().model_uri)).read_text()
        assert {line.split("==")[0] for line in needed.split()} == {"mlflow", "keras", "tensorflow", "numpy"}

    def test_a_retry_continues_its_own_run(self, place, mlflow):
        first = place.train(epochs=1)
        again = place.train("again", epochs=1)
        assert again.mlflow_run_id == first.mlflow_run_id
