"""MLflow's settings of a pod, which come under names of tilepipe's own."""

import os

import pytest

from tilepipe.components.shared.runtime import tracking

NAMES = [*tracking.TRACKING_ADDRESS, *tracking.TRACKING_CREDENTIALS]


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_applies_unless_kfp_or_the_user_has_set_it(name, monkeypatch):
    monkeypatch.setenv(name, "")  # so that it is restored
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"TILEPIPE_{name}", "of tilepipe")
    tracking.take_settings()
    assert os.environ[name] == "of tilepipe"
    monkeypatch.setenv(name, "of the user")
    tracking.take_settings()
    assert os.environ[name] == "of the user"


def test_messages_name_the_workspace(monkeypatch):
    monkeypatch.setenv("MLFLOW_WORKSPACE", " team-a ")
    assert tracking.in_workspace() == " in the workspace 'team-a'"
    monkeypatch.delenv("MLFLOW_WORKSPACE")
    assert tracking.in_workspace() == ""
