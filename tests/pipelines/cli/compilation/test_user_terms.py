"""Messages of the steps, as a user of the pipeline reads them."""

import inspect
from pathlib import Path

import pytest

from tilepipe.pipelines.cli.app import app
from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.compilation.user_terms import in_folder, translate
from tilepipe.pipelines.cli.registry import registry_commands
from tilepipe.pipelines.cli.run_folder import DEFAULT_FOLDER

PIPELINE = compiled_pipeline.load("train_classifier")


@pytest.mark.parametrize(
    ("task", "message", "expected"),
    [
        (
            "pack-tiles",
            "At most 0 tiles may be unusable (options.max_quarantine_percent). Received: 3 of 100.",
            """At most 0 tiles may be unusable (pack_options='{"max_quarantine_percent": ...}'). Received: 3 of 100.""",
        ),
        (
            "pack-tiles",
            "`tile_size` must be two numbers. Received: tile_size=[1]. Set allow_duplicates=True.",
            "`pack_options.tile_size` must be two numbers. Received: "
            """pack_options='{"tile_size": [1]}'. Set pack_options='{"allow_duplicates": true}'.""",
        ),
        (
            "ingest-tiles",
            "Say which with options.asset_key. Complete the table, or leave such rows out with `where`.",
            """Say which with data_options='{"asset_key": ...}'. Complete the table, """
            "or leave such rows out with `data_where`.",
        ),
        (
            "ingest-tiles",
            "Received: source='a b', columns={'label': \"it's\"}, options.kind='folder'. Use split_files.",
            "Received: data_source='a b', "
            """data_columns='{"label": "it'"'"'s"}', data_options='{"kind": "folder"}'. Use split_files.""",
        ),
        (
            "train-model",
            "`head_epochs` must be fewer than `epochs`. Received: head_epochs=5 with epochs=3. Use more epochs.",
            "`train_options.head_epochs` must be fewer than `train_epochs`. Received: "
            """train_options='{"head_epochs": 5}' with train_epochs=3. Use more epochs.""",
        ),
        (  # of another step
            "evaluate-model",
            "Train again with a smaller `learning_rate`, or give `ingest` other `split_fractions`.",
            "Train again with a smaller `train_learning_rate`, or give `ingest` other `split_fractions`.",
        ),
        (  # within a condition
            "export-model",
            "Received: a difference of 0.0003. If that is acceptable, give options.max_difference=0.0004.",
            "Received: a difference of 0.0003. If that is acceptable, give "
            """export_options='{"max_difference": 0.0004}'.""",
        ),
        (  # values of the user are not names
            "ingest-tiles",
            "Received: where=\"label='River' AND seed=3\". In /data/source/seed.txt, kind of options.",
            "Received: data_where=\"label='River' AND seed=3\". In /data/source/seed.txt, kind of options.",
        ),
        (
            "pack-tiles",
            "`part` must be smaller than `parts`. Received: part=0, parts=1.",
            "`part` must be smaller than `pack_workers`. Received: part=0, pack_workers=1.",
        ),
        (
            "train-model",
            "`options.zzz` is not a parameter. Received: options.zzz=1. Use one of: head_epochs, schedule.",
            """`train_options.zzz` is not a parameter. Received: train_options='{"zzz": 1}'. """
            "Use one of: head_epochs, schedule.",
        ),
        (  # two options of one parameter make one word
            "train-model",
            "Received: options.step_epochs=[3] with options.schedule='cosine'. Use options.schedule='step'.",
            """Received: train_options='{"step_epochs": [3], "schedule": "cosine"}'. """
            """Use train_options='{"schedule": "step"}'.""",
        ),
        (  # JSON as well as Python
            "pack-tiles",
            'Accept it: options={"allow_duplicates": true}.',
            """Accept it: pack_options='{"allow_duplicates": true}'.""",
        ),
        ("pack-tiles", "Give source_bands=[...].", "Give data_source_bands=NAME,...,NAME."),
        ("no-such-task", "Nothing known. Received: [1, 'a'].", "Nothing known. Received: [1, 'a']."),
        ("train-model", "epochs=[1, <object>] and epochs=", "train_epochs=[1, <object>] and train_epochs="),
    ],
)
def test_names_and_values_are_those_of_the_pipeline(task, message, expected):
    assert translate(PIPELINE, task, message) == expected


def test_names_of_the_pipeline_stay():
    message = "Give data_source_bands=[...], `data_bands`, or train_epochs=3."
    assert translate(PIPELINE, "pack-tiles", message) == message


def test_remarks_for_users_of_the_pipeline_are_left_out():
    message = (
        "Give source_bands=[...] (a pipeline's `data_source_bands`). "
        "Raise max_quarantine_percent in the "
        "options of pack (a pipeline's pack_options) to leave them out."
    )
    assert translate(PIPELINE, "pack-tiles", message) == (
        "Give data_source_bands=NAME,...,NAME. "
        """Raise pack_options='{"max_quarantine_percent": ...}' to leave them out."""
    )
    message = 'Give {"check_band_identity": false} in the options of pack (a pipeline\'s pack_options).'
    assert translate(PIPELINE, "pack-tiles", message) == """Give pack_options='{"check_band_identity": false}'."""
    message = 'Say source_bands=["B04", "B03"] (in a pipeline: as data_source_bands), or allow_duplicates=true.'
    assert translate(PIPELINE, "pack-tiles", message) == (
        """Say data_source_bands='["B04", "B03"]', or pack_options='{"allow_duplicates": true}'."""
    )


def test_options_of_a_sweep_are_those_of_the_pipeline():
    sweep = compiled_pipeline.load("tune_classifier")
    task = next(task.name for task in sweep.tasks if task.step == "propose")
    assert translate(sweep, task, "Received: rungs=[6, 2]. Give for example rungs=[2, 6].") == (
        """Received: tune_options='{"rungs": [6, 2]}'. Give for example tune_options='{"rungs": [2, 6]}'."""
    )


def test_commands_that_use_a_registry_name_another_folder_than_the_default():
    message = (
        "Run the gate: `tilepipe run promote model_name=a`, or `tilepipe push` tiles; `tilepipe models` lists them."
    )
    assert in_folder(message, Path("runs of May")) == (
        "Run the gate: `tilepipe run promote model_name=a --folder 'runs of May'`, or `tilepipe push` tiles; "
        "`tilepipe models --folder 'runs of May'` lists them."
    )
    assert in_folder(message, DEFAULT_FOLDER) == message


def test_all_commands_have_one_default_folder():
    registered = [*app.registered_commands, *registry_commands.models.registered_commands]
    folders = [inspect.signature(command.callback).parameters.get("folder") for command in registered]
    defaults = [folder.default for folder in folders if folder is not None]
    assert [default for default in defaults if default is not inspect.Parameter.empty] == [DEFAULT_FOLDER] * 5
