"""Weights & Biases itself, offline, if the package is installed; otherwise the error about its absence."""

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checks import assert_accepted
from tests.support.packed import manifest_for
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.tracking.recorder import open_record
from tilepipe.components.train.tracking.trackers import TrackingOptions
from tilepipe.components.train.tracking.wandb_run import check_wandb

has_wandb = importlib.util.find_spec("wandb") is not None
needs_wandb = pytest.mark.skipif(not has_wandb, reason="the optional package wandb is not installed")
ASKED = TrackingOptions(wandb_project="tilepipe-test", system_metrics_seconds=0)

TRAINING = """
import json, sys
from tests.support.packed import manifest_for
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.tracking.recorder import open_record
from tilepipe.components.train.tracking.trackers import Results, TrackingOptions

options = TrackingOptions(wandb_project="tilepipe-test", system_metrics_seconds=0)
manifest, config = manifest_for(), TrainConfig.parse(epochs=7)
state = json.loads(sys.argv[1])
run_id, record = open_record(config.experiment, manifest, options, state)
with record:
    record.start(config.model_dump(), manifest, {"device": "CPU"})
    for epoch in (3,) if state else (1, 2):
        record.epoch(epoch, {"loss": 1 / epoch, "val_recall/Forest": 0.25 * epoch}, b"arrays")
    record.finish(Results(manifest, None, 2, {"history.json": "{}"}))
    print(json.dumps(record.state()))
"""


def train(folder, state="null"):
    # In a process of its own, since wandb keeps a service running for the process that first uses it.
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(folder), "MLFLOW_TRACKING_URI": ""}
    environment.pop("WANDB_API_KEY", None)
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, state],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=Path(__file__).parents[3],
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def records_of(folder):
    """Read the records that `wandb sync` would send from wandb's file: a LevelDB log after a header of seven bytes.

    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    content, place, data = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # no header fits into the rest of a block
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        data += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last piece
            record = Record()
            record.ParseFromString(data)
            data = b""
            yield record


@needs_wandb
def test_an_offline_run_is_written_to_disk_and_continued_after_a_resume(tmp_path):
    state = train(tmp_path / "first")
    records = list(records_of(tmp_path / "first"))
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["train_loss"] for row in rows] == [1.0, 0.5]
    assert [row["val_recall/Forest"] for row in rows] == [0.25, 0.5]
    config = {
        "/".join(item.nested_key) or item.key: item.value_json for record in records for item in record.config.update
    }
    assert config["epochs"] == "7"
    (files,) = (tmp_path / "first").glob("wandb/offline-run-*/files")
    assert (files / "training/curves/epoch-001.npz").read_bytes() == b"arrays"
    assert (files / "history.json").read_text() == "{}"

    again = train(tmp_path / "second", state)
    assert json.loads(again)["wandb"]["run_id"] == json.loads(state)["wandb"]["run_id"]
    (folder,) = (tmp_path / "second").glob("wandb/offline-run-*")
    assert folder.name.endswith(json.loads(state)["wandb"]["run_id"])


@needs_wandb
def test_without_a_key_nothing_begins(monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ParameterError, match="no WANDB_API_KEY in the environment"):
        check_wandb(ASKED)
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_wandb(ASKED)


@pytest.mark.skipif(has_wandb, reason="the package wandb is installed")
def test_without_the_package_nothing_begins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # never asked
    with pytest.raises(ParameterError, match=r"wandb_project='tilepipe-test', and it is not installed"):
        open_record("tilepipe", manifest_for(), ASKED)


def test_who_does_not_ask_for_it_needs_none():
    assert_accepted(check_wandb, TrackingOptions())
