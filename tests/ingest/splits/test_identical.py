"""Copies of a tile stay in one split: by stated checksums, and by the content of local files without one."""

import logging
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.ingest.splits.test_splits import row, rows, split
from tests.support.ingesting import ingest_into
from tilepipe.components.shared.errors import SplitError
from tilepipe.components.shared.tiles import reader
from tilepipe.components.shared.tiles.reader import content


def test_tiles_with_one_checksum_stay_together():
    tiles = [row(f"{n}.tif", f"/t/{n}.tif", "ab"[n % 2], checksum=f"d501{n // 6:02x}") for n in range(240)]
    splits = split(tiles)
    assert all(len(set(splits[start : start + 6])) == 1 for start in range(0, 240, 6))
    assert {name: splits.count(name) for name in ("train", "val", "test")} == {"train": 168, "val": 36, "test": 36}
    apart = split(tiles, options={"allow_duplicates": True})
    assert any(len(set(apart[start : start + 6])) > 1 for start in range(0, 240, 6))


def test_without_copies_the_splits_are_those_of_the_ids():
    plain = rows(Forest=40, River=20)
    with_checksums = [row(one.tile_id, one.uri, one.label, checksum=f"d501{n:02x}") for n, one in enumerate(plain)]
    assert split(with_checksums, seed=3) == split(plain, seed=3)


def test_copies_count_once_where_a_class_is_small():
    tiles = rows(a=9, b=9)
    tiles = [row(one.tile_id, one.uri, one.label, checksum=f"d501{max(n, 7):02x}") for n, one in enumerate(tiles)]
    with pytest.raises(
        SplitError, match=r"Received: a with 2, counting copies and images of one object once\."
    ) as caught:
        split(tiles)
    assert """or drop such classes with data_recode='{"a": ""}'.""" in str(caught.value)


@pytest.fixture
def tiles(tmp_path):
    """60 files of one size, of which every third one is a copy of the one before."""
    folder = tmp_path / "tiles"
    for number in range(60):
        kept = number - (number % 3 == 2)
        pixels = np.random.default_rng(kept).integers(0, 255, (8, 8, 3), "uint8")
        path = folder / ("Crop", "River")[number >= 30] / f"{number:02}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def splits_of(folder, source, **parameters):
    """Ingest, and return the split of each number."""
    ingest_into(folder, source=str(source), **parameters)
    found = pq.read_table(folder / "tiles.parquet", columns=["tile_id", "split"]).to_pylist()
    return {int(row["tile_id"].rpartition("/")[2].removesuffix(".bmp")): row["split"] for row in found}


def check_together(splits):
    assert sorted(splits) == list(range(60))
    assert all(splits[number] == splits[number - 1] for number in range(2, 60, 3))
    assert set(splits.values()) == {"train", "val", "test"}


def test_local_files_without_checksums_are_compared(tmp_path, tiles, caplog):
    caplog.set_level(logging.INFO)
    check_together(splits_of(tmp_path, tiles))
    assert "40 tiles are copies of each other (20 images); copies stay in one split" in caplog.text


def test_only_files_that_may_be_copies_are_read(tmp_path, tiles, monkeypatch):
    read = []
    monkeypatch.setattr(reader, "content", lambda tile: read.append(tile.tile_id) or content(tile))
    for path in tiles.rglob("*.bmp"):
        path.write_bytes(path.read_bytes().ljust(10_000, b"\0"))  # what differs is not in the middle
    check_together(splits_of(tmp_path, tiles))
    assert len(read) == 60
    read.clear()
    for path in tiles.rglob("*.bmp"):
        path.write_bytes(path.read_bytes().rstrip(b"\0"))
    check_together(splits_of(tmp_path, tiles))
    assert len(read) == 40


def test_members_of_a_zip_are_compared(tmp_path, tiles):
    with zipfile.ZipFile(tmp_path / "tiles.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tiles.rglob("*.bmp")):
            archive.write(path, path.relative_to(tiles))
    check_together(splits_of(tmp_path, tmp_path / "tiles.zip"))


def test_copies_tie_the_objects_of_a_table(tmp_path, tiles):
    """Of objects with two images, 0 1 | 2 3 | 4 5 | ..., the first two share a copy: four images are one unit."""
    lines = ["img_file_name\tobject_id\tobject_annotation_category"]
    for number, path in enumerate(sorted(tiles.rglob("*.bmp"))):
        lines.append(f"tiles/{path.parent.name}/{path.name}\to{number // 2}\t{path.parent.name}")
    (tmp_path / "t.tsv").write_text("\n".join(lines))
    splits = splits_of(tmp_path, tmp_path / "t.tsv")
    check_together(splits)
    assert all(len({splits[start + n] for n in range(4)}) == 1 for start in range(0, 60, 6))


def test_val_that_is_taken_from_train_holds_no_copies_of_it(tmp_path, tiles):
    for path in sorted(tiles.rglob("*.bmp")):
        target = tmp_path / "set" / ("train", "test")[int(path.stem) % 30 >= 27] / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    check_together(splits_of(tmp_path, tmp_path / "set"))
