"""Tests of the parameters that `make pipelines` writes into components and pipelines."""

import pytest
from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.pipelines.cli.compilation import compiled_pipeline, signatures

PIPELINE = compiled_pipeline.committed("train_classifier").with_name("pipeline.py").read_text(encoding="utf-8")
COMPONENT = '''
def sharpen_tiles(
    tiles: dsl.Input[dsl.Dataset],
    radius: str = "outdated",
    shards: dsl.Input[list[dsl.Dataset]] = None,
) -> list:  # kept
    """Sharpen tiles.

    Args:
        tiles: Tile table.
        radius: Outdated.
        shards: Optional shards, described on more
            than one line.

    Returns:
        Numbers.
    """
    run(SharpenConfig.from_arguments(locals()))
'''


class SharpenConfig(StepConfig):
    name: str = Field(min_length=1, description="Name of the result")
    radius: float = Field(default=2, description="Radius in pixels, for `names`")
    names: tuple[str, ...] = Field(default=("a",), description="Names")
    is_fast: bool = Field(default=True, description="Save time")


def test_the_committed_sources_are_up_to_date():
    outdated = [path.name for path, text in signatures.sources() if path.read_text(encoding="utf-8") != text]
    assert outdated == [], "run `make pipelines`"


def test_the_sources_are_those_of_all_steps_and_of_the_pipelines_with_parameters_of_their_own():
    found = {path.parent.name for path, _ in signatures.sources()}
    assert {"ingest", "pack", "train", "finish", "train_classifier", "train_classifier_small"} <= found


def test_a_component_gets_the_fields_of_its_configuration():
    assert (
        signatures.component_source(COMPONENT, {"SharpenConfig": SharpenConfig})
        == '''
def sharpen_tiles(
    tiles: dsl.Input[dsl.Dataset],
    name: str,
    shards: dsl.Input[list[dsl.Dataset]] = None,
    radius: float = 2.0,
    names: list = ["a"],
    is_fast: bool = True,
) -> list:  # kept
    """Sharpen tiles.

    Args:
        tiles: Tile table.
        name: Name of the result.
        shards: Optional shards, described on more than one line.
        radius: Radius in pixels, for names.
        names: Names.
        is_fast: Save time.

    Returns:
        Numbers.
    """
    run(SharpenConfig.from_arguments(locals()))
'''
    )


def test_a_line_of_wiring_makes_a_parameter_of_the_pipeline():
    wired = PIPELINE.replace(
        "\n        history=trained.outputs",
        "\n        batch_size=given.test_batch_size,\n        history=trained.outputs",
    )
    assert wired != PIPELINE
    written = signatures.pipeline_source(wired)
    assert "    test_batch_size: int\n" in written  # of PipelineArguments
    assert "    test_batch_size: int = 256,\n" in written
    assert "        test_batch_size: Tiles per batch; affects only speed and memory.\n" in written


def test_without_its_line_of_wiring_a_parameter_goes():
    unwired = PIPELINE.replace("            optimizer=given.train_optimizer,\n", "")
    assert unwired != PIPELINE
    assert "train_optimizer" not in signatures.pipeline_source(unwired)


def test_a_description_names_other_parameters_as_the_pipeline_does():
    assert "`columns.group`" in str(compiled_pipeline.step_config("ingest").model_fields["split_by"].description)
    parameters = compiled_pipeline.load("train_classifier").parameters
    assert "data_columns.group" in parameters["split_by"].description


@pytest.mark.parametrize("name", compiled_pipeline.names())
def test_every_parameter_of_a_pipeline_is_described(name):
    described = compiled_pipeline.load(name).parameters
    assert described
    assert [parameter.name for parameter in described.values() if len(parameter.description) < 10] == []
