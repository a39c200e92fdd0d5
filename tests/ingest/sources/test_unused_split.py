import json

import pytest

from tests.ingest.conftest import make_item
from tests.support.ingesting import ingest_into

SAID = "of the source is not used; if it states the splits, set split_property="


@pytest.mark.parametrize("name", ["ml-aoi:split", "subset"])
def test_splits_of_items_that_nobody_asks_for(tmp_path, caplog, name):
    items = [make_item(("Forest", "River")[number % 2], number) for number in range(12)]
    for number, item in enumerate(items):
        del item["properties"]["ml-aoi:split"]
        item["properties"][name] = ("train", "val", "test")[number // 2 % 3]
        item["assets"]["image"]["href"] = f"{number}.tif"
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    ingest_into(tmp_path, source=str(tmp_path / "items.json"))
    assert caplog.text.count(f"{name} {SAID}{name}") == 1
    caplog.clear()
    ingest_into(tmp_path, source=str(tmp_path / "items.json"), split_property=name)
    assert SAID not in caplog.text


def test_a_column_of_splits_that_nobody_asks_for(tmp_path, caplog):
    lines = [f"{n}.tif,{'ab'[n % 2]},{('train', 'val', 'test')[n // 2 % 3]}" for n in range(12)]
    (tmp_path / "t.csv").write_text("file,label,Split\n" + "\n".join(lines))
    ingest_into(tmp_path, source=str(tmp_path / "t.csv"))
    assert f"Split {SAID}Split" in caplog.text
    caplog.clear()
    ingest_into(tmp_path, source=str(tmp_path / "t.csv"), split_property="Split")
    assert SAID not in caplog.text
