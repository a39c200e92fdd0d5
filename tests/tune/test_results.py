"""Sweeps that continue from stored results: after a kill, and with more candidates."""

import multiprocessing
import signal

import pytest

from tests.support.sweeping import SMALL, packed_shards
from tests.support.waiting import wait_until
from tilepipe.components.propose.config import ProposeConfig
from tilepipe.components.shared.contracts.candidates import MODEL_FILE, Outcome
from tilepipe.components.shared.errors import StorageError
from tilepipe.components.tune.config import TuneConfig
from tilepipe.components.tune.results import FOLDER
from tilepipe.components.tune.tune import tune


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return packed_shards(tmp_path_factory.mktemp("packed"))


@pytest.fixture(autouse=True)
def untracked(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def shares(space, **parameters):
    return ProposeConfig.parse(tune_space=space, **{**SMALL, **parameters}).shares()


def stored(place, pattern):
    return sorted((place / FOLDER).glob(f"*/{pattern}"))


def test_a_killed_worker_continues_at_the_rung_where_it_was(tmp_path, shards):
    (share,) = shares({"train_learning_rate": [1e-9, 0.02, 1e-8]}, tune_options={"rungs": [1]}, tune_metric="val_loss")
    config = TuneConfig(share=share, checkpoint_uri=str(tmp_path / "kept"))
    worker = multiprocessing.get_context("spawn").Process(target=tune, args=(config, shards, tmp_path / "killed"))
    worker.start()
    try:
        wait_until(lambda: stored(tmp_path / "kept", "candidate-000-*.rung-001.json"), 300)
    finally:
        worker.kill()
        worker.join()
    assert worker.exitcode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()  # the outputs are written at the end
    (at_rung,) = stored(tmp_path / "kept", "candidate-000-*.rung-001.json")
    before = Outcome.model_validate_json(at_rung.read_text())

    found = tune(config, shards, tmp_path / "out")
    assert [(one.index, one.status) for one in found] == [(1, "finished"), (2, "stopped"), (0, "stopped")]
    assert next(one for one in found if one.index == 0).history == before.history  # with its seconds: not trained again
    assert (tmp_path / "out" / "candidate-001" / MODEL_FILE).is_file()
    assert not list((tmp_path / "kept").rglob("*.*"))  # what only this run uses


def test_a_study_continues_with_more_candidates(tmp_path, shards, caplog):
    caplog.set_level("INFO", "tilepipe.tune")
    space = {"train_learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "train_batch_size": [8, 1000]}
    study = {
        "tune_search": "tpe",
        "tune_options": {"study_uri": str(tmp_path / "study"), "startup_candidates": 2},
        "train_epochs": 1,
    }
    (share,) = shares(space, tune_candidates=3, **study)
    first = tune(TuneConfig(share=share), shards, tmp_path / "first")
    assert {one.status for one in first} == {"finished", "failed"}
    assert len(stored(tmp_path / "study", "*.keras")) == 1

    # Two workers share the four candidates, of which three have results.
    later = shares(space, tune_candidates=4, tune_workers=2, **study)
    found = [
        outcome
        for worker, share in enumerate(later)
        for outcome in tune(TuneConfig(share=share), shards, tmp_path / f"later-{worker}")
    ]
    assert [one for one in sorted(found, key=lambda one: one.index) if one.index < 3] == sorted(
        first, key=lambda one: one.index
    )
    assert "; 2 had a result of an earlier run" in caplog.text
    assert {one.index for one in found} == {0, 1, 2, 3}
    assert len({one.parameters["train_learning_rate"] for one in found}) == 4
    best = min(found, key=Outcome.rank)
    assert list(tmp_path.glob(f"later-*/{best.name}/{MODEL_FILE}"))


def test_a_study_continues_with_fewer_values(tmp_path, shards):
    """The best of the earlier sweep is not in this one, and the model of the second best was not kept."""
    rates = [1e-9, 0.02, 0.03]
    study = {"tune_options": {"study_uri": str(tmp_path / "study")}, "tune_metric": "val_loss", "train_epochs": 1}
    (share,) = shares({"train_learning_rate": rates}, **study)
    first = tune(TuneConfig(share=share), shards, tmp_path / "first")
    del rates[first[0].index]
    if first[0].index < 2:
        rates.append(1e-8)
    (share,) = shares({"train_learning_rate": rates}, **study)
    found = tune(TuneConfig(share=share), shards, tmp_path / "later")
    assert first[0].parameters not in [one.parameters for one in found]
    assert (tmp_path / "later" / found[0].name / MODEL_FILE).is_file()


def test_a_study_that_continues_in_another_space_chooses_from_that_space(tmp_path, shards):
    study = {
        "tune_search": "tpe",
        "tune_candidates": 1,
        "tune_options": {"study_uri": str(tmp_path / "study"), "startup_candidates": 1},
        "train_epochs": 1,
    }
    found = []
    for low in (0.001, 0.1, 0.001):
        (share,) = shares({"train_learning_rate": {"low": low, "high": 2 * low}}, **study)
        found += tune(TuneConfig(share=share), shards, tmp_path / f"from-{low}")
        assert low <= found[-1].parameters["train_learning_rate"] <= 2 * low
    assert found[2] == found[0]  # not trained again


def test_a_location_that_cannot_be_read_does_not_start_the_sweep_over(tmp_path, shards):
    (tmp_path / "file").write_text("no folder")
    (share,) = shares({"seed": [1]}, tune_options={"study_uri": str(tmp_path / "file")})
    with pytest.raises(StorageError, match=r"`study_uri` must be readable to continue a sweep. Received: study_uri="):
        tune(TuneConfig(share=share), shards, tmp_path / "out")
