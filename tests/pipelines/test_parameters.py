"""One default per parameter: a component's and a pipeline's signature repeat the field of the configuration."""

import importlib
import json

import pytest

from tilepipe.pipelines.cli.compilation import compiled_pipeline

STEPS = ("snapshot", "ingest", "pack", "prepare", "train", "evaluate", "finish")


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
