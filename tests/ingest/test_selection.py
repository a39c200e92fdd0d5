import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.ingesting import ingest_into
from tilepipe.components.ingest.selection import columns_of
from tilepipe.components.shared.errors import ParameterError, SourceError


def test_a_condition_on_the_common_columns(run, class_folders):
    table, info = run(class_folders(), where="label <> 'River' AND bytes > 1")
    assert Counter(table["label"].to_pylist()) == {"Forest": 5, "SeaLake": 5}
    assert info.query["where"] == "label <> 'River' AND bytes > 1"


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ('"eo:cloud_cover" < 10', {0, 1, 2, 3}),  # as numbers: as text, 5 is more than 10
        ("mission = 'S2A' -- and nothing else", {0, 2, 4}),
        ("snow IS NULL", {1, 2, 3, 4, 5}),
        ("datetime > '2020-05-03T00:00:00Z' AND bbox.xmin > 10.025", {3, 4, 5}),
        ("cast(orbit AS INTEGER) = 7", {0, 1, 2, 3, 4, 5}),
    ],
)
def test_a_condition_on_the_items_own_properties(run, catalog, condition, numbers):
    def change(item):
        number = int(item["id"].rpartition("_")[2])
        item["properties"] |= {
            "eo:cloud_cover": 2.5 * number + (number == 0),
            "mission": "S2A" if number % 2 == 0 else "S2B",
        }
        item["properties"] |= {"orbit": "7", "snow": True if number == 0 else None}

    table, _ = run(catalog(change=change, count=6), where=condition)
    assert {int(name.rpartition("_")[2]) for name in table["tile_id"].to_pylist()} == numbers


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("label <", "syntax error"),
        ("nothing = 3", r'"nothing" not found.*there are tile_id, uri'),
        ("1=1); DROP TABLE found_rows; SELECT (1", "Only SELECT"),
        ("length((SELECT content FROM read_text('/etc/passwd'))) > 0", "must not contain queries"),
        ("bytes < 'many'", "Could not convert"),
        ("unheard_of(label)", "unheard_of does not exist"),
        ("label = chr(-5)", "'label = chr\\(-5\\)': Invalid UTF8 Codepoint"),
        ("random() < 0.5", "random would select different tiles in each run"),
    ],
)
def test_conditions_that_are_none(run, class_folders, condition, message):
    with pytest.raises(ParameterError, match=rf"`data_where` must be an SQL condition.*{message}"):
        run(class_folders(), where=condition)


def test_a_condition_on_a_tables_own_columns(run, tmp_path):
    lines = (f"{label}_{number}.png,{label},{number}" for label in ("a", "b") for number in range(8))
    (tmp_path / "tiles.csv").write_text("\n".join(("image,label,area", *lines)))
    table, _ = run(tmp_path / "tiles.csv", where="area >= 5")
    assert Counter(table["label"].to_pylist()) == {"a": 3, "b": 3}


def test_a_condition_cannot_read_files(class_folders, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    with pytest.raises(ParameterError, match="must be an SQL condition"):
        ingest_into(
            tmp_path, source=str(class_folders()), where=f"label IN (FROM read_text('{secret}') SELECT content)"
        )


def test_a_condition_that_holds_for_nothing(run, class_folders):
    with pytest.raises(SourceError, match=r"at least one tile.*is true for none of the 18 tiles"):
        run(class_folders(), where="label = 'Desert'")


def test_names_in_a_condition():
    assert columns_of("a > 1 AND lower(\"b c\") = 'd' OR e.f IS NULL") == {"a", "b c", "e"}
    assert columns_of("") == frozenset()


def test_classes_in_an_order_of_ones_own(run, class_folders):
    assert run(class_folders(), classes=["SeaLake", "Forest", "River"])[1].class_names == ("SeaLake", "Forest", "River")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["Forest", "River"], r"must be one of `data_classes`. Received: SeaLake \(6\)"),
        (["Forest", "River", "SeaLake", "Desert"], r"must have tiles. Received: none of Desert"),
    ],
)
def test_classes_that_do_not_fit(run, class_folders, classes, message):
    with pytest.raises(SourceError, match=message):
        run(class_folders(), classes=classes)


def test_recoding_merges_and_drops(run, class_folders):
    root = class_folders(classes=("Forest", "River", "SeaLake", "Unknown"))
    table, info = run(root, recode={"River": "Water", "SeaLake": "Water", "Unknown": ""})
    assert Counter(table["label"].to_pylist()) == {"Forest": 6, "Water": 12}
    assert info.class_names == ("Forest", "Water")


