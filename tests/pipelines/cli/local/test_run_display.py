"""What `tilepipe run` prints."""

import io

import pytest
from rich.console import Console

from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.local.run_display import interrupted


@pytest.mark.parametrize(
    ("pipeline", "end"),
    [
        ("predict_tiles", "reuses finished steps."),
        ("promote", "reuses finished steps."),
        ("train_classifier_small", "last checkpoint (one every 2 minutes)."),
        ("train_classifier", "unless train_options has checkpoint_every_seconds or checkpoint_every_epochs)."),
        ("tune_classifier", "unless train_options has checkpoint_every_seconds or checkpoint_every_epochs)."),
    ],
)
def test_an_interrupted_run_speaks_of_training_only_where_there_is_one(pipeline, end):
    text = io.StringIO()
    interrupted(Console(file=text), compiled_pipeline.load(pipeline))
    assert text.getvalue().rstrip().endswith(end)
