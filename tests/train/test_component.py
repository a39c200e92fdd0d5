from pathlib import Path

import pytest
from kfp import dsl

from tilepipe.components.train.component import train_model
from tilepipe.components.train.config import TrainConfig


@pytest.fixture
def artifacts(workplace):
    place = workplace()
    inputs = place.inputs
    folder = place.folder / "out"
    return {
        "train_shards": [dsl.Dataset(uri=str(folder)) for folder in inputs.train_shards],
        "val_shards": [dsl.Dataset(uri=str(folder)) for folder in inputs.val_shards],
        "manifest": dsl.Artifact(uri=str(inputs.manifest)),
        "base_model": dsl.Model(uri=str(inputs.base_model)),
        "model": dsl.Model(name="model", uri=str(folder / "model")),
        "history": dsl.Dataset(name="history", uri=str(folder / "history")),
        "curves": dsl.HTML(name="curves", uri=str(folder / "curves")),
    }


def test_the_artifacts_are_written(artifacts):
    result = train_model.python_func(
        **artifacts, epochs=1, batch_size=8, options={"early_stopping_patience_epochs": 3.0}
    )
    assert result.mlflow_run_id == ""
    for name, suffix in (("model", ".keras"), ("history", ".json"), ("curves", ".html")):
        assert artifacts[name].uri.endswith(f"/{name}{suffix}")
        assert Path(artifacts[name].path).is_file()
    assert artifacts["model"].metadata["best_epoch"] == 1
    assert set(artifacts["model"].metadata) >= {"val_accuracy", "val_loss"}


def test_a_wrong_parameter_ends_the_step_with_exit_code_2(artifacts, termination_log):
    with pytest.raises(SystemExit) as error:
        train_model.python_func(**artifacts, batch_size=25)
    assert error.value.code == 2
    assert termination_log.read_text().startswith("train: `batch_size` must be no larger than the training split.")
    assert not Path(artifacts["model"].path).parent.exists()


def test_the_interface_is_the_configuration():
    inputs = train_model.component_spec.inputs
    fields = TrainConfig.model_fields
    shards = ["train_shards", "val_shards", "train_uris", "val_uris"]
    assert list(inputs) == ["manifest", "base_model", *shards, *fields]
    defaults = TrainConfig()
    for name in set(fields) - {"options"}:
        value = getattr(defaults, name)
        assert inputs[name].default == (list(value) if isinstance(value, tuple) else value), name
    assert list(train_model.component_spec.outputs) == ["model", "history", "curves", "mlflow_run_id"]
