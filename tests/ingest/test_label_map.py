import json

from tests.support.ingested import SELECTION, info_for, scattered, table_of
from tilepipe.components.ingest.label_map import sorted_labels, write_label_map
from tilepipe.components.ingest.report.facts import SelectionFacts, make_report


def test_it_holds_the_classes_in_order_and_what_became_of_labels(tmp_path):
    rows = scattered(200)
    order = ("SeaLake", "Forest", "River")
    path = tmp_path / "label_map.json"
    write_label_map(make_report(table_of(rows), info_for(order), SELECTION), path)
    found = json.loads(path.read_text())
    assert found["version"] == 1
    assert [(one["index"], one["name"]) for one in found["classes"]] == [(0, "SeaLake"), (1, "Forest"), (2, "River")]
    for one in found["classes"]:
        for split, count in one["tiles"].items():
            assert count == sum(row["split"] == split and row["label"] == one["name"] for row in rows)
    assert found["recode"] == {"Cloud": None, "Lake": "SeaLake", "Sea": "SeaLake"}
    assert found["dropped"] == [{"label": "Cloud", "tiles": 12}]


def test_an_empty_class_is_no_class_and_names_stay_as_they_are(tmp_path):
    selection = SelectionFacts(found=1, recode={"Algue brûlée": ""})
    path = tmp_path / "label_map.json"
    write_label_map(make_report(table_of([{"split": "train", "label": "é"}]), info_for(("é",)), selection), path)
    text = path.read_text(encoding="utf-8")
    assert '"Algue brûlée": null' in text
    assert '"name": "é"' in text


def test_integers_sort_as_numbers_and_text_as_text():
    assert sorted_labels(["10", "2", "-1", "1"]) == ["-1", "1", "2", "10"]
    assert sorted_labels(["1", "01", "", "10", "2"]) == ["", "01", "1", "2", "10"]
    assert sorted_labels(["10", "2", "x"]) == ["10", "2", "x"]
    assert sorted_labels(["1.5", "10", "2"]) == ["1.5", "10", "2"]
