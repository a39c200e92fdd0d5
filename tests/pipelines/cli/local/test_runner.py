"""What a run on this machine adds to its arguments; the runs themselves are in `tests/integration/test_run.py`."""

import io
import re
from pathlib import Path

import pytest
from kfp import compiler, dsl
from rich.console import Console

from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.local import run_display, runner


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


class Shown(list):
    """States of the steps, as they are shown."""

    def __call__(self, step):
        self.append((step.name, step.ended is not None, step.succeeded))


@pytest.fixture
def follower(tmp_path):
    def of(name):
        note = tmp_path / "note"
        note.touch()
        shown = Shown()
        return runner.Follower(compiled_pipeline.load(name), note, shown), shown, note

    return of


def test_a_loop_ends_with_the_next_step_if_kfp_logs_the_end_of_its_first_iteration_only(follower):
    reader, shown, _ = follower("tune_classifier")
    for line in ["INFO - Executing task 'tune-candidates'"] * 2 + [
        "Task 'tune-candidates' finished with status SUCCESS",
        "INFO - Executing task 'select-candidate'",
    ]:
        reader.read(line)
    ended = [(name, has_ended) for name, has_ended, _ in shown]
    assert ended == [("tune", False), ("tune", False), ("tune", False), ("tune", True), ("select", False)]
    assert reader.steps["tune-candidates"].succeeded


@pytest.mark.parametrize("succeeded", [True, False])
def test_the_last_loop_ends_with_the_run_if_kfp_does_not_log_its_end(follower, succeeded):
    reader, shown, _ = follower("predict_scenes")
    for line in ["INFO - Executing task 'predict-scene'", "INFO - Executing task 'predict-scene'"]:
        reader.read(line)
    reader.end(succeeded=succeeded)
    assert shown[-1] == ("predict_scenes", True, succeeded)


@pytest.mark.parametrize(
    ("note", "lines", "message"),
    [
        (
            "train: `batch_size` must fit.\nUse batch_size=40.",
            [],
            "`train_batch_size` must fit.\nUse train_batch_size=40.",
        ),
        ("", ["    Traceback (most recent call last):", "    MemoryError: 3 GiB"], "MemoryError: 3 GiB"),
        ("pack: of an earlier step", [], runner._NO_REASON),
        ("", ["    /venv/bin/python3.12: No module named pip"], runner._CANNOT_INSTALL),
    ],
)
def test_the_reason_of_a_failure_is_shown_when_the_step_fails(follower, note, lines, message):
    reader, shown, file = follower("train_classifier")
    reader.read("INFO - Executing task 'train-model'")
    file.write_text(note, encoding="utf-8")
    for line in [*lines, "Task 'train-model' finished with status FAILURE"]:
        reader.read(line)
    assert shown[-1] == ("train", True, False)
    assert reader.steps["train-model"].message == message


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def list_nothing() -> list:
    return []


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def use(value: str) -> str:
    return value


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def count(values: list) -> int:
    return len(values)


@dsl.pipeline(name="empty-loop")
def empty_loop():
    with dsl.ParallelFor(list_nothing().output) as value:
        used = use(value=value)
    count(values=dsl.Collected(used.output))


def test_the_reason_of_a_failure_between_the_steps_is_shown(tmp_path):
    compiler.Compiler().compile(empty_loop, str(tmp_path / "pipeline.yaml"))
    pipeline = compiled_pipeline.CompiledPipeline("empty-loop", tmp_path / "pipeline.yaml")
    run = runner.run_locally(pipeline, {}, tmp_path / "runs", Shown())
    assert [(step.name, step.succeeded) for step in run.steps] == [("list", True)]
    assert "Tried to get output 'pipelinechannel--use-Output'" in run.failure


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def evaluate_guess(accuracy: float, metrics: dsl.Output[dsl.Metrics], report: dsl.Output[dsl.HTML]):
    from pathlib import Path

    from tilepipe.components.shared.runtime.step import step

    with step("evaluate"):
        metrics.log_metric("test_accuracy", accuracy)
        Path(metrics.path).write_text("{}")
        Path(report.path).write_text("<p></p>")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def evaluate_drift(table: dsl.Output[dsl.Dataset]):
    print(table.path)


@dsl.pipeline(name="several")
def several(accuracies: list):
    evaluate_drift()
    evaluate_guess(accuracy=0.25)
    with dsl.ParallelFor(accuracies) as accuracy:
        evaluate_guess(accuracy=accuracy)


