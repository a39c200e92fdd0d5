"""Reuse of results in local runs: real runs of the data steps, and keys of the cache for everything that may change."""

import json
import os

import numpy as np
import pytest
import tifffile
from kfp import compiler, dsl
from PIL import Image

from tilepipe.components.ingest.component import ingest_tiles
from tilepipe.components.pack.component import merge_packed, pack_tiles
from tilepipe.components.shared.tracking import earlier_runs
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline
from tilepipe.pipelines.cli.local import reuse, runner


@dsl.pipeline(name="data")
def data(source: str, bands: list = []):  # noqa: B006 - KFP's way
    ingest = ingest_tiles(source=source)
    with dsl.ParallelFor(ingest.outputs["Output"], name="pack") as part:
        pack = pack_tiles(tiles=ingest.outputs["tiles"], bands=bands, part=part, options={"max_quarantine_percent": 9})
    merge_packed(
        part_manifests=dsl.Collected(pack.outputs["part_manifest"]),
        contents=dsl.Collected(pack.outputs["contents"]),
        quarantines=dsl.Collected(pack.outputs["quarantine"]),
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "data.yaml"
    compiler.Compiler().compile(data, str(path))
    return CompiledPipeline("data", path)


@pytest.fixture
def tiles(tmp_path):
    for name in ("a", "b"):
        for number in range(12):
            path = tmp_path / "tiles" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(ord(name) * 100 + number).integers(1, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    (tmp_path / "tiles" / "b" / "11.png").write_bytes(b"this is no picture")
    return tmp_path / "tiles"


def test_a_repeated_run_reuses_results_with_their_warnings_until_its_inputs_change(pipeline, tiles, tmp_path):
    def states(**settings):
        reusing = settings.pop("reuse", True)
        run = runner.run_locally(
            pipeline, {"source": str(tiles), **settings}, tmp_path / "runs", lambda step: None, reuse=reusing
        )
        assert not run.failure
        warned = [warning for step in run.steps for warning in step.warnings]
        assert any("LEFT OUT" in warning for warning in warned), "a reused result hides nothing"
        return " ".join(step.name for step in run.steps if step.is_reused), run

    assert states(bands=["red", "green"])[0] == ""
    nothing, first = states(reuse=False)
    some, second = states()
    everything, third = states()
    assert (nothing, some, everything) == ("", "ingest", "ingest pack merge")
    assert first.outputs("merge-packed") != second.outputs("merge-packed") == third.outputs("merge-packed") != []

    path = tiles / "a" / "3.png"
    before = path.stat()
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states()[0] == ""


def test_masks_beside_tiles_that_change_after_a_run_are_packed(pipeline, tmp_path):
    for name in ("a", "b"):
        for number in range(12):
            path = tmp_path / "tiles" / name / f"{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(ord(name) * 100 + number).integers(1, 255, (8, 8, 3), dtype=np.uint8)
            tifffile.imwrite(path, pixels, photometric="rgb")

    def state():
        run = runner.run_locally(pipeline, {"source": str(tmp_path / "tiles")}, tmp_path / "runs", lambda step: None)
        assert not run.failure
        return next(step.is_reused for step in run.steps if step.name == "pack")

    def mask_rows(rows):
        for path in (tmp_path / "tiles").rglob("*.tif"):
            mask = np.repeat(np.uint8([0] * rows + [255] * (8 - rows)), 8).reshape(8, 8)
            tifffile.imwrite(f"{path}.msk", mask, photometric="minisblack")

    assert [state() for _ in range(2)] == [False, True]
    mask_rows(2)
    assert not state()
    mask_rows(4)
    assert not state()
    assert state()


class Step:
    """A step of the pipeline `train_classifier` with given arguments, as `kfp.local` asks the cache for it."""

    def __init__(self, cache, step, **arguments):
        self.cache = cache
        self.command = ["sh", "-c", f'with step("{step}"):']
        self.arguments = arguments
        self.step = step

    def key(self, **changes):
        return self.cache.compute_key(f"comp-{self.step}", "image:1", self.command, {**self.arguments, **changes})


@pytest.fixture
def cache(tmp_path):
    return reuse.ReuseCache(str(tmp_path / "cache"))


def artifact(path, content):
    path.write_text(content, encoding="utf-8")
    return dsl.Model(name="model", uri=str(path), metadata={})


def test_a_result_is_reused_until_its_files_change(cache, tmp_path, capfd):
    key = Step(cache, "prepare", weights_uri="").key()
    assert cache.get(key) is None, "an interrupted step leaves nothing"
    cache.put(key, {"base_model": artifact(tmp_path / "model", "weights")})
    assert cache.get(key)["base_model"].uri == str(tmp_path / "model")
    assert "Task 'prepare' is reused from" in capfd.readouterr().out
    (tmp_path / "model").write_text("broken", encoding="utf-8")
    assert cache.get(key) is None
    (tmp_path / "model").unlink()
    assert cache.get(key) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"outputs": 3}'])
def test_a_damaged_entry_is_ignored(cache, tmp_path, damage):
    key = Step(cache, "prepare").key()
    cache.put(key, {"base_model": artifact(tmp_path / "model", "weights")})
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(damage)
    assert cache.get(key) is None


def test_the_key_has_parameters_inputs_code_and_environment_but_no_checkpoints(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///a.db")
    step = Step(cache, "train", epochs=2, base_model=artifact(tmp_path / "model", "weights"), checkpoint_uri="a")
    key = step.key()
    assert key == step.key(checkpoint_uri="b")
    other = dsl.Model(uri=str(tmp_path / "model"), metadata={"digest": "2"})
    assert len({key, step.key(epochs=3), step.key(base_model=other)}) == 3
    artifact(tmp_path / "model", "others!")
    assert step.key() != key
    artifact(tmp_path / "model", "weights")
    assert step.key() == key
    for name, value in {"MLFLOW_TRACKING_URI": "sqlite:///b.db", "KERAS_BACKEND": "jax"}.items():
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert step.key() != key
    monkeypatch.setattr(reuse, "VERSION", "0.0.0")
    assert Step(reuse.ReuseCache(str(tmp_path / "cache")), "train", **step.arguments).key() != key


@pytest.mark.parametrize("step", ["register", "promote", "finish", "predict_tiles", "plan", "tune", ""])
def test_steps_that_read_or_change_more_than_their_inputs_always_run(cache, step):
    assert Step(cache, step).key() == ""
    cache.put("", {})
    assert cache.get("") is None


def test_a_tile_table_that_is_none_is_left_to_the_step_to_report(cache, tmp_path):
    assert Step(cache, "pack", tiles=artifact(tmp_path / "tiles.parquet", "no table")).key() == ""


def test_an_export_that_adds_a_copy_elsewhere_always_runs(cache):
    assert Step(cache, "export", bundle_uri="").key()
    assert Step(cache, "export", bundle_uri="s3://bucket/models").key() == ""


@pytest.mark.parametrize(
    ("step", "arguments", "fixed"),
    [
        ("ingest", {"source": "s3://bucket/tiles"}, {"snapshot": "2026-01-01T00:00:00Z"}),
        ("ingest", {"source": "https://stac.example.org/v1"}, {"snapshot": "2026-01-01T00:00:00Z"}),
        ("ingest", {"source": ".", "split_files": {"val": "s3://bucket/val.txt"}}, {"snapshot": "2026-01-01"}),
        ("prepare", {"weights_uri": "https://example.org/w.npz"}, {"options": {"weights_sha256": "0" * 64}}),
    ],
)
def test_remote_data_are_read_again_unless_their_content_is_fixed(cache, tmp_path, monkeypatch, step, arguments, fixed):
    monkeypatch.chdir(tmp_path)
    assert Step(cache, step, **arguments).key() == ""
    assert Step(cache, step, **arguments, **fixed).key()


@pytest.mark.parametrize("name", ["source", "split_files"])
def test_each_local_file_that_ingest_reads_is_in_the_key(cache, tmp_path, name):
    (tmp_path / "tiles").mkdir()
    (tmp_path / "tiles" / "catalog.json").write_text("{}", encoding="utf-8")
    (tmp_path / "val.txt").write_text("a", encoding="utf-8")
    arguments = {"source": str(tmp_path / "tiles" / "catalog.json"), "split_files": {"val": str(tmp_path / "val.txt")}}
    step = Step(cache, "ingest", **arguments)
    key = step.key()
    assert step.key() == key
    changed = tmp_path / "tiles" / "items.json" if name == "source" else tmp_path / "val.txt"
    changed.write_text("b", encoding="utf-8")
    assert step.key() != key


@pytest.mark.parametrize(("name", "options"), [("eurosat-train.tfrecord", {}), ("tiles.bin", {"kind": "tfrecord"})])
def test_the_names_of_classes_beside_a_file_of_records_are_in_the_key(cache, tmp_path, name, options):
    (tmp_path / name).write_bytes(b"records")
    step = Step(cache, "ingest", source=str(tmp_path / name), options=options)
    without = step.key()
    (tmp_path / "label.labels.txt").write_text("Forest\nRiver\n", encoding="utf-8")
    named = step.key()
    assert named != without
    (tmp_path / "label.labels.txt").write_text("River\nForest\n", encoding="utf-8")
    assert step.key() not in (named, without)


@pytest.mark.usefixtures("mlflow_store")
def test_a_training_is_not_reused_without_its_mlflow_run_nor_a_failed_evaluation(cache, tmp_path):
    from mlflow import MlflowClient

    mlflow = MlflowClient()
    run_id = mlflow.create_run("0").info.run_id
    trained, evaluated = Step(cache, "train").key(), Step(cache, "evaluate", mlflow_run_id=run_id).key()
    cache.put(trained, {"model": artifact(tmp_path / "model", "weights"), "mlflow_run_id": run_id})
    cache.put(evaluated, {"report": artifact(tmp_path / "report", "figures")})
    mlflow.set_terminated(run_id, "FINISHED")
    assert cache.get(trained)
    assert cache.get(evaluated)
    mlflow.set_terminated(run_id, "FAILED")
    assert cache.get(trained)
    assert cache.get(evaluated) is None, "evaluate closes the run as finished"
    mlflow.delete_run(run_id)
    assert earlier_runs.status_of(run_id) == ""
    assert cache.get(trained) is None


def test_a_catalog_that_leaves_its_folder_is_read_again(tmp_path):
    from tilepipe.pipelines.cli.local.input_state import is_self_contained

    catalog = tmp_path / "catalog" / "catalog.json"
    catalog.parent.mkdir()
    for href, expected in {
        "./items/a.json": True,
        "items/../b.json": True,
        "../other/a.json": False,
        "https://example.org/a.json": False,
        str(tmp_path / "other" / "a.json"): False,
    }.items():
        catalog.write_text(json.dumps({"links": [{"rel": "item", "href": href}]}), encoding="utf-8")
        assert is_self_contained({"source": str(catalog)}) is expected, href
