"""Trainings that are killed and restarted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.waiting import wait_until
from tilepipe.components.shared.contracts.history import read_history
from tilepipe.components.shared.errors import ParameterError

# The work of a pod, without Kubeflow.
TRAIN = """
import json, logging, sys
from pathlib import Path
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.train import Inputs, Outputs, train
logging.basicConfig(level=logging.INFO)
folder, name, parameters = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
inputs = Inputs((folder / "train",), (folder / "val",), folder / "manifest.json", folder / "base.keras")
outputs = Outputs(*(folder / name / file for file in ("model.keras", "h", "c")))
print("run", train(TrainConfig.parse(**parameters), inputs, outputs).mlflow_run_id)
"""
PARAMETERS = {
    "epochs": 4,
    "batch_size": 4,
    "learning_rate": 0.03,
    "optimizer": "adamw",
    "augmentation": ["flip", "shift", "zoom", "mixup"],
}
OPTIONS = {
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "ema_momentum": 0.9,
    "best_metric": "val_balanced_accuracy",
    "class_weights": "balanced",
    "checkpoint_every_seconds": 0.001,
}


def start(place, name, **parameters):
    given = {**PARAMETERS, "options": OPTIONS, **parameters}
    command = [sys.executable, "-c", TRAIN, str(place.folder), name, json.dumps(given)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out, errors


def newest(folder: Path) -> int:
    """Return the number of the newest checkpoint below a folder; 0 if there is none."""
    return max((int(path.name.split("-")[1]) for path in folder.rglob("state-*.safetensors")), default=0)


def kill_after(process, folder: Path, states: int) -> None:
    """Kill a process with SIGKILL after a number of further checkpoints, unless it has ended."""
    goal = newest(folder) + states
    wait_until(lambda: newest(folder) >= goal or process.poll() is not None, 300, pause_seconds=0.005)
    process.kill()
    process.communicate()


def weights(place, name):
    return keras.saving.load_model(place.folder / name / "model.keras").get_weights()


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def timeless(history):
    """Return the figures that do not depend on the clock."""
    clock = {"seconds", "tiles_per_second"}
    return [{name: value for name, value in epoch.items() if name not in clock} for epoch in history.epochs]


def test_killed_at_any_moment_it_ends_with_the_same_weights(workplace, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    place = workplace(tiles=(96, 32, 0))
    undisturbed = start(place, "undisturbed")
    finish(undisturbed)
    saved = tmp_path / "checkpoints"
    kills = 0
    for states in (3, 12):
        process = start(place, "killed", checkpoint_uri=str(saved))
        kill_after(process, saved, states)
        kills += process.returncode == -signal.SIGKILL
    assert kills == 2
    out, errors = finish(start(place, "killed", checkpoint_uri=str(saved)))
    assert "resuming from epoch" in errors
    assert same(weights(place, "undisturbed"), weights(place, "killed"))
    one, other = (read_history(place.folder / name / "h") for name in ("undisturbed", "killed"))
    assert timeless(one) == timeless(other)
    assert one.best_epoch == other.best_epoch
    assert not list(saved.rglob("*.safetensors"))

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    runs = client.search_runs([client.get_experiment_by_name("tilepipe").experiment_id])
    assert len(runs) == 2  # the undisturbed training's, and one for the three processes
    run_id = out.split()[-1]
    losses = client.get_metric_history(run_id, "val_loss")
    assert [metric.step for metric in losses] == [1, 2, 3, 4]
    assert [metric.value for metric in losses] == pytest.approx([epoch["val_loss"] for epoch in other.epochs])


def test_sigterm_saves_where_there_is_time(workplace, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    place = workplace(tiles=(96, 32, 0))
    saved = tmp_path / "checkpoints"
    rarely = {"checkpoint_uri": str(saved), "epochs": 2000, "options": {"checkpoint_every_seconds": 3600}}
    process = start(place, "out", **rarely)
    assert any("epoch 3 of 2000" in line for line in process.stderr)  # reads no further than that
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "the last checkpoint was saved" in errors
    assert newest(saved) == 2
    assert not (place.folder / "out").exists()


def test_other_parameters_start_a_new_training(workplace, tmp_path, caplog):
    caplog.set_level("INFO", "tilepipe.train")
    place = workplace(tiles=(48, 24, 0))
    saved = str(tmp_path / "checkpoints")
    options = {"checkpoint_every_seconds": 0, "checkpoint_every_epochs": 1}
    with pytest.raises(ParameterError, match=r"The loss must stay finite.*The last checkpoint before it is kept"):
        place.train(optimizer="sgd", learning_rate=1e30, checkpoint_uri=saved, options=options)
    assert list(Path(saved).rglob("*.safetensors"))
    place.train(epochs=1, checkpoint_uri=saved, options=options)
    assert "resuming from" not in caplog.text
