"""The tables of options in the steps' READMEs: complete, true, and written by `make pipelines`."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.pipelines.cli.compilation import option_tables
from tilepipe.pipelines.cli.compilation.compiled_pipeline import step_config


class Shape(BaseModel):
    """How it looks.

    No more of this is shown.
    """

    side: float = Field(default=0.5, gt=0, lt=1, description="Length | width")
    corners: int = Field(default=4, ge=3, le=1000, description="How many")
    kind: Literal["flat", "round"] = Field(default="flat", description="Which")


class Given(BaseModel):
    """What it is given."""

    weights: Literal["none"] | dict[str, float] = Field(default="none", description="How heavy")
    rate: float | None = Field(default=None, ge=0, description="How fast")
    names: tuple[str, ...] = Field(default=(), description="What they are called")
    is_kept: bool = Field(default=True, description="Whether it stays")


class Both(Shape, Given):
    """Not shown: it has no fields of its own."""


def test_a_table_for_each_group_says_what_a_field_takes():
    assert (
        option_tables.tables(Both)
        == """How it looks.

| option | default | values | |
| --- | --- | --- | --- |
| `side` | `0.5` | number above 0 below 1 | Length \\| width |
| `corners` | `4` | whole number from 3 to 1,000 | How many |
| `kind` | `"flat"` | flat, round | Which |

What it is given.

| option | default | values | |
| --- | --- | --- | --- |
| `weights` | `"none"` | none, struct | How heavy |
| `rate` | `null` | number from 0 | How fast |
| `names` | `[]` | list | What they are called |
| `is_kept` | `true` | true, false | Whether it stays |"""
    )


@pytest.mark.parametrize("step", option_tables.steps())
def test_the_committed_tables_are_up_to_date(step):
    written = option_tables.readme(step).read_text(encoding="utf-8")
    assert written == option_tables.with_options(written, step), "run `make pipelines`"


def test_every_option_of_the_training_is_in_its_readme():
    assert "train" in option_tables.steps()
    written = option_tables.readme("train").read_text(encoding="utf-8")
    options = step_config("train").model_fields["options"].annotation.model_fields
    assert [name for name in options if f"| `{name}` |" not in written] == []


def test_what_stands_between_the_marks_is_replaced_and_nothing_else():
    text = f"before\n{option_tables.OPENS}\nOUTDATED\n{option_tables.CLOSES}\nafter\n"
    once = option_tables.with_options(text, "train")
    assert once.startswith(f"before\n{option_tables.OPENS}\n\n")
    assert once.endswith(f"\n\n{option_tables.CLOSES}\nafter\n")
    assert "OUTDATED" not in once
    assert option_tables.with_options(once, "train") == once


def test_a_readme_without_a_mark_is_refused():
    with pytest.raises(ArtifactError, match="must hold"):
        option_tables.with_options(f"{option_tables.OPENS} and no end", "train")
