"""`tilepipe run` as users run it: the compiled YAML, with the sample and with every kind of bad input."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.small_disk import small_disk
from tests.support.waiting import wait_until
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.merge import MergeInputs, merge
from tilepipe.components.pack.pack import PackOutputs, pack
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.registry.registered_version import fetch_bundle, find_version
from tilepipe.components.shared.registry.version_tags import FIGURE_PREFIX, TEST_SHARDS, TRAINING_TILES
from tilepipe.pipelines.cli.sample.sample import write_sample

TINY = ["train_epochs=1", "train_batch_size=16", 'model_options={"filters": [8, 8, 8, 8], "dense_units": 16}']


def tilepipe(*words, cwd, env=None):
    command = [sys.executable, "-W", "ignore", "-m", "tilepipe.pipelines.cli.app", *map(str, words)]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {"COLUMNS": "200"}
    return subprocess.run(
        command, cwd=cwd, env=environment | (env or {}), capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "sample"
    write_sample(folder, tiles_per_class=12)
    return folder


def test_the_main_job(sample, tmp_path, monkeypatch):
    done = tilepipe("run", "train_classifier", f"data_source={sample / 'catalog.json'}", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines() if re.search(r"\bok\b +[\d.]+ s", line)]
    assert " ".join(steps) == "snapshot ingest pack merge prepare train evaluate export register finish"
    assert re.search(r"test_accuracy.*0\.\d+", done.stdout)
    report = Path(re.search(r"^report: (.+)$", done.stdout, re.MULTILINE)[1])
    assert "synthetic" in report.read_text(encoding="utf-8")
    bundle = Path(re.search(r"^bundle: (.+)$", done.stdout, re.MULTILINE)[1])
    command = re.search(r"^MLflow: (\S*mlflow server .*)$", done.stdout, re.MULTILINE)[1]
    assert f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}" in command

    from mlflow import MlflowClient

    mlflow = MlflowClient(tracking_uri=command.split()[-1])
    experiment = mlflow.get_experiment_by_name("tilepipe")
    (run,) = mlflow.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert {"val_accuracy", "val_loss", "test_accuracy", "learning_rate"} <= set(run.data.metrics)
    assert run.data.params["epochs"] == "1"
    assert run.data.tags["kfp.run_id"]
    assert run.data.tags["tilepipe.version"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", command.split()[-1])
    (registered,) = mlflow.search_registered_models()
    version = find_version(mlflow, f"{registered.name}@challenger")
    assert version.run_id == run.info.run_id
    assert {TEST_SHARDS, TRAINING_TILES, f"{FIGURE_PREFIX}test_accuracy"} <= set(version.tags)
    assert fetch_bundle(mlflow, version, tmp_path).read_bytes() == bundle.read_bytes()
    (dataset,) = run.inputs.dataset_inputs
    assert "synthetic" in dataset.dataset.name
    assert dataset.dataset.digest

    page = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?workflowType=machine_learning"
    assert f"then open http://127.0.0.1:5000/{page}" in done.stdout
    assert re.fullmatch(r"test: accuracy 0\.\d{4}, .*; \d+ tiles", done.stdout.splitlines()[-1])
    assert {file.path for file in mlflow.list_artifacts(run.info.run_id, "data")} == {
        "data/ingest-report.html",
        "data/label_map.json",
    }

    words = [f"data_source={sample / 'catalog.json'}", *TINY, "--output", "json"]
    again = tilepipe("run", "train_classifier", *words, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    steps = {step["name"]: step for step in json.loads(again.stdout)["steps"]}
    cached = [name for name, step in steps.items() if step["status"] == "cached"]
    assert " ".join(cached) == "ingest pack merge prepare train evaluate export"
    assert "was registered before as" in steps["register"]["message"]

    words = [f"model_name={registered.name}", 'gate_floors={"accuracy": 0, "recall[*]": 0}']
    done = tilepipe("run", "promote", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"version 1 of {registered.name} is champion: accepted by the gate" in done.stdout
    assert int(mlflow.get_model_version_by_alias(registered.name, "champion").version) == version.version


def test_a_killed_streaming_training_resumes_when_its_run_is_restarted(sample, tmp_path):
    words = [
        "run",
        "train_classifier_streaming",
        f"data_source={sample / 'catalog.json'}",
        *TINY[1:],
        "train_epochs=12",
    ]
    words += ["pack_workers=2", 'pack_options={"shard_mebibytes": 1}']
    words += ['train_options={"placement": "streamed", "window_mebibytes": 1, "checkpoint_every_epochs": 1}']
    checkpoints = tmp_path / "runs" / "checkpoints"
    _kill_when(
        lambda: any(checkpoints.rglob("state-*-*-*.safetensors")), *words, cwd=tmp_path
    )  # with an epoch's weights

    done = tilepipe(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    _, log = sorted(tmp_path.glob("runs/train_classifier_streaming-*/run.log"))
    assert re.search(r"resuming from epoch ([2-9]|1\d)", log.read_text(encoding="utf-8"))
    assert not [path for path in checkpoints.rglob("*") if path.is_file()], "the next training starts over"
    (history,) = tmp_path.glob("runs/*/*/train-model/history.json")
    assert len(json.loads(history.read_text())["epochs"]) == 12

    from mlflow import MlflowClient

    mlflow = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (run,) = mlflow.search_runs([mlflow.get_experiment_by_name("tilepipe").experiment_id])
    assert run.info.status == "FINISHED"
    assert [point.step for point in mlflow.get_metric_history(run.info.run_id, "val_loss")] == list(range(1, 13))


def _kill_when(is_time, *words, cwd):
    """Run the command line, and kill it with all of its processes once a condition holds."""
    command = [sys.executable, "-W", "ignore", "-m", "tilepipe.pipelines.cli.app", *map(str, words)]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    with subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        wait_until(lambda: is_time() or run.poll() is not None, 600, pause_seconds=0.05)
        assert run.poll() is None, f"it ended with {run.returncode} before it could be killed"
        os.killpg(run.pid, signal.SIGKILL)


@pytest.mark.parametrize(("kind", "workers"), [("items.parquet", 1), ("synthetic-tiles", 2)])
def test_the_other_sources_with_one_worker_and_with_two(sample, tmp_path, kind, workers):
    words = [f"data_source={sample / kind}", "data_bands=B04,B03,B02,B08", *TINY]
    words += [f"pack_workers={workers}", 'pack_options={"shard_mebibytes": 1}', "export_enabled=false"]
    done = tilepipe("run", "train_classifier", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.glob("runs/*/*/export-model"))
    (manifest,) = tmp_path.glob("runs/*/*/merge-packed/manifest.json")
    written = json.loads(manifest.read_text())
    assert written["bands"] == ["B04", "B03", "B02", "B08"]
    parts = list(tmp_path.glob("runs/*/*/*/pack-tiles/train_shards"))
    assert len(parts) == workers
    assert all(any(part.iterdir()) for part in parts), "each worker had something to pack"

    (tiles,) = tmp_path.glob("runs/*/*/ingest-tiles/tiles.parquet")
    config = PackConfig.parse(bands=written["bands"], options={"shard_mebibytes": 1})
    single = tmp_path / "single"
    files = [single / name for name in ("part.json", "contents.parquet", "quarantine.parquet")]
    pack(config, tiles, PackOutputs({split: single / split for split in SPLITS}, *files))
    merged = merge(MergeInputs(*([file] for file in files)), single / "manifest.json", single / "q.parquet")
    assert json.loads(merged.model_dump_json()) == written, "as one worker packs it"


def _folder_of(tmp_path, make, classes=("a", "b"), count=8):
    for name in classes:
        for number in range(count):
            path = tmp_path / "tiles" / name / f"{name}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path, number)
    return tmp_path / "tiles"


def _noise(path, number, size=(16, 16)):
    import numpy as np
    from PIL import Image

    seed = sum(path.name.encode()) * 1000 + number
    pixels = np.random.default_rng(seed).integers(1, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _unreadable(path, number):
    path.write_bytes(b"this is no picture") if number == 3 else _noise(path, number)


def _two_shapes(path, number):
    _noise(path, number, (16, 20) if number == 3 else (16, 16))


CASES = {
    "unknown parameter": (lambda p: [f"data_source={p}", "train_epoch=3"], "Did you mean train_epochs?"),
    "wrong type": (lambda p: [f"data_source={p}", "train_epochs=three"], "must be a whole number"),
    "fractions": (
        lambda p: [f"data_source={p}", 'split_fractions={"train": 0.9, "val": 0.2, "test": 0.1}'],
        "split_fractions",
    ),
    "missing folder": (lambda p: [f"data_source={p / 'absent'}"], "absent"),
    "empty source": (lambda p: [f"data_source={(p / 'empty').mkdir() or p / 'empty'}"], "empty"),
    "class too small": (lambda p: [f"data_source={_folder_of(p, _noise, count=2)}"], "`split_fractions`|tiles"),
    "unreadable": (
        lambda p: [f"data_source={_folder_of(p, _unreadable)}"],
        r"""(?s)pack_options='\{"max_quarantine_percent": .*a_3\.png""",
    ),
    "shapes": (lambda p: [f"data_source={_folder_of(p, _two_shapes)}"], r"a_3\.png"),
    "unknown band": (lambda p: [f"data_source={_folder_of(p, _noise)}", "data_bands=red,B99"], "B99"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_error(case, tmp_path):
    words, said = CASES[case]
    done = tilepipe("run", "train_classifier", *words(tmp_path), cwd=tmp_path)
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert re.search(said, output), output
    assert "Traceback" not in output
    assert not list(tmp_path.glob("runs/**/.partial-*"))
    assert not list(tmp_path.glob("runs/**/*.tfrecord"))


def test_a_full_disk_is_one_clear_error(sample, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, 3 * 1024):
        words = ["run", "train_classifier", "--folder", disk / "runs", f"data_source={sample / 'catalog.json'}", *TINY]
        done = tilepipe(*words, cwd=tmp_path, env={"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"})
        output = done.stdout + done.stderr
        assert done.returncode == 2, output
        assert "disk is full" in output
        assert not list(disk.glob("runs/**/*.tfrecord"))
        assert not list(disk.glob("runs/**/.partial-*"))