def test_a_pipeline_with_several_evaluations_shows_all_of_them_also_reused_ones(tmp_path):
    compiler.Compiler().compile(several, str(tmp_path / "pipeline.yaml"))
    pipeline = compiled_pipeline.CompiledPipeline("several", tmp_path / "pipeline.yaml")
    for state in ("ok", "cached"):
        run = runner.run_locally(pipeline, {"accuracies": [0.5, 0.75]}, tmp_path / "run-iteration-7", Shown())
        document = run_display.as_document("several", run)
        assert {step["status"] for step in document["steps"] if step["task"] != "evaluate-drift"} == {state}
        assert {name: figures["test_accuracy"] for name, figures in document["metrics"].items()} == {
            "evaluate-guess": 0.25,
            "evaluate-guess-2, iteration 0": 0.5,
            "evaluate-guess-2, iteration 1": 0.75,
        }
        assert [result["name"] for result in document["results"]] == ["report"] * 3
        shown = io.StringIO()
        run_display.result(Console(file=shown, width=200), run)
        assert "evaluate-guess-2, iteration 1: test: accuracy 0.7500" in shown.getvalue()


def test_commands_in_the_reason_of_a_failure_use_the_store_of_the_run(tmp_path):
    note = tmp_path / "note"
    note.write_text("promote: Received: version 1, refused. `tilepipe promote a --version 1 --yes --reason ...`.")
    reader = runner.Follower(compiled_pipeline.load("promote"), note, Shown(), Path("spring"))
    for line in ["INFO - Executing task 'promote-model'", "Task 'promote-model' finished with status FAILURE"]:
        reader.read(line)
    assert reader.steps["promote-model"].message.endswith("--reason ... --folder spring`.")


def test_the_figures_of_each_epoch_stay_on_the_screen(follower):
    console = Console(file=io.StringIO(), width=200)
    display = run_display.Steps(console)
    reader, _, _ = follower("train_classifier")
    reader._on_change = display.show
    reader.read("INFO - Executing task 'train-model'")
    for line in (
        "epoch 1 of 2: trained on 16 of 32 tiles",
        "epoch 1 of 2: loss 2.0, 9 s left",
        "epoch 2 of 2: loss 1.0",
    ):
        reader.read(f"    2026-11-29 14:28:54,879 INFO tilepipe.train: {line}")
    reader.read("    2026-11-29 14:28:54,879 WARNING tilepipe.train: a warning")
    reader.read("Task 'train-model' finished with status SUCCESS")
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert lines[:2] == ["epoch 1 of 2: loss 2.0, 9 s left", "epoch 2 of 2: loss 1.0"]
    assert lines[2] == "train     warning: a warning", "as soon as it is logged"
    assert re.match(r"train +ok", lines[3])
    assert len(lines) == 4


def test_the_page_of_the_mlflow_run_is_read_from_the_log(follower):
    reader, _, _ = follower("train_classifier")
    reader.read("INFO - Executing task 'finish-run'")
    reader.read(
        "INFO tilepipe.finish: MLflow run 0a is FINISHED: #/experiments/1/runs/0a?workflowType=machine_learning"
    )
    assert reader.mlflow_page == "#/experiments/1/runs/0a?workflowType=machine_learning"
    assert reader.steps["finish-run"].message == "MLflow run 0a is FINISHED"


def test_a_run_without_steps_says_so(tmp_path):
    shown = io.StringIO()
    empty = runner.LocalRun(tmp_path, tmp_path / "run.log", "sqlite:///mlflow.db", (), "", is_user_error=False)
    run_display.result(Console(file=shown, width=200), empty)
    assert "No step ran: the list that the pipeline loops over is empty." in shown.getvalue()


@pytest.mark.parametrize("name", ["", "candidate-001: "])
def test_the_figures_of_each_candidate_stay_on_the_screen(follower, name):
    reader, _, _ = follower("tune_classifier")
    reader.read("INFO - Executing task 'tune-candidates'")
    reader.read(f"INFO tilepipe.train: {name}epoch 2 of 3: loss 1.203, val_accuracy 0.547")
    (step,) = [one for one in reader.steps.values() if one.name == "tune"]
    assert step.results == [f"{name}epoch 2 of 3: loss 1.203, val_accuracy 0.547"]
