"""What a run on this machine adds to its arguments; the runs themselves are in `tests/integration/test_run.py`."""

from pathlib import Path

import pytest

from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.local import runner


@pytest.mark.parametrize("name", ["train_classifier", "train_classifier_streaming"])
def test_checkpoints_are_beside_the_runs_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = runner.with_checkpoints(compiled_pipeline.load(name), {"seed": 4}, Path("runs"))
    assert found == {"seed": 4, "train_checkpoint_uri": str(tmp_path / "runs" / "checkpoints")}


@pytest.mark.parametrize("given", ["s3://bucket/checkpoints", ""])
def test_an_address_that_was_given_is_kept_even_an_empty_one(given, tmp_path):
    arguments = {"train_checkpoint_uri": given}
    assert runner.with_checkpoints(compiled_pipeline.load("train_classifier"), arguments, tmp_path) == arguments


def test_a_pipeline_without_the_parameter_gets_none(tmp_path):
    assert runner.with_checkpoints(compiled_pipeline.load("train_classifier_small"), {}, tmp_path) == {}


def test_a_loop_ends_with_the_next_step_if_kfp_logs_the_end_of_its_first_iteration_only(tmp_path):
    steps, shown = {}, []
    pipeline = compiled_pipeline.load("tune_classifier")
    lines = ["INFO - Executing task 'tune-candidates'"] * 2
    lines += ["Task 'tune-candidates' finished with status SUCCESS", "INFO - Executing task 'select-candidate'"]
    for line in lines:
        names = {task.name: task.step for task in pipeline.tasks}
        runner._follow(line, steps, pipeline, names, [], lambda step: shown.append((step.name, step.ended is None)))
    assert shown == [("tune", True), ("tune", True), ("tune", True), ("tune", False), ("select", True)]
    assert steps["tune-candidates"].succeeded


@pytest.mark.parametrize("succeeded", [True, False])
def test_the_last_loop_ends_with_the_run_if_kfp_does_not_log_its_end(succeeded):
    steps, shown = {}, []
    pipeline = compiled_pipeline.load("predict_scenes")
    for line in ["INFO - Executing task 'predict-scene'", "INFO - Executing task 'predict-scene'"]:
        runner._follow(line, steps, pipeline, {"predict-scene": "predict_scene"}, [], lambda step: None)
    runner._end_remaining(steps, shown.append, succeeded=succeeded)
    assert [(step.name, step.ended is not None, step.succeeded) for step in shown] == [
        ("predict_scene", True, succeeded)
    ]