def test_recoding_swaps_without_a_chain(run, class_folders):
    table, _ = run(class_folders(classes=("a", "b"), count=4), recode={"a": "b", "b": "a"})
    assert Counter(zip(table["tile_id"].to_pylist(), table["label"].to_pylist(), strict=True))["a/a_0.jpg", "b"] == 1


def test_recoding_a_label_that_is_not_there(run, class_folders):
    with pytest.raises(ParameterError, match=r"must name labels that the source has. Received: Sea, "):
        run(class_folders(), recode={"Sea": "Water"})


def test_at_most_so_many_a_class_and_a_true_sample(run, class_folders):
    root = class_folders(classes=("a", "b"), count=100)
    table, _ = run(root, max_per_class=20)
    assert Counter(table["label"].to_pylist()) == {"a": 20, "b": 20}
    numbers = [int(name.rpartition("_")[2].removesuffix(".jpg")) for name in table["tile_id"].to_pylist()]
    assert max(numbers) > 80  # not the first ones: neighboring numbers are neighboring places
    again, _ = run(root, max_per_class=20)
    assert again["tile_id"] == table["tile_id"]
    assert run(root, max_per_class=20, seed=1)[0]["tile_id"] != table["tile_id"]


def test_at_most_a_multiple_of_the_mean_class_size(run, class_folders):
    class_folders(classes=("a", "b"), count=10)
    table, _ = run(class_folders(classes=("c",), count=70), options={"max_class_ratio": 1.5})
    assert Counter(table["label"].to_pylist()) == {"a": 10, "b": 10, "c": 45}


def test_items_without_a_group_are_reported(run, catalog):
    root = catalog(change=lambda item: item["properties"].update(scene="s" if "Forest" in item["id"] else None))
    with pytest.raises(Exception, match=r"each tile must have a group. Received: 12 tiles.*such as River_0"):
        run(root, split_by="group", columns={"group": "scene"})


def test_unlabelled_items_can_be_dropped(run, catalog):
    def change(item):
        if item["id"] in {"Forest_0", "River_1"}:
            del item["properties"]["class"]

    root = catalog(change=change)
    with pytest.raises(SourceError, match="must have one label"):
        run(root)
    table, _ = run(root, recode={"": ""})
    assert Counter(table["label"].to_pylist()) == {"Forest": 5, "River": 5, "SeaLake": 6}


@pytest.mark.parametrize("where", ["", "label = 'a'"])
def test_a_parquet_that_is_damaged_within(run, tmp_path, where):
    names = [f"{number}.png" for number in range(20_000)]
    pq.write_table(pa.table({"image": names, "label": ["a", "b"] * 10_000}), tmp_path / "tiles.parquet")
    content = bytearray((tmp_path / "tiles.parquet").read_bytes())
    content[2000 : len(content) // 2] = bytes(len(content) // 2 - 2000)
    (tmp_path / "tiles.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"must be complete. Received: .*/tiles.parquet, which reads as: "):
        run(tmp_path / "tiles.parquet", where=where)


@pytest.mark.parametrize("where", ["", "label = 'a'"])
def test_a_parquet_with_text_that_is_not_utf8(run, tmp_path, where):
    table = pa.table({"image": ["0.png", "1.png"], "label": ["for-t", "lake"]})
    pq.write_table(table, tmp_path / "tiles.parquet", compression="none", use_dictionary=False, write_statistics=False)
    content = (tmp_path / "tiles.parquet").read_bytes()
    (tmp_path / "tiles.parquet").write_bytes(content.replace(b"for-t", b"for\xeat"))
    with pytest.raises(SourceError, match=r'must be UTF-8. Received: .*/tiles.parquet with value "for.xEAt"\. Write'):
        run(tmp_path / "tiles.parquet", where=where)


def test_a_parquet_with_a_column_name_that_is_not_utf8(run, tmp_path):
    table = pa.table({"image": ["0.png"], "label": ["lake"], "for-t": [1]})
    pq.write_table(table, tmp_path / "tiles.parquet", compression="none", store_schema=False)
    content = (tmp_path / "tiles.parquet").read_bytes()
    (tmp_path / "tiles.parquet").write_bytes(content.replace(b"for-t", b"for\xeat"))
    with pytest.raises(SourceError, match=r"must be UTF-8. Received: .*/tiles.parquet with b'for.xeat'\. Write"):
        run(tmp_path / "tiles.parquet")


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("cloud < 50", {0, 1, 2, 3, 4, 5}),
        ("isnan(cloud)", {6, 7, 8, 9, 10, 11}),
        ("cloud >= 50", {6, 7, 8, 9, 10, 11}),  # NaN is the largest number, as in a table of DuckDB
    ],
)
@pytest.mark.parametrize("kind", ["table", "stac-geoparquet"])
def test_nan_in_parquet_is_above_every_number(run, tmp_path, kind, condition, numbers):
    clouds = [float(number) if number < 6 else float("nan") for number in range(12)]
    columns = {"id": [str(number) for number in range(12)], "label": ["a", "b"] * 6, "cloud": clouds}
    if kind == "table":
        columns["image"] = [f"{number}.png" for number in range(12)]
    else:
        asset = {"href": "./x.tif", "type": "image/tiff", "roles": ["data"]}
        columns["assets"] = [{"image": asset | {"href": f"./{number}.tif"}} for number in range(12)]
    pq.write_table(pa.table(columns), tmp_path / "tiles.parquet")
    table, info = run(tmp_path / "tiles.parquet", where=condition, columns={"id": "id"} if kind == "table" else {})
    assert info.source_kind == kind
    assert {int(number) for number in table["tile_id"].to_pylist()} == numbers


