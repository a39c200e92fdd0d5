"""Tests of the table of all parts: figures, partitions of recurring runs, and what is refused."""

import hashlib
import json

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from tests.predict_tiles.conftest import BRIGHTNESS, CLASSES, rgb_manifest, write_image
from tests.support.bundles import write_model_bundle
from tilepipe.components.plan import plan as planning
from tilepipe.components.predict_tiles import collection
from tilepipe.components.shared.errors import ArtifactError, DriftError, ParameterError
from tilepipe.components.shared.registry.version_tags import BUNDLE_FOLDER, BUNDLE_SHA256, BUNDLE_URI, CHAMPION
from tilepipe.components.shared.tracking import tracking


def ids_in(folder):
    query = f"SELECT tile_id FROM read_parquet('{folder}/*.parquet') ORDER BY tile_id"
    return [tile_id for (tile_id,) in duckdb.sql(query).fetchall()]


@pytest.fixture
def clock(monkeypatch):
    """Plans that are made in different seconds."""
    monkeypatch.setattr(planning, "_FEWEST_TILES", 1)
    seconds = iter(range(10, 60))

    class Clock(planning.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 29, 10, 0, next(seconds), tzinfo=tz)

    monkeypatch.setattr(planning, "datetime", Clock)


def test_a_recurring_run_predicts_only_what_is_new(prediction, clock):
    kept = prediction.folder / "kept"
    first, result, _ = prediction.run(output_uri=str(kept), workers=2)
    assert len(first) == 6
    assert result.partition.startswith(str(kept))
    nothing, result, _ = prediction.run(output_uri=str(kept), workers=2)
    assert (nothing, result.partition) == ({}, "")
    write_image(prediction.source / "new.png", BRIGHTNESS["Forest"])
    second, *_ = prediction.run(output_uri=str(kept), workers=2)
    assert list(second) == ["new.png"]
    assert len(list(kept.iterdir())) == 2
    assert ids_in(kept) == sorted([*first, "new.png"])


def test_a_collection_that_is_started_again_adds_nothing(prediction, clock):
    kept = prediction.folder / "kept"
    _, files, out = prediction.plan(output_uri=str(kept))
    parts = [prediction.predict(files, out, 0)]
    first, _ = prediction.collect(files, out, parts)
    content = next(kept.iterdir()).read_bytes()
    again, _ = prediction.collect(files, out, parts)
    assert again.partition == first.partition
    assert [path.read_bytes() for path in kept.iterdir()] == [content]


def test_two_runs_at_once_add_each_tile_once(prediction, clock):
    kept = prediction.folder / "kept"
    plans = [prediction.plan(output_uri=str(kept)) for _ in range(2)]
    write_image(prediction.source / "new.png", BRIGHTNESS["Forest"])
    plans.append(prediction.plan(output_uri=str(kept)))
    for _, files, out in plans:
        prediction.collect(files, out, [prediction.predict(files, out, 0)])
    assert ids_in(kept) == [*(f"{number}.png" for number in range(6)), "new.png"]
    assert len(list(kept.iterdir())) == 2


def test_runs_of_the_same_second_do_not_replace_each_other(prediction, monkeypatch):
    class Stopped(planning.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 29, tzinfo=tz)

    monkeypatch.setattr(planning, "datetime", Stopped)
    kept = prediction.folder / "kept"
    prediction.run(output_uri=str(kept))
    write_image(prediction.source / "new.png", BRIGHTNESS["Forest"])
    prediction.run(output_uri=str(kept))
    assert len(ids_in(kept)) == 7
    assert len(list(kept.iterdir())) == 2


def test_a_registered_model_is_named_with_its_version_and_compared_with_its_evaluation(
    prediction, mlflow_store, tmp_path
):
    bundle = prediction.folder / "model.tar.gz"
    _, _, files = prediction.run()
    client = tracking.client()
    run = client.create_run(client.create_experiment("tests", artifact_location=(tmp_path / "kept").as_uri()))
    client.log_artifact(run.info.run_id, str(bundle), BUNDLE_FOLDER)
    client.log_artifact(run.info.run_id, str(files.predictions), "evaluation")
    tags = {
        BUNDLE_SHA256: hashlib.sha256(bundle.read_bytes()).hexdigest(),
        BUNDLE_URI: f"runs:/{run.info.run_id}/{BUNDLE_FOLDER}/{bundle.name}",
    }
    client.create_registered_model("forests")
    client.create_model_version("forests", f"runs:/{run.info.run_id}/model", run_id=run.info.run_id, tags=tags)
    client.set_registered_model_alias("forests", CHAMPION, "1")
    rows, result, _ = prediction.run(model="models:/forests@champion")
    assert {(row["model_name"], row["model_version"]) for row in rows.values()} == {("forests", "1")}
    assert result.scalars["drift_confidence"] == 0


