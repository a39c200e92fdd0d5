import uuid
from collections import Counter, defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.detect import detect_kind
from tilepipe.components.ingest.sources.tables import table_folder
from tilepipe.components.shared.errors import SourceError

HEADER = "img_file_name\timg_rank\tobject_id\tobject_annotation_status\tobject_annotation_category\tsample_id"
TYPES = "[t]\t[f]\t[t]\t[t]\t[t]\t[t]"
TAXA = ("Copepoda", "detritus", "other<living")


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def write_export(path, objects, *, images=1, status="validated", folder="", encoding="utf-8", extra=""):
    """A TSV as EcoTaxa writes it; gives the names of the images."""
    names, lines = [], [HEADER + extra, TYPES + "\t[f]" * (extra != "")]
    for number in range(objects):
        for rank in range(images):
            names.append(f"{path.stem}_{number}_{rank}.png")
            cells = (folder + names[-1], rank, f"o{number}", status, TAXA[number % 3], path.parent.name)
            lines.append("\t".join(map(str, cells)) + "\t1" * (extra != ""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    write(path.parent / folder, *names)
    return names


def test_an_unzipped_export_with_a_folder_per_sample(run, tmp_path):
    for sample in ("st1", "st2", "st3"):
        write_export(tmp_path / "export" / sample / f"ecotaxa_{sample}.tsv", 15)
    (tmp_path / "export" / "README.txt").write_text("An export")
    table, info = run(tmp_path / "export")
    assert (info.source_kind, info.name, info.class_names) == ("table", "export", TAXA)
    assert Counter(table["group"].to_pylist()) == {"st1": 15, "st2": 15, "st3": 15}
    rows = table.to_pylist()
    assert rows[0]["tile_id"] == "st1/ecotaxa_st1_0_0.png"
    assert rows[0]["uri"] == str(tmp_path / "export" / rows[0]["tile_id"])


def test_tables_with_different_columns_and_encodings(run, tmp_path, caplog):
    write_export(tmp_path / "e" / "one" / "ecotaxa_1.tsv", 15, extra="\tprocess_size_µm", encoding="latin-1")
    write_export(tmp_path / "e" / "two" / "ecotaxa_2.tsv", 15)
    table, _ = run(tmp_path / "e", where='"process_size_µm" = 1')
    assert set(table["group"].to_pylist()) == {"one"}
    assert caplog.text.count("Windows-1252") == 1


def test_a_folder_of_plates_with_a_file_for_each_channel(run, tmp_path):
    for plate in ("plate1", "plate2"):
        lines = ["compound,w1,w2", *(f"{'ab'[well % 2]},{well}_w1.png,{well}_w2.png" for well in range(20))]
        write(tmp_path / "screen" / plate, "0_w1.png")
        (tmp_path / "screen" / plate / "load_data.csv").write_text("\n".join(lines))
    (tmp_path / "screen" / "plates.csv").write_text("plate,date\nplate1,2026-01-01\n")
    options = {"kind": "table", "band_assets": {"DNA": "w1", "ER": "w2"}}
    table, info = run(tmp_path / "screen", columns={"label": "compound"}, options=options)
    assert (len(table), info.bands) == (40, ("DNA", "ER"))
    row = table.to_pylist()[-1]
    assert row["band_uris"] == [str(tmp_path / "screen" / "plate2" / f"9_{channel}.png") for channel in ("w1", "w2")]


def test_an_export_with_a_folder_of_images(run, tmp_path):
    write_export(tmp_path / "e" / "ecotaxa_1.tsv", 30, folder="images/")
    table, info = run(tmp_path / "e")
    assert (len(table), info.class_names) == (30, TAXA)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_images_of_an_object_stay_in_one_split(run, tmp_path, caplog, seed):
    caplog.set_level("INFO", "tilepipe.ingest")
    write_export(tmp_path / "e" / "ecotaxa_1.tsv", 30, images=3)
    table, _ = run(tmp_path / "e" / "ecotaxa_1.tsv", seed=seed)
    splits = defaultdict(set)
    for row in table.to_pylist():
        splits[row["tile_id"].rsplit("_", 1)[0]].add(row["split"])
    assert len(splits) == 30
    assert all(len(split) == 1 for split in splits.values())
    assert Counter(table["split"].to_pylist()) == {"train": 63, "val": 18, "test": 9}
    assert "30 objects have several images" in caplog.text


def test_labels_that_nobody_has_validated_are_reported(run, tmp_path, caplog):
    for status, number in (("validated", 1), ("predicted", 2), ("dubious", 3)):
        write_export(tmp_path / "e" / f"ecotaxa_{number}.tsv", 12, status=status)
    run(tmp_path / "e")
    assert "labels of 24 tiles are not validated (dubious 12, predicted 12)" in caplog.text
    for report in ("report.html", "summary.md"):
        assert (
            "Nobody has validated the labels of 24 tiles: dubious 12, predicted 12."
            in (tmp_path / "out" / report).read_text()
        )
    caplog.clear()
    table, _ = run(tmp_path / "e", where="object_annotation_status = 'validated'")
    assert (len(table), "not validated" in caplog.text) == (12, False)
    assert "Nobody" not in (tmp_path / "out" / "summary.md").read_text()


def test_tables_beside_their_images_in_split_folders(run, tmp_path):
    for folder, count in (("train", 6), ("valid", 3), ("test", 3)):
        names = [f"{number}.jpg" for number in range(count)]
        write(tmp_path / "t" / folder, *names)
        lines = [f"{name},{'ab'[number % 2]}" for number, name in enumerate(names)]
        (tmp_path / "t" / folder / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    table, info = run(tmp_path / "t")
    assert info.source_kind == "table"
    assert Counter(table["split"].to_pylist()) == {"train": 6, "val": 3, "test": 3}
    assert all(row["split"][:3] == row["tile_id"][:3] for row in table.to_pylist())


@pytest.mark.parametrize("suffix", [".csv", "_labels.csv"])
def test_tables_that_are_named_after_splits(run, tmp_path, suffix):
    for name, numbers in (("train", range(6)), ("val", range(6, 9)), ("test", range(9, 12))):
        names = [f"{number}.jpg" for number in numbers]
        write(tmp_path / "t", *names)
        lines = [f"{file},{'ab'[number % 2]}" for number, file in zip(numbers, names, strict=True)]
        (tmp_path / "t" / f"{name}{suffix}").write_text("\n".join(["file_name,label", *lines]))
    splits = {int(row["tile_id"].removesuffix(".jpg")): row["split"] for row in run(tmp_path / "t")[0].to_pylist()}
    assert [splits[number] for number in range(12)] == ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    (tmp_path / "t" / "more.csv").write_text("file_name,label\n0.jpg,a\n")
    assert table_folder.table_files(str(tmp_path / "t"), IngestConfig(source="t"))[0].split is None


def test_a_folder_of_tables_without_a_usual_column_of_images(run, tmp_path):
    write(tmp_path / "t" / "train", "1.jpg")
    (tmp_path / "t" / "train.csv").write_text("picture,label\n1.jpg,a\n")
    with pytest.raises(SourceError, match=r"one column for the image.*its columns are label, picture"):
        run(tmp_path / "t", options={"kind": "table"})


@pytest.mark.parametrize(
    "content",
    [
        "image,label\na/1.jpg,a\n",  # a list of the tiles in class folders
        "image,label\nelsewhere.jpg,a\n",
        "name,area\na,1\n",
        "",
    ],
)
@pytest.mark.parametrize("name", ["tiles.csv", "a/tiles.csv", "notes.txt"])
def test_other_text_files_do_not_make_a_folder_a_table(tmp_path, name, content):
    write(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / name).write_text(content)
    assert detect_kind(str(tmp_path)) == "folder"


def test_a_parquet_table_in_parts(run, tmp_path):
    (tmp_path / "tiles.parquet").mkdir()
    for part in range(3):
        images = [f"{part}_{number}.png" for number in range(8)]
        content = {"image": images, "label": ["a", "b"] * 4} | ({"cloud": [0.5] * 8} if part == 2 else {})
        pq.write_table(pa.table(content), tmp_path / "tiles.parquet" / f"part-{part}.parquet")
    write(tmp_path / "tiles.parquet", "_SUCCESS", "_metadata.parquet")
    table, info = run(tmp_path / "tiles.parquet")
    assert (len(table), info.source_kind, info.name) == (24, "table", "tiles")
    assert table["uri"][0].as_py() == str(tmp_path / "tiles.parquet" / "0_0.png")
    assert len(run(tmp_path / "tiles.parquet", where="cloud = 0.5")[0]) == 8


def test_geoparquet_in_parts(run, tmp_path):
    (tmp_path / "items").mkdir()
    for part in range(2):
        assets = [{"image": {"href": f"./{n}.tif", "type": "image/tiff", "roles": ["data"]}} for n in range(8)]
        content = {"id": [f"{part}_{n}" for n in range(8)], "label": ["a", "b"] * 4, "assets": assets}
        pq.write_table(pa.table(content), tmp_path / "items" / f"{part}.parquet")
    table, info = run(tmp_path / "items")
    assert (len(table), info.source_kind) == (16, "stac-geoparquet")
    assert table["uri"][0].as_py() == str(tmp_path / "items" / "0.tif")


def test_a_folder_without_a_table(run, class_folders):
    for kind in ("table", "stac-geoparquet"):
        with pytest.raises(SourceError, match="A folder of tables must hold"):
            run(class_folders(), options={"kind": kind})


def test_folders_of_tables_in_a_bucket(minio_server, monkeypatch, tmp_path, run):
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket(f"folder-{uuid.uuid4().hex}")
    for sample in ("st1", "st2"):
        write_export(tmp_path / "export" / sample / f"ecotaxa_{sample}.tsv", 15)
    pq.write_table(pa.table({"image": [f"{n}.png" for n in range(8)], "label": ["a", "b"] * 4}), tmp_path / "0.parquet")
    for path in (tmp_path / "export").rglob("*.*"):
        bucket.upload_file(str(path), str(path.relative_to(tmp_path)))
    for part in range(2):
        bucket.upload_file(str(tmp_path / "0.parquet"), f"parts/{part}.parquet")
    table, info = run(f"s3://{bucket.name}/export")
    assert (len(table), info.source_kind, info.class_names) == (30, "table", TAXA)
    assert table["uri"][0].as_py() == f"s3://{bucket.name}/export/st1/ecotaxa_st1_0_0.png"
    with pytest.raises(SourceError, match=r"unique id.*8 ids.*data_columns='{\"id\": \"id\"}'"):  # both parts are read
        run(f"s3://{bucket.name}/parts")


@pytest.mark.parametrize("folder", ["", "year=2026/"])
def test_parts_in_a_bucket_beyond_the_objects_that_are_looked_at(minio_server, monkeypatch, tmp_path, run, folder):
    minio_server.use(monkeypatch)
    monkeypatch.setattr(table_folder, "_LOOKED_AT", 2)
    bucket = minio_server.make_bucket(f"parts-{uuid.uuid4().hex}")
    for part in range(4):
        rows = {"image": [f"{part}-{n}.png" for n in range(8)], "label": ["a", "b"] * 4}
        pq.write_table(pa.table(rows), tmp_path / "part.parquet")
        bucket.upload_file(str(tmp_path / "part.parquet"), f"parts/{folder}{part}.parquet")
    table, info = run(f"s3://{bucket.name}/parts")
    assert (info.source_kind, len(table)) == ("table", 32)


@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_folders_of_partitions_state_columns(run, tmp_path, place, minio_server, monkeypatch):
    labels = ["Annual Crop", "007"] * 12
    table = {"image": [f"{n:02}.png" for n in range(24)], "label": labels, "year": [2020 + n % 4 for n in range(24)]}
    source = tmp_path / "year=1999" / "tiles"  # a folder above the source is none of its columns
    pq.write_to_dataset(pa.table(table), source, partition_cols=["year", "label"])
    if place == "bucket":
        minio_server.use(monkeypatch)
        bucket = minio_server.make_bucket(f"partitions-{uuid.uuid4().hex}")
        for path in source.rglob("*.parquet"):
            bucket.upload_file(str(path), f"tiles/{path.relative_to(source)}")
        source = f"s3://{bucket.name}/tiles"
    found, info = run(source, where="year > 2020", split_by="class")
    assert info.class_names == ("007", "Annual Crop")
    assert len(found) == 18
    for row in found.to_pylist():
        assert row["label"] == labels[int(row["tile_id"][:2])]


def test_values_of_partitions():
    names = ["a=x%2Fy/b=1/0.parquet", "a=__HIVE_DEFAULT_PARTITION__/b=2/0.parquet"]
    assert table_folder.folder_columns(names) == {"a": ["x/y", None], "b": ["1", "2"]}
    assert table_folder.folder_columns([*names, "c=1/0.parquet"]) == {}
    assert table_folder.folder_columns(["0.parquet", "1.parquet"]) == {}


def test_a_column_of_the_files_is_kept(run, tmp_path):
    rows = {"image": [f"{n}.png" for n in range(8)], "label": ["a", "b"] * 4}
    (tmp_path / "t" / "Label=c").mkdir(parents=True)
    pq.write_table(pa.table(rows), tmp_path / "t" / "Label=c" / "0.parquet")
    assert run(tmp_path / "t")[1].class_names == ("a", "b")