def test_a_label_that_is_nan_is_no_label(run, tmp_path):
    columns = {"image": [f"{number}.png" for number in range(9)], "label": [1.0, 2.0] * 4 + [float("nan")]}
    pq.write_table(pa.table(columns), tmp_path / "tiles.parquet")
    table, info = run(tmp_path / "tiles.parquet", recode={"": ""})
    assert (len(table), info.class_names) == (8, ("1", "2"))


@pytest.fixture
def long_tail(class_folders):
    for number in range(13):
        class_folders(classes=(f"taxon{number:02d}",), count=1 + number % 3)
    return class_folders(classes=("a", "b"), count=10)


def test_rare_classes_are_dropped(run, long_tail, tmp_path, caplog):
    caplog.set_level("INFO", "tilepipe.ingest")
    table, info = run(long_tail, options={"min_per_class": 3}, recode={"a": "x", "taxon00": "taxon03"})
    names = ("taxon02", "taxon05", "taxon08", "taxon11")
    assert info.class_names == ("b", *names, "x")
    assert len(table) == 32
    label_map = json.loads((tmp_path / "out" / "label_map.json").read_text())
    assert label_map["recode"]["taxon00"] is label_map["recode"]["taxon03"] is None
    assert (label_map["recode"]["a"], len(label_map["recode"])) == ("x", 10)
    assert label_map["dropped"][0] == {"label": "taxon01", "tiles": 2}
    sentence = "8 classes with fewer than 3 tiles (13 in all) were dropped: taxon01, taxon03, taxon04, taxon06, taxon07"
    reason = "fewer than 3 tiles in the class: taxon01, taxon03"
    assert "32 tiles of 6 classes (13 left out); " in caplog.text
    assert f"dropped 13 tiles: {reason}" in caplog.text
    for report in ("report.html", "summary.md"):
        assert sentence in (tmp_path / "out" / report).read_text().replace("\\", "")
    assert reason in (tmp_path / "out" / "summary.md").read_text().replace("\\", "")


def test_rare_classes_are_merged(run, long_tail, tmp_path):
    table, info = run(long_tail, options={"min_per_class": 4, "rare_class": "other"}, max_per_class=20)
    assert info.class_names == ("a", "b", "other")
    assert Counter(table["label"].to_pylist()) == {"a": 10, "b": 10, "other": 20}
    label_map = json.loads((tmp_path / "out" / "label_map.json").read_text())
    assert label_map["recode"] == {f"taxon{number:02d}": "other" for number in range(13)}
    assert label_map["dropped"] == []
    summary = (tmp_path / "out" / "summary.md").read_text().replace("\\", "")
    assert "13 classes with fewer than 4 tiles (25 in all) were merged into other: taxon00" in summary
    assert "taxon09 and 3 more." in summary


def test_rare_classes_join_an_existing_class(run, long_tail):
    table, _ = run(long_tail, options={"min_per_class": 4, "rare_class": "a"})
    assert Counter(table["label"].to_pylist()) == {"a": 35, "b": 10}


def test_no_class_is_rare(run, class_folders, tmp_path):
    table, info = run(class_folders(), options={"min_per_class": 6, "rare_class": "other"})
    assert (len(table), info.class_names) == (18, ("Forest", "River", "SeaLake"))
    assert "Rare classes" not in (tmp_path / "out" / "summary.md").read_text()