def test_other_files_in_the_place_are_refused(prediction):
    kept = prediction.folder / "kept"
    kept.mkdir()
    (kept / "odd.parquet").write_bytes(b"odd")
    with pytest.raises(ArtifactError, match="`output_uri` must hold predictions only"):
        prediction.plan(output_uri=str(kept))


def test_a_model_of_other_classes_needs_another_place(prediction):
    kept = prediction.folder / "kept"
    prediction.run(output_uri=str(kept))
    other = prediction.folder / "other.tar.gz"
    classes = ("Forest", "SeaLake", "Vineyard")
    write_model_bundle(other, rgb_manifest(class_names=classes))
    message = r"Received: a model without Industrial and with Vineyard, unlike .*kept/predictions-.*another output_uri"
    with pytest.raises(ParameterError, match=message):
        prediction.plan(model=str(other), output_uri=str(kept))


def test_labels_give_figures(prediction):
    for path in prediction.source.iterdir():
        path.unlink()
    for name in CLASSES:
        write_image(prediction.source / name / "right.png", BRIGHTNESS[name])
    write_image(prediction.source / "Forest" / "wrong.png", BRIGHTNESS["SeaLake"])
    write_image(prediction.source / "unknown" / "1.png", BRIGHTNESS["SeaLake"])
    rows, result, files = prediction.run()
    assert rows["unknown/1.png"]["label"] == "unknown"
    assert (result.scalars["labelled"], result.scalars["accuracy"]) == (4, 0.75)
    assert json.loads(files.metrics.read_text()) == result.scalars
    shown = (">labelled tiles<", ">4<", ">75.0\u202f%<", ">macro F1<", "prefers-color-scheme:dark")
    assert [text for text in shown if text not in files.page.read_text()] == []


def test_parts_must_be_complete_and_of_one_run(prediction, clock):
    planned, files, out = prediction.plan(workers=2)
    parts = [prediction.predict(files, out, part) for part in range(planned.parts)]
    with pytest.raises(ArtifactError, match=r"Received: parts \[0\]"):
        prediction.collect(files, out, parts[:1])
    with pytest.raises(ArtifactError, match="part 1 twice"):
        prediction.collect(files, out, [*parts, parts[1]])
    rows = pq.read_table(parts[1].predictions)
    metadata = pq.read_metadata(parts[0].predictions).metadata
    pq.write_table(rows.replace_schema_metadata(metadata), parts[0].predictions)
    other = pq.read_table(parts[1].predictions).replace_schema_metadata(pq.read_metadata(parts[1].predictions).metadata)
    pq.write_table(other, parts[1].predictions)
    with pytest.raises(ArtifactError, match="ids that do not increase"):
        prediction.collect(files, out, parts)


def test_drift_beyond_a_limit_fails_after_its_figures_are_kept(prediction, mlflow_store):
    for number in range(30):
        write_image(prediction.source / f"bright-{number}.png", 250)
    kept = prediction.folder / "kept"
    limits = {"max_drift": {"classes": 0.25, "bands": 1}}
    with pytest.raises(DriftError, match=r"Received: classes .* \(limit 0.25\); bands .* predict_options"):
        prediction.run(output_uri=str(kept), options=limits, experiment="new")
    assert not kept.exists()
    client = tracking.client()
    (run,) = client.search_runs([client.get_experiment_by_name("new").experiment_id])
    assert run.data.metrics["drift_classes"] > 0.25
    assert {file.path for file in client.list_artifacts(run.info.run_id, "predictions")} == {
        "predictions/drift.json",
        "predictions/page.html",
    }
    rows, result, _ = prediction.run(output_uri=str(kept), experiment="new")
    assert len(rows) == 36
    assert result.partition
    assert collection.ARTIFACT_FOLDER == "predictions"


def test_a_band_without_pixels_is_named_and_does_not_pass_a_limit(prediction, caplog):
    pixels = np.arange(192, dtype=np.uint8).reshape(3, 8, 8) + 1
    pixels[0] = 0
    prediction.source.rename(prediction.folder / "pictures")
    prediction.source.mkdir()
    profile = {"driver": "GTiff", "dtype": "uint8", "width": 8, "height": 8, "count": 3, "nodata": 0}
    profile |= {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    with rasterio.open(prediction.source / "0.tif", "w", **profile) as file:
        file.write(pixels)
    kept = prediction.folder / "kept"
    with pytest.raises(DriftError, match=r"Received: tiles without any in B04. .* predict_options"):
        prediction.run(output_uri=str(kept), options={"max_drift": {"bands": 9}})
    assert not kept.exists()
    rows, _, _ = prediction.run(output_uri=str(kept))
    assert len(rows) == 1
    assert "no tile has a valid pixel in B04" in caplog.text
