"""A loop on several devices, in a process of its own: logical devices must be created before TensorFlow starts."""

import json
import subprocess
import sys

import pytest

from tests.support.loops import Ground

SCRIPT = """
import io, json, sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from tests.support.loops import Ground, Look, make_model, same, timeless
from tests.support.tensorflow_shards import open_shards
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.train.loop.devices import mirrored

folder = Path(sys.argv[1])
ground = Ground(folder, read_manifest(folder / "manifest.json"))
parameters = {
    "epochs": 2,
    "augmentation": [],
    "options": {"class_weights": "balanced", "ema_momentum": 0.5, "gradient_clip_norm": 1.0},
}
devices = mirrored(["CPU:0", "CPU:1"], "CPU", ground.config(**parameters))
results = {"name": devices.name, "gpus": devices.gpus}

one, *_ = ground.run(**parameters)
look = Look(((0, 4),))
both, weights, record = ground.run(look, devices=devices, **parameters)
resumed, others, _ = ground.run(start=look.states[0, 4], devices=devices, **parameters)
results["one"], results["both"], results["resumed"] = map(timeless, (one, both, resumed))
with np.load(io.BytesIO(record.curves[0])) as curves:
    results["counted"] = int(curves["confusion"].sum())
results["finite"] = all(np.isfinite(array).all() for array in weights)
results["best"] = both.best
results["same"] = same(weights, others)
model = make_model((4, 4, 2))
for variable, value in zip(model.variables, weights):
    variable.assign(value)
model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
results["evaluated"] = model.evaluate(open_shards(folder, "val", ground.manifest, batch_size=4), verbose=0)
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    Ground.make(folder)
    command = [sys.executable, "-W", "error:::tests", "-c", SCRIPT, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_each_takes_a_part_of_every_batch(results):
    assert (results["name"], results["gpus"]) == ("2 x CPU", 2)
    assert results["finite"]
    assert results["counted"] == 11, "the last batch of the validation is 5 tiles for two devices"


def test_the_losses_are_those_of_one_device(results):
    """Except for the effect of smaller batches on dropout and normalization."""
    for one, both in zip(results["one"], results["both"], strict=True):
        assert both["loss"] == pytest.approx(one["loss"], rel=0.2)
        assert both["val_loss"] == pytest.approx(one["val_loss"], rel=0.2)


def test_the_figures_are_those_of_the_model_that_is_kept(results):
    loss, accuracy = results["evaluated"]
    assert results["best"]["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert results["best"]["val_accuracy"] == pytest.approx(accuracy)


def test_a_resumed_training_ends_with_the_same_weights(results):
    """The figures are the same too; they depend on the running statistics of each device."""
    assert results["same"]
    for resumed, both in zip(results["resumed"], results["both"], strict=True):
        assert resumed == pytest.approx(both, rel=1e-6)  # sums are restored in halves, one per device
