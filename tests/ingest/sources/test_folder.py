import pytest

from tilepipe.components.ingest.sources.folder import ClassFolders
from tilepipe.components.shared.errors import SourceError


def test_the_folder_right_below_is_the_class(class_folders):
    root = class_folders(count=2)
    deep = root / "Forest" / "north" / "x.TIF"
    deep.parent.mkdir()
    deep.write_bytes(b"12")
    (root / "Forest" / "notes.txt").write_text("not a tile")
    source = ClassFolders(str(root))
    rows = sorted(source.rows(), key=lambda row: row.tile_id)
    assert [row.tile_id for row in rows[:3]] == ["Forest/Forest_0.jpg", "Forest/Forest_1.jpg", "Forest/north/x.TIF"]
    assert {row.label for row in rows} == {"Forest", "River", "SeaLake"}
    assert (rows[2].bytes, rows[2].uri, rows[2].bands) == (2, str(deep), ())
    assert source.name == "tiles"


def test_ignored_folders_and_images_are_reported(class_folders, caplog):
    root = class_folders(count=2)
    (root / "beside.png").write_bytes(b"1")
    (root / "docs").mkdir()
    (root / "docs" / "readme.txt").write_text("x")
    assert len(list(ClassFolders(str(root)).rows())) == 6
    assert "1 folders without images: docs" in caplog.text
    assert "skipped 1 images outside class folders" in caplog.text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), r"with no files\. Check the address\."),
        (("Forest/x.txt", "x.csv"), r"2 files, no images \(.csv 1, .txt 1\)"),
        (("a.jpg", "b.png"), "2 images and no class folder"),
    ],
)
def test_no_tiles(tmp_path, files, message):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=f"one folder per class.*{message}"):
        list(ClassFolders(str(tmp_path)).rows())


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return ClassFolders(str(root))


def split_and_label(source):
    return sorted((row.tile_id, row.split, row.label) for row in source.rows())


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("train", "train"), ("Training", "train"), ("TEST", "test"), ("testing", "test"), ("val", "val")),
        *((name, "val") for name in ("valid", "Validation", "dev", "eval")),
    ],
)
def test_split_folders_above_class_folders(tmp_path, caplog, name, split):
    caplog.set_level("INFO", "tilepipe.ingest")
    other = "val" if split == "train" else "train"
    source = write(
        tmp_path, f"{name}/Crop/a/1.jpg", f"{name}/test/1.jpg", f"{other}/Crop/1.jpg", "list.csv", ".x/y/1.jpg"
    )
    assert split_and_label(source) == sorted(
        [
            (f"{name}/Crop/a/1.jpg", split, "Crop"),
            (f"{name}/test/1.jpg", split, "test"),
            (f"{other}/Crop/1.jpg", other, "Crop"),
        ]
    )
    assert "are splits, and the folders below them are the classes" in caplog.text


def test_images_in_a_split_folder_itself_are_in_no_class(tmp_path, caplog):
    assert len(split_and_label(write(tmp_path, "train/Crop/1.jpg", "val/Crop/1.jpg", "val/2.jpg"))) == 2
    assert "skipped 1 images outside class folders" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ("train/north/1.jpg", "bus/1.jpg"),
        ("val/a/1.jpg", "test/a/1.jpg", "bus/a/1.jpg"),
        ("train_station/a/1.jpg", "test-site/a/1.jpg"),
    ],
)
def test_folders_that_are_not_all_splits_are_classes(tmp_path, names):
    rows = split_and_label(write(tmp_path, *names))
    assert [(split, label) for _, split, label in rows] == sorted((None, name.split("/")[0]) for name in names)


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (("train/1.jpg", "test/1.jpg"), " Sort the images into folders of their classes below, such as test/<class>/."),
        (
            ("train/1.jpg", "test/1.jpg", "sample_submission.csv", "train_labels.csv"),
            " If a table states the classes, give data_source={}/train_labels.csv.",
        ),
        (
            ("train-jpg/1.jpg", "test-jpg/1.jpg", "test.csv", "train.csv"),
            " If a table states the classes, give data_source={0}/train.csv. If tables do, one for each split, give "
            'data_source={0} data_options=\'{{"kind": "table"}}\'.',
        ),
    ],
)
def test_splits_without_class_folders_are_no_classes(tmp_path, names, remedy):
    """As on Kaggle: the classes are in a table."""
    with pytest.raises(SourceError, match=r"other names than splits\. .* images directly in test") as refused:
        split_and_label(write(tmp_path, *names))
    assert str(refused.value).endswith(remedy.format(tmp_path))


