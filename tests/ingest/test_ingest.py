import hashlib
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from tests.ingest.conftest import BANDS
from tests.support.ingesting import ingest_into
from tests.support.tile_tables import read_tile_table
from tilepipe.components.shared.errors import BandError, SourceError, SplitError
from tilepipe.components.shared.storage import storage

WEB = "https://raw.githubusercontent.com/ai-extensions/stac-data-loader/0.5.0/data/EuroSAT/"


@pytest.fixture
def run(tmp_path):
    def ingested(source, **parameters):
        returned = ingest_into(tmp_path / "out", source=str(source), **parameters)
        return returned, *read_tile_table(tmp_path / "out" / "tiles.parquet")

    return ingested


def test_a_folder(run, class_folders):
    returned, table, info = run(class_folders(count=10), seed=3)
    assert returned == {
        "name": "tiles",
        "tiles": 30,
        "classes": 3,
        "train_tiles": 21,
        "val_tiles": 6,
        "test_tiles": 3,
    }
    assert table["tile_id"].to_pylist() == sorted(table["tile_id"].to_pylist())
    assert info.class_names == ("Forest", "River", "SeaLake")
    assert (info.source_kind, info.bands, info.bands_stated_by) == ("folder", (), "nobody")
    assert info.query["seed"] == 3
    assert table["bytes"].null_count == 0
    assert table["geometry"].null_count == 30
    assert json.dumps(returned)  # only small scalars, since they are stored in KFP's metadata


def test_a_catalog_with_all_there_is_to_know(run, catalog, tmp_path):
    returned, table, info = run(
        catalog(), split_property="ml-aoi:split", snapshot="2026-01-01T00:00:00Z", options={"name": "my tiles"}
    )
    assert returned["name"] == info.name == "my tiles"
    assert (info.bands, info.bands_stated_by, info.snapshot) == (BANDS, "metadata", "2026-01-01T00:00:00Z")
    assert Counter(table["split"].to_pylist()) == {"train": 12, "val": 3, "test": 3}
    geo = json.loads(pq.read_metadata(tmp_path / "out" / "tiles.parquet").metadata[b"geo"])
    assert geo["columns"]["geometry"]["geometry_types"] == ["Polygon"]
    assert geo["columns"]["geometry"]["bbox"] == pytest.approx([10, 50, 10.06, 50.01])


def test_other_geometries_are_distinguished_from_polygons(run, catalog, tmp_path):
    def change(item):
        if item["id"] == "Forest_0":
            item["geometry"] = {"type": "Point", "coordinates": [10.0, 50.0]}

    run(catalog(change=change))
    geo = json.loads(pq.read_metadata(tmp_path / "out" / "tiles.parquet").metadata[b"geo"])
    assert geo["columns"]["geometry"]["geometry_types"] == ["Point", "Polygon"]


def test_the_users_word_on_bands_counts(run, catalog):
    _, _, info = run(catalog(), source_bands=["B4", "B3", "B2", "B8"])
    assert (info.bands, info.bands_stated_by) == (("B04", "B03", "B02", "B08"), "user")


def test_items_that_disagree_on_bands(run, catalog):
    def change(item):
        if item["id"] == "River_1":
            item["properties"]["eo:bands"] = [{"name": "B8A"}]

    root = catalog(change=change)
    with pytest.raises(BandError, match=r"Forest_0 with B02, B03, B04, B08, but River_1 with B8A"):
        run(root)
    assert run(root, source_bands=list(BANDS))[2].bands == BANDS


