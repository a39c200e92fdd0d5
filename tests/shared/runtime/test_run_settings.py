"""Parameters of a whole local run as the steps get them."""

from tilepipe.components.shared.runtime import run_settings


def test_settings_of_other_steps_have_no_credentials(monkeypatch):
    given = {"data_source": "s3://who:hidden@tiles", "pack_options": {"readers": 4}, "train_epochs": 3}
    monkeypatch.setenv(run_settings.VARIABLE, run_settings.encode(given, "/runs/1"))
    assert run_settings.run_settings() == {
        "data_source": "s3://***@tiles",
        "pack_options": '{"readers": 4}',
        "run.folder": "/runs/1",
    }


def test_there_are_none_outside_of_a_local_run(monkeypatch):
    monkeypatch.delenv(run_settings.VARIABLE, raising=False)
    assert run_settings.run_settings() == {}