def test_words_of_splits_are_classes_without_a_table(tmp_path):
    rows = split_and_label(write(tmp_path, "train_station/1.jpg", "test-site/1.jpg"))
    assert {label for _, _, label in rows} == {"train_station", "test-site"}


def test_a_folder_of_arrays_is_no_folder_of_images(tmp_path):
    with pytest.raises(SourceError, match=r"1 files, no images \(\.h5 1\)\. Write each image of them to a GeoTIFF"):
        split_and_label(write(tmp_path, "x.h5"))


def test_splits_beside_a_split_without_class_folders_and_other_files(tmp_path, caplog):
    """As on Kaggle: the images in test have no labels."""
    names = ("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "test/1.jpg", "notes/x.xml", "README.md")
    rows = split_and_label(write(tmp_path, *names))
    assert [(split, label) for _, split, label in rows] == [("train", "a"), ("train", "b"), ("val", "a")]
    assert "skipped 1 images outside class folders" in caplog.text


def test_splits_beside_another_folder_of_images(tmp_path):
    names = ("train/a/1.jpg", "val/a/1.jpg", "bus/a/1.jpg", "bus/2.jpg")
    with pytest.raises(SourceError, match=r"no other folders of images.*with bus with 2 images\. Move"):
        split_and_label(write(tmp_path, *names))


def test_splits_below_class_folders_are_reported(tmp_path, caplog):
    rows = split_and_label(write(tmp_path, "a/train/1.jpg", "a/val/1.jpg", "b/train/1.jpg"))
    assert {label for _, _, label in rows} == {"a", "b"}
    assert "the folders train, val below the class folders are not used as splits" in caplog.text
    caplog.clear()
    assert len(split_and_label(write(tmp_path / "x", "a/train/1.jpg", "a/val/1.jpg", "b/1.jpg"))) == 3
    assert "are not used as splits" not in caplog.text


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (("data/train/a/1.jpg", "data/val/a/1.jpg"), "data_source={}/data."),
        (
            ("images/1.jpg", "train.csv", "images/x.csv"),
            "If a table states the classes, give data_source={}/train.csv.",
        ),
    ],
)
def test_a_single_folder_of_images_leads_to_the_classes(tmp_path, names, advice):
    with pytest.raises(SourceError, match=r"only the folder (data|images) holds images") as caught:
        split_and_label(write(tmp_path, *names))
    assert advice.format(tmp_path) in str(caught.value)


def test_advice_for_an_address_with_spaces_can_be_pasted(tmp_path):
    with pytest.raises(SourceError) as caught:
        split_and_label(write(tmp_path / "my tiles", "data/train/a/1.jpg", "data/val/a/1.jpg"))
    assert f"give data_source='{tmp_path}/my tiles/data'." in str(caught.value)


def test_two_folders_of_one_split(tmp_path):
    with pytest.raises(SourceError, match=r"one folder.*dev \(val\), train \(train\), val \(val\)"):
        split_and_label(write(tmp_path, "train/a/1.jpg", "val/a/1.jpg", "dev/a/1.jpg"))


def test_other_suffixes_are_read_or_counted(tmp_path, caplog):
    source = write(tmp_path, "a/1.jpg", "a/2.bmp", "b/1.WebP", "b/2.gif", "b/3.GIF", "b/4", "notes.txt")
    assert [row.tile_id for row in sorted(source.rows(), key=lambda row: row.tile_id)] == [
        "a/1.jpg",
        "a/2.bmp",
        "b/1.WebP",
    ]
    assert "skipped 4 files with an unsupported suffix: .gif 2, " in caplog.text
    assert ".txt 1" in caplog.text
    assert "none 1" in caplog.text


def test_suffixes_are_counted_in_bounded_memory(tmp_path, caplog):
    names = ("a/1.jpg", "b/1.jpg", *(f"a/1.{number}" for number in range(150)), "a/1.a-very-long-suffix")
    source = write(tmp_path, *names)
    assert len(list(source.rows())) == 2
    assert "others 5" in caplog.text
