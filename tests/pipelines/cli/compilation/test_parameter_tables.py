"""Tests of the parameter tables in the steps' READMEs."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.pipelines.cli.compilation import parameter_tables
from tilepipe.pipelines.cli.compilation.compiled_pipeline import load, step_config


class Shape(BaseModel):
    """Settings of the shape.

    Further lines are not shown.
    """

    side: float = Field(default=0.5, gt=0, lt=1, description="Length | width")
    corners: int = Field(default=4, ge=3, le=1000, description="How many")
    kind: Literal["flat", "round"] = Field(default="flat", description="Which")


class Given(BaseModel):
    """Settings of the weights."""

    weights: Literal["none"] | dict[str, float] = Field(default="none", description="How heavy")
    rate: float | None = Field(default=None, ge=0, description="How fast")
    names: tuple[str, ...] = Field(default=(), description="What they are called")
    is_kept: bool = Field(default=True, description="Whether it stays")


class Both(Shape, Given):
    """Not shown: it has no fields of its own."""


def test_a_table_for_each_group_says_what_a_field_takes():
    assert (
        parameter_tables.option_tables(Both)
        == """Settings of the shape.

| option | default | values | |
| --- | --- | --- | --- |
| `side` | `0.5` | number above 0 below 1 | Length \\| width |
| `corners` | `4` | whole number from 3 to 1,000 | How many |
| `kind` | `"flat"` | flat, round | Which |

Settings of the weights.

| option | default | values | |
| --- | --- | --- | --- |
| `weights` | `"none"` | none, struct | How heavy |
| `rate` | `null` | number from 0 | How fast |
| `names` | `[]` | list | What they are called |
| `is_kept` | `true` | true, false | Whether it stays |"""
    )


@pytest.mark.parametrize("step", parameter_tables.steps())
def test_the_committed_tables_are_up_to_date(step):
    written = parameter_tables.readme(step).read_text(encoding="utf-8")
    assert written == parameter_tables.with_tables(written, step), "run `make pipelines`"


@pytest.mark.parametrize("step", ["ingest", "pack", "prepare", "train"])
def test_every_parameter_and_option_is_in_the_readme(step):
    written = parameter_tables.readme(step).read_text(encoding="utf-8")
    fields = step_config(step).model_fields
    options = fields["options"].annotation.model_fields
    assert [name for name in [*fields, *options] if f"| `{name}` |" not in written] == []


def test_every_step_of_the_pipeline_has_its_table():
    assert {task.step for task in load("train_classifier").tasks} - {"merge"} <= set(parameter_tables.steps())


def test_the_table_of_parameters_gives_their_names_in_the_pipeline():
    table = parameter_tables.parameter_table(step_config("evaluate"), {"batch_size": "evaluate_batch_size"})
    assert (
        "| `batch_size` | `evaluate_batch_size` | `256` | whole number from 1 to 65,536 | "
        "Tiles per batch; affects only speed and memory |"
    ) in table
    assert parameter_tables.pipeline_names("train")["epochs"] == "train_epochs"


def test_only_the_text_between_the_marks_is_replaced():
    text = f"before\n{parameter_tables.OPENS}\nOUTDATED\n{parameter_tables.CLOSES}\nafter\n"
    once = parameter_tables.with_tables(text, "train")
    assert once.startswith(f"before\n{parameter_tables.OPENS}\n\n")
    assert once.endswith(f"\n\n{parameter_tables.CLOSES}\nafter\n")
    assert "OUTDATED" not in once
    assert parameter_tables.with_tables(once, "train") == once


def test_a_readme_without_a_mark_is_refused():
    with pytest.raises(ArtifactError, match="must hold"):
        parameter_tables.with_tables(f"{parameter_tables.OPENS} and no end", "train")
