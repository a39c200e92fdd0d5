"""Help of `tilepipe run`: all parameters and options, in 80 columns."""

import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainOptions
from tilepipe.pipelines.cli import run_help
from tilepipe.pipelines.cli.compilation import compiled_pipeline


@pytest.mark.parametrize("name", compiled_pipeline.names())
def test_every_parameter_is_in_a_group_and_fits_into_80_columns(name):
    text = run_help.overview(name)
    assert max(map(len, text.splitlines())) <= run_help.WIDTH
    listed = [line.partition("=")[0].strip() for line in text.splitlines() if "=" in line and line.startswith("  ")]
    assert set(compiled_pipeline.load(name).parameters) <= set(listed)
    assert "\nOther:" not in text, "give the parameter a group"
    assert f"tilepipe run {name} " in text, "give the pipeline an example"


def test_a_parameter_is_described_with_its_options():
    text = run_help.details("train_classifier", ["train_options", "seed=3"])
    assert max(map(len, text.splitlines())) <= run_help.WIDTH
    assert all(f"    {name}  [default: " in text for name in TrainOptions.model_fields)
    assert "  seed=INTEGER  [default: 0]" in text
    flat = " ".join(text.split())
    assert "Learning-rate schedule: constant, exponential, inverse_time, step, cosine, reduce_on_plateau" in flat
    assert flat.count("categorical_crossentropy") == 2, "the default and the choices"
    with pytest.raises(ParameterError, match="Did you mean train_options"):
        run_help.details("train_classifier", ["train_option"])
