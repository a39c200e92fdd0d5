"""The KFP interface of `gate`."""

import json

import pytest
from kfp import dsl

from tilepipe.components.gate.component import gate_model


def test_the_outputs_hold_the_verdict(version, tmp_path):
    version()
    verdict = dsl.Artifact(uri=str(tmp_path / "verdict"))
    page = dsl.HTML(uri=str(tmp_path / "page"))
    number = gate_model.python_func(name="forests", verdict=verdict, page=page, floors={"accuracy": 0.5})
    assert number == "1"
    assert verdict.metadata["outcome"] == "accepted"
    assert json.loads((tmp_path / "verdict.json").read_text())["version"] == 1
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


def test_a_wrong_floor_ends_with_exit_code_2(version, tmp_path):
    version()
    outputs = {"verdict": dsl.Artifact(uri=str(tmp_path / "verdict")), "page": dsl.HTML(uri=str(tmp_path / "page"))}
    with pytest.raises(SystemExit) as stopped:
        gate_model.python_func(name="forests", **outputs, floors={"recall[Desert]": 0.5})
    assert stopped.value.code == 2
    assert not list(tmp_path.glob("*.html"))
