"""Sweeps by the compiled pipeline, as users run them."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.integration.test_run import TINY, tilepipe
from tilepipe.components.propose.config import ProposeConfig
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.registry.version_tags import TRAINING_TILES
from tilepipe.pipelines.cli import arguments
from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.sample.sample import write_sample

CONFIGS = Path(__file__).parents[2] / "pipelines" / "tune_classifier" / "configs"


def test_a_sweep_of_three_candidates_of_which_one_fails(tmp_path):
    write_sample(tmp_path / "sample", tiles_per_class=8)
    space = {"together": [{"train_learning_rate": 0.001}, {"train_batch_size": 9999}, {"train_learning_rate": 0.01}]}
    words = [f"data_source={tmp_path / 'sample' / 'catalog.json'}", *TINY, f"tune_space={json.dumps(space)}"]
    words += ["tune_workers=2", "tune_refit=true", "tune_metric=val_loss"]
    done = tilepipe("run", "tune_classifier", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines() if re.search(r"\bok\b +[\d.]+ s", line)]
    assert steps[-7:] == ["tune", "select", "refit", "evaluate", "export", "register", "finish"]
    assert re.search(r"select.*is the best of 3: val_loss .*; 2 finished, 0 stopped, 1 failed", done.stdout)
    assert "candidate-001 failed: `train_batch_size` must be no larger" in done.stdout
    assert "test_accuracy" in done.stdout
    comparison = Path(re.search(r"^comparison: (.+)$", done.stdout, re.MULTILINE)[1])
    assert "is the best of 3" in comparison.read_text(encoding="utf-8")
    assert "│ val_accuracy" not in done.stdout, "the validation tiles were trained on"

    from mlflow import MlflowClient

    mlflow = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    runs = mlflow.search_runs([mlflow.get_experiment_by_name("tilepipe").experiment_id])
    (parent,) = [run for run in runs if "kfp.run_id" in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert {"winner/val_loss", "test_accuracy"} <= set(parent.data.metrics)
    nested = {run.data.tags["tilepipe.candidate"]: run for run in runs if run is not parent}
    assert {run.data.tags["mlflow.parentRunId"] for run in nested.values()} == {parent.info.run_id}
    assert {name: run.info.status for name, run in nested.items()} == {
        "candidate-000": "FINISHED",
        "candidate-001": "FAILED",
        "candidate-002": "FINISHED",
        "refit": "FINISHED",
    }
    assert nested["candidate-000"].data.params["learning_rate"] == "0.001"
    (version,) = mlflow.search_model_versions()
    (table,) = json.loads(
        version.tags[TRAINING_TILES]
    )  # without it, the gate cannot compare later models with this one
    assert Path(table).is_file()


def test_a_wrong_space_stops_before_anything_is_read(tmp_path):
    words = [f"data_source={tmp_path / 'absent'}", 'tune_space={"train_learning_rate": [0.1, -1]}']
    done = tilepipe("run", "tune_classifier", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "`train_learning_rate` should be greater than 0. Received: train_learning_rate=-1" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_committed_configurations_are_accepted(path):
    given = arguments.collect(compiled_pipeline.load("tune_classifier"), path, ["data_source=tiles/"])
    names = ProposeConfig.model_fields.keys() & given.keys()
    config = ProposeConfig.parse(**{name: given[name] for name in names})
    assert len(config.listed()) >= 8
    assert f"--config pipelines/tune_classifier/configs/{path.name}" in path.read_text(encoding="utf-8")


def test_a_configuration_with_a_misspelt_option_would_be_noticed(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"tune_space": {"train_options.scheduel": ["cosine"]}}), encoding="utf-8")
    with pytest.raises(ParameterError, match=r"Did you mean train_options.schedule\?"):
        arguments.collect(compiled_pipeline.load("tune_classifier"), path, ["data_source=tiles/"])
