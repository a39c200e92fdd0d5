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


def test_what_is_left_out_is_said(class_folders, caplog):
    root = class_folders(count=2)
    (root / "beside.png").write_bytes(b"1")
    (root / "docs").mkdir()
    (root / "docs" / "readme.txt").write_text("x")
    assert len(list(ClassFolders(str(root)).rows())) == 6
    assert "1 folders without images: docs" in caplog.text
    assert "1 images that are in no class folder" in caplog.text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "0 files, none an image"),
        (("Forest/x.txt", "x.csv"), "2 files, none an image"),
        (("a.jpg", "b.png"), "2 images and no class folder"),
    ],
)
def test_no_tiles(tmp_path, files, message):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=f"one folder a class.*{message}"):
        list(ClassFolders(str(tmp_path)).rows())
