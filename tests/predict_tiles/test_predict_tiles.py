"""Tests of the prediction of parts: from images on disk and in S3 to the rows of the table."""

import uuid

import pyarrow.parquet as pq
import pytest

from tests.predict_tiles.conftest import BRIGHTNESS, CLASSES, rgb_manifest, write_image
from tests.support.bundles import write_model_bundle
from tilepipe.components.plan import plan as planning
from tilepipe.components.shared.errors import ArtifactError, BandError, ParameterError, TileError


def test_each_tile_gets_one_row_with_its_class(prediction):
    rows, result, files = prediction.run()
    assert list(rows) == [f"{number}.png" for number in range(6)]
    assert [row["class"] for row in rows.values()] == [*CLASSES, *CLASSES]
    for row in rows.values():
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["confidence"] == pytest.approx(row["probabilities"][row["class"]])
        assert (row["model_name"], row["model_version"], len(row["model_digest"])) == ("bright", "", 64)
        assert (row["label"], row["geometry"], row["datetime"]) == (None, None, None)
    assert pq.read_table(files.quarantine).num_rows == 0
    assert result.scalars["tiles"] == 6


def test_the_rows_are_the_same_for_any_number_of_workers(prediction, monkeypatch):
    one = prediction.run()[0]
    monkeypatch.setattr(planning, "_FEWEST_TILES", 1)
    many = prediction.run(workers=4, options={"batch_tiles": 1})[0]
    assert many == one


def test_a_worker_that_is_started_again_writes_the_same_bytes(prediction):
    _, files, out = prediction.plan()
    first = prediction.predict(files, out, 0).predictions.read_bytes()
    assert prediction.predict(files, out, 0).predictions.read_bytes() == first


def test_tiles_are_read_from_a_bucket(prediction, minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    name = f"new-{uuid.uuid4().hex[:8]}"
    bucket = minio_server.make_bucket(name)
    for path in prediction.source.iterdir():
        bucket.put_object(Key=f"tiles/{path.name}", Body=path.read_bytes())
    local = prediction.run()[0]
    kept = f"s3://{name}/predictions"
    assert prediction.run(source=f"s3://{name}/tiles", output_uri=kept)[0] == local
    again, result, _ = prediction.run(source=f"s3://{name}/tiles", output_uri=kept)
    assert (again, result.scalars["known"]) == ({}, 6)


def test_unusable_tiles_are_listed_and_not_predicted(prediction):
    (prediction.source / "broken.png").write_bytes(b"no image")
    with pytest.raises(TileError, match=r"(?s)At most 0 of 7 tiles .*predict_options=.*max_quarantine_percent"):
        prediction.run(options={"max_quarantine_percent": 1})
    rows, _, files = prediction.run()
    assert "broken.png" not in rows
    assert pq.read_table(files.quarantine)["tile_id"].to_pylist() == ["broken.png"]


def test_unusable_tiles_do_not_stop_a_run_without_new_ones(prediction):
    kept = str(prediction.folder / "kept")
    for number in range(3):
        (prediction.source / f"broken-{number}.png").write_bytes(b"no image")
    assert len(prediction.run(output_uri=kept)[0]) == 6
    again, result, files = prediction.run(output_uri=kept)
    assert (again, result.partition) == ({}, "")
    assert (result.scalars["left_out"], result.scalars["known"]) == (3, 6)
    assert pq.read_table(files.quarantine).num_rows == 3
    write_image(prediction.source / "new.png", 60)
    assert list(prediction.run(output_uri=kept)[0]) == ["new.png"]
    with pytest.raises(TileError, match="none of which can be used"):
        prediction.run(output_uri=kept, options={"max_quarantine_percent": 20})


def test_an_empty_source_gives_an_empty_table(prediction):
    for path in prediction.source.iterdir():
        path.unlink()
    rows, result, files = prediction.run(workers=8)
    assert (rows, result.partition, result.scalars["tiles"]) == ({}, "", 0)
    assert "class" in pq.read_schema(files.predictions).names


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dtype": "uint16"}, ParameterError, r"must have the dtype .* uint16\. Received: uint8 .* another model_uri"),
        (
            {"height": 16, "width": 16},
            ParameterError,
            r"16x16\. Received: 8x8 .* set predict_options='{\"tile_size\": \[16, 16\]}'",
        ),
        (
            {"bands": ("B04", "B03", "B08")},
            BandError,
            r"bands of the model bright: B04, B03, B08\. .* with source_bands",
        ),
    ],
)
def test_tiles_of_another_kind_than_the_models_are_refused(prediction, changes, error, message):
    manifest = rgb_manifest(**changes)
    if "bands" in changes:
        names = zip(manifest.statistics, changes["bands"], strict=True)
        statistics = tuple(one.model_copy(update={"band": band}) for one, band in names)
        manifest = manifest.model_copy(update={"statistics": statistics})
    write_model_bundle(prediction.folder / "other.tar.gz", manifest)
    with pytest.raises(error, match=message):
        prediction.run(model=str(prediction.folder / "other.tar.gz"))


def test_tiles_are_resized_when_asked_for(prediction):
    for path in prediction.source.iterdir():
        path.unlink()
    write_image(prediction.source / "large.png", BRIGHTNESS["SeaLake"], (16, 16))
    rows, *_ = prediction.run(options={"tile_size": [8, 8]})
    assert rows["large.png"]["class"] == "SeaLake"


def test_the_worker_uses_the_model_of_the_plan(prediction):
    _, files, out = prediction.plan()
    write_model_bundle(files.bundle, rgb_manifest(), name="other")
    with pytest.raises(ArtifactError, match="must have the SHA-256"):
        prediction.predict(files, out, 0)
    with pytest.raises(ArtifactError, match="must be one of the plan's 1 parts"):
        prediction.predict(files, out, 1)
