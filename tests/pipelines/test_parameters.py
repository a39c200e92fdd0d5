"""One default per parameter: signatures of components and pipelines repeat the field of the configuration."""

import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.train_classifier.pipeline import PipelineArguments, train_classifier

STEPS = (
    "snapshot",
    "ingest",
    "pack",
    "prepare",
    "train",
    "propose",
    "tune",
    "select",
    "refit",
    "evaluate",
    "export",
    "register",
    "predict_scenes",
    "finish",
)


def plain(value):
    return json.loads(json.dumps(value, default=lambda model: model.model_dump(exclude_unset=True)))


def components():
    for step in STEPS:
        module = importlib.import_module(f"tilepipe.components.{step}.component")
        for name, component in vars(module).items():
            if hasattr(component, "component_spec"):
                yield pytest.param(step, component.component_spec, id=name)


@pytest.mark.parametrize(("step", "spec"), list(components()))
def test_component_defaults_are_those_of_the_configuration(step, spec):
    fields = compiled_pipeline.step_config(step).model_fields
    compared = 0
    for name, given in (spec.inputs or {}).items():
        if name not in fields or name == "part":  # the items of KFP's loops are text
            continue
        compared += 1
        if fields[name].is_required():
            assert not given.optional, name
        elif given.optional:
            assert plain(given.default) == plain(fields[name].get_default(call_default_factory=True)), name
    assert compared or not set(spec.inputs or {}) & set(fields)


@pytest.mark.parametrize("name", compiled_pipeline.names())
def test_pipeline_defaults_are_those_of_the_configuration(name):
    # Small pipelines state other numbers on purpose; what they leave out comes from the large one.
    stated = {"train_classifier_small": {"train_epochs"}}.get(name, set())
    pipeline = compiled_pipeline.load(name)
    compared = 0
    for task in pipeline.tasks:
        config = compiled_pipeline.step_config(task.step)
        fields = config.model_fields if config else {}
        for field, parameter in task.from_parameters.items():
            if field not in fields or fields[field].is_required() or parameter in stated:
                continue
            default = pipeline.parameters[parameter].default if parameter in pipeline.parameters else None
            if parameter in pipeline.parameters and not pipeline.parameters[parameter].required:
                compared += 1
                expected = plain(fields[field].get_default(call_default_factory=True))
                assert plain(default) == expected, f"{parameter} and {task.step}'s {field}"
    assert compared >= 4


def test_the_wiring_takes_the_parameters_of_the_pipeline_in_their_order():
    parameters = inspect.signature(train_classifier.pipeline_func).parameters
    assert [field.name for field in dataclasses.fields(PipelineArguments)] == list(parameters)


def test_a_misspelt_parameter_fails_in_mypy(tmp_path):
    source = Path(__file__).parents[2] / "pipelines" / "train_classifier" / "pipeline.py"
    text = source.read_text()
    assert "given.train_epochs" in text
    misspelt = tmp_path / "pipeline.py"
    misspelt.write_text(text.replace("given.train_epochs", "given.train_epoch"))
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nignore_missing_imports = true\nfollow_imports = skip\n")
    command = [sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", tmp_path / "cache", misspelt]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert '"PipelineArguments" has no attribute "train_epoch"' in done.stdout