def test_the_same_inputs_give_the_same_bytes(run, class_folders, tmp_path, monkeypatch):
    root = class_folders(count=8)
    digests = set()
    listed = storage.list_files
    for order in (lambda files: files, reversed, lambda files: sorted(files, key=lambda file: file.bytes)):
        monkeypatch.setattr(storage, "list_files", lambda uri, order=order: iter(order(list(listed(uri)))))
        run(root)
        digests.add(hashlib.sha256((tmp_path / "out" / "tiles.parquet").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_ids_that_are_there_twice(run, catalog):
    root = catalog(change=lambda item: item)
    first, second = sorted(root.parent.rglob("Forest_*.json"))[:2]
    second.write_bytes(first.read_bytes())
    with pytest.raises(SourceError, match="1 ids that occur more than once, such as Forest_0"):
        run(root)


def test_one_class_is_none(run, class_folders, tmp_path):
    with pytest.raises(SourceError, match=r"at least two classes.*with only Forest\."):
        run(class_folders(classes=("Forest",)))
    assert not (tmp_path / "out").exists()


def test_an_empty_catalog(run, tmp_path):
    (tmp_path / "catalog.json").write_text('{"type": "Catalog", "id": "x", "links": []}')
    with pytest.raises(SourceError, match="at least one tile"):
        run(tmp_path / "catalog.json")


def split_files(tmp_path, **lists):
    for split, names in lists.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    return {split: str(tmp_path / f"{split}.txt") for split in lists}


def test_tiles_that_no_list_names_are_left_out(run, class_folders, tmp_path):
    root = class_folders(classes=("a", "b"), count=3)
    files = split_files(tmp_path, train=["a_0.jpg", "b_0.jpg"], val=["a_1.jpg", "b_1.jpg"])
    returned, table, _ = run(root, split_files=files)
    assert (returned["tiles"], returned["test_tiles"]) == (4, 0)
    assert "a/a_2.jpg" not in table["tile_id"].to_pylist()


@pytest.mark.parametrize(
    ("parameters", "kept", "ignored"),
    [
        ({"where": "tile_id NOT LIKE '%\\_3.jpg' ESCAPE '\\'"}, 6, 2),
        ({"recode": {"c": ""}}, 6, 3),
        ({"max_per_class": 5}, 10, None),
    ],
)
def test_listed_tiles_that_are_not_chosen_are_ignored(run, class_folders, tmp_path, caplog, parameters, kept, ignored):
    caplog.set_level("INFO", "tilepipe.ingest")
    labels = "abc" if "recode" in parameters else "ab"
    root = class_folders(classes=tuple(labels), count=4 if ignored else 12)
    numbers = (
        (range(2), (2,), (3,)) if "where" in parameters else (range(2), (2,)) if ignored else (range(9), (9, 10, 11))
    )
    lists = {
        split: [f"{label}/{label}_{number}" for label in labels for number in part]
        for split, part in zip(("train", "val", "test"), numbers, strict=False)
    }
    returned, _, _ = run(root, split_files=split_files(tmp_path, **lists), **parameters)
    assert returned["tiles"] == kept
    assert f"ignored {ignored or 24 - kept} names in split_files whose tiles were not selected" in caplog.text
    lists["train"].append("a/a_99")
    with pytest.raises(SplitError, match=r"1 of .* match no tile, such as a/a_99"):
        run(root, split_files=split_files(tmp_path, **lists), **parameters)


def test_a_name_whose_tile_was_not_chosen_is_no_other_tile(run, class_folders, tmp_path):
    root = class_folders(classes=("a", "b"), count=4)
    (root / "a" / "a_0.png").write_bytes(b"x")
    files = split_files(tmp_path, train=["a/a_0.png", "a/a_1", "b/b_0"], val=["a/a_2", "b/b_2"])
    _, table, _ = run(root, split_files=files, where="tile_id NOT LIKE '%.png'")
    assert "a/a_0.jpg" not in table["tile_id"].to_pylist()


def test_split_folders_and_classes_below_them(run, tmp_path):
    for split, count in (("train", 20), ("valid", 5), ("Test", 4)):
        for label in ("2", "10", "1"):
            for number in range(count):
                path = tmp_path / "tiles" / split / label / f"{number}.webp"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
    returned, table, info = run(tmp_path / "tiles")
    assert info.class_names == ("1", "2", "10")
    assert [returned[f"{split}_tiles"] for split in ("train", "val", "test")] == [60, 15, 12]
    assert dict(zip(table["tile_id"].to_pylist(), table["split"].to_pylist(), strict=True))["Test/10/0.webp"] == "test"
    assert "from the folders" in (tmp_path / "out" / "report.html").read_text()
    names = split_files(tmp_path, train=["train/1/0", "train/2/0"], val=["valid/1/0", "valid/2/0"])
    assert run(tmp_path / "tiles", split_files=names)[0]["tiles"] == 4


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (
            {"train": ["a_0.jpg", "b_0.jpg"], "val": []},
            r"train and val must both have tiles. Received: none in val.*split_merge_train_val=true\.",
        ),
        ({"train": ["a_0.jpg"], "val": ["b_0.jpg"]}, "must have tiles in train. Received: b with none"),
    ],
)
def test_splits_that_nothing_can_be_learnt_from(run, class_folders, tmp_path, lists, message):
    root = class_folders(classes=("a", "b"), count=3)
    with pytest.raises(SplitError, match=message):
        run(root, split_files=split_files(tmp_path, **lists))


def test_a_class_without_evaluation_tiles_is_reported(run, class_folders, tmp_path, caplog):
    root = class_folders(classes=("a", "b"), count=3)
    run(root, split_files=split_files(tmp_path, train=["a_0.jpg", "b_0.jpg"], val=["a_1.jpg"]))
    assert "val has no tiles of b" in caplog.text


def test_the_real_eurosat100(run, eurosat100):
    root = eurosat100 / "stac" / "subset" / "catalog.json"
    returned, table, info = run(root, href_rewrite={WEB: f"{eurosat100}/"}, split_property="ml-aoi:split")
    assert (returned["tiles"], returned["classes"]) == (100, 10)
    assert Counter(table["split"].to_pylist()) == {"train": 60, "val": 20, "test": 20}
    assert set(Counter(table["label"].to_pylist()).values()) == {10}
    assert info.bands[-5:] == ("B8A", "B09", "B10", "B11", "B12")  # as in its metadata, which the pixels contradict
    assert set(table["bytes"].to_pylist()) == {107244}
    assert all(uri.startswith(f"{eurosat100}/data/subset/") for uri in table["uri"].to_pylist())


def test_the_real_eurosat_rgb_lists(run, real_data, tmp_path):
    lists = {split: real_data(f"eurosat-rgb/splits/eurosat-{split}.txt") for split in ("train", "val")}
    for path in lists.values():
        for name in path.read_text().split():  # the tiles are GeoTIFFs, as in the edition with 13 bands
            tile = tmp_path / "EuroSAT" / name.split("_")[0] / name.replace(".jpg", ".tif")
            tile.parent.mkdir(parents=True, exist_ok=True)
            tile.touch()
    files = {split: str(path) for split, path in lists.items()}
    returned, _, _ = run(tmp_path / "EuroSAT", split_files=files)
    assert (returned["train_tiles"], returned["val_tiles"], returned["test_tiles"]) == (16200, 5400, 0)
