import re
from pathlib import Path

import pytest
from kfp import dsl

from tests.support.packed import manifest_for
from tilepipe.components.prepare.component import prepare_model


@pytest.fixture
def artifacts(tmp_path):
    manifest_for().write(tmp_path / "manifest.json")
    return {
        "manifest": dsl.Artifact(uri=str(tmp_path / "manifest.json")),
        "base_model": dsl.Model(name="base_model", uri=str(tmp_path / "base_model")),
        "summary": dsl.Markdown(name="summary", uri=str(tmp_path / "summary")),
    }


def test_the_artifacts_are_written(artifacts):
    prepare_model.python_func(**artifacts, options={"filters": [4.0], "dense_units": 4.0})
    model = artifacts["base_model"]
    assert model.uri.endswith("/base_model.keras")
    assert Path(model.path).is_file()
    assert model.metadata["architecture"] == "cnn"
    assert Path(artifacts["summary"].path).is_file()


def test_a_wrong_parameter_ends_the_step_with_exit_code_2(artifacts, termination_log):
    with pytest.raises(SystemExit) as error:
        prepare_model.python_func(**artifacts, architecture="resnet")
    assert error.value.code == 2
    assert "`architecture` should be 'cnn', 'compact'" in termination_log.read_text()
    assert not Path(artifacts["base_model"].path).exists()


def test_the_interface_is_the_configuration():
    from tilepipe.components.prepare.config import PrepareConfig

    inputs = prepare_model.component_spec.inputs
    assert list(inputs) == ["manifest", *PrepareConfig.model_fields]
    defaults = PrepareConfig()
    for name in ("architecture", "seed", "weights_uri"):
        assert inputs[name].default == getattr(defaults, name)


def test_every_network_is_documented():
    from typing import get_args

    from tilepipe.components.prepare.networks.networks import Architecture

    text = prepare_model.python_func.__doc__
    assert [name for name in get_args(Architecture) if not re.search(rf"\b{name}\b", text)] == []
