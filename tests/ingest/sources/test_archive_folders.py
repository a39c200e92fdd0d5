import shutil
import zipfile

import pytest

from tilepipe.components.ingest.sources.archive_folders import ArchiveClassFolders
from tilepipe.components.ingest.sources.folder import ClassFolders
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.tiles.reader import Tile, content

FORMATS = ("zip", "tar", "gztar", "bztar", "xztar")


def zipped(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return ArchiveClassFolders(str(path))


def content_of(row):
    return content(Tile(row.tile_id, row.uri, row.label, row.bytes, None, row.member, row.offset))


def facts(rows):
    return sorted((row.tile_id, row.label, row.split, row.bytes) for row in rows)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("around", [False, True], ids=["class folders", "a folder around them"])
def test_an_archive_has_the_rows_of_its_unpacked_folder(class_folders, kind, around):
    root = class_folders(root="eurosat")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.jpg").write_bytes(b"x")
    place = {"root_dir": root.parent, "base_dir": "eurosat"} if around else {"root_dir": root}
    source = ArchiveClassFolders(shutil.make_archive(str(root.parent / "packed"), kind, **place))
    rows = list(source.rows())
    assert facts(rows) == facts(ClassFolders(str(root)).rows())
    assert len(rows) == 18
    assert source.name == "packed"
    for row in rows:
        assert content_of(row) == (root / row.tile_id).read_bytes()


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_in_a_bucket(class_folders, minio_server, monkeypatch, kind):
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket(f"archive-{kind}")
    archive = shutil.make_archive(str(class_folders().parent / "tiles"), kind, class_folders())
    name = archive.rpartition("/")[2]
    bucket.upload_file(archive, f"data/{name}")
    uri = storage.normalize(f"s3://archive-{kind}/data/{name}")
    rows = list(ArchiveClassFolders(uri).rows())
    assert facts(rows) == facts(ArchiveClassFolders(archive).rows())
    assert [content_of(row) for row in rows] == [b"x" * row.bytes for row in rows]


def test_split_folders_in_a_zip(tmp_path):
    source = zipped(tmp_path / "x.zip", "set/train/Forest/a.png", "set/train/Crop/b.png", "set/valid/Forest/c.png")
    assert facts(source.rows()) == [
        ("train/Crop/b.png", "Crop", "train", 1),
        ("train/Forest/a.png", "Forest", "train", 1),
        ("valid/Forest/c.png", "Forest", "val", 1),
    ]


def test_a_single_split_or_class_is_no_folder_around_the_classes(tmp_path):
    rows = zipped(tmp_path / "split.zip", "train/Forest/a.png", "train/Crop/b.png").rows()
    assert {(row.label, row.split) for row in rows} == {("Forest", "train"), ("Crop", "train")}
    rows = zipped(tmp_path / "class.zip", "Forest/a.png", "Forest/north/b.png").rows()
    assert {row.label for row in rows} == {"Forest"}


def test_the_finders_attributes_are_no_tiles(tmp_path):
    source = zipped(tmp_path / "x.zip", "a/Forest/x.png", "a/Crop/y.png", "__MACOSX/a/Forest/._x.png")
    assert {row.label for row in source.rows()} == {"Forest", "Crop"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "b.png"], "2 images and no class folder"),
        (["readme.txt"], "1 files, no images"),
        (["ecotaxa.tsv", "1.jpg"], "tables of images are read only unpacked.*Unpack it"),
        (["images/1.jpg", "images/2.jpg", "labels.csv"], r"with labels\.csv.*Unpack it"),
        (["../x/a.png"], "below the archive's root"),
    ],
)
def test_zips_without_class_folders(tmp_path, names, message):
    source = zipped(tmp_path / "x.zip", *names)
    with pytest.raises(SourceError, match=message):
        list(source.rows())


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archived_export_of_ecotaxa_is_no_folder_of_classes(tmp_path, kind):
    for sample in ("one", "two"):
        (tmp_path / "export" / sample).mkdir(parents=True)
        (tmp_path / "export" / sample / "1.jpg").write_bytes(b"x")
        table = "object_id\timg_file_name\tobject_annotation_category\n1\t1.jpg\tCopepoda\n"
        (tmp_path / "export" / sample / f"ecotaxa_{sample}.tsv").write_text(table)
    source = ArchiveClassFolders(shutil.make_archive(str(tmp_path / "export"), kind, tmp_path / "export"))
    with pytest.raises(SourceError, match=r"with (one/ecotaxa_one|two/ecotaxa_two)\.tsv.*Unpack it"):
        list(source.rows())


def test_a_table_beside_splits_without_class_folders(tmp_path):
    source = zipped(tmp_path / "x.zip", "train.csv", "train/1.png", "test/2.png")
    with pytest.raises(SourceError, match=r"other names than splits.* in test, train\. If a table in it .* unpack it"):
        list(source.rows())


def test_a_table_beside_class_folders(tmp_path):
    rows = zipped(tmp_path / "x.zip", "readme.txt", "labels.csv", "train/Forest/a.png", "train/Crop/b.png").rows()
    assert {(row.label, row.split) for row in rows} == {("Forest", "train"), ("Crop", "train")}


def test_a_damaged_zip(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 and no directory")
    with pytest.raises(SourceError, match=r"x\.zip"):
        list(ArchiveClassFolders(str(tmp_path / "x.zip")).rows())
