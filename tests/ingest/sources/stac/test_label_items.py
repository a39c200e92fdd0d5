"""Label items, whose pixels are in the item that they link to."""

import json

import pytest

from tests.ingest.conftest import edit_json, make_item
from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.stac.catalog import StacCatalog
from tilepipe.components.shared.errors import SourceError


def write(folder, *, linked=("source", "labels"), change=None):
    """A catalog of imagery without labels and of label items, one for each, in folders of their own."""
    for name in ("source", "labels"):
        (folder / name).mkdir()
    names = {"source": [], "labels": []}
    for number in range(4):
        image = make_item("Tile", number)
        del image["properties"]["class"], image["properties"]["ml-aoi:split"]
        overview = {"property_key": "label", "counts": [{"name": "ab"[number % 2], "count": 1}]}
        label = {
            **image,
            "id": f"label_{number}",
            "properties": {"datetime": "2024-01-01T00:00:00Z", "label:overviews": [overview], "ml-aoi:split": "test"},
            "assets": {"labels": {"href": "./x.tif", "type": "image/tiff", "roles": ["labels", "labels-raster"]}},
            "links": [{"rel": "source", "href": f"../source/{image['id']}.json"}],
        }
        if change:
            change(label, number)
        for where, item in (("source", image), ("labels", label)):
            (folder / where / f"{item['id']}.json").write_text(json.dumps(item))
            names[where].append(item["id"])
    links = [{"rel": "item", "href": f"./{where}/{name}.json"} for where in linked for name in names[where]]
    root = {"type": "Catalog", "stac_version": "1.0.0", "id": "x", "description": "x", "links": links}
    (folder / "catalog.json").write_text(json.dumps(root))
    return folder / "catalog.json"


def read(root, **parameters):
    source = StacCatalog(str(root), IngestConfig.parse(source=str(root), **parameters))
    return sorted(source.rows(), key=lambda row: row.tile_id)


@pytest.mark.parametrize("linked", [("source", "labels"), ("labels", "source"), ("labels",)])
def test_the_label_is_of_the_label_item_and_the_pixels_of_its_source(tmp_path, linked):
    rows = read(write(tmp_path, linked=linked), split_property="ml-aoi:split")
    assert [(row.tile_id, row.label, row.split) for row in rows] == [
        (f"Tile_{number}", "ab"[number % 2], "test") for number in range(4)
    ]
    assert rows[0].uri == str(tmp_path / "source" / "Tile_0.tif")
    assert rows[0].datetime.year == 2020


def test_imagery_that_no_label_item_refers_to_is_left_out_and_counted(tmp_path, caplog):
    def without_source(label, number):
        if number == 3:
            label["links"][0]["href"] = "../source/Tile_2.json"
            label["links"][0]["rel"] = "about"
            label["assets"]["image"] = {"href": "./own.tif", "type": "image/tiff", "roles": ["data"]}

    with caplog.at_level("INFO"):
        rows = read(write(tmp_path, change=without_source))
    assert [row.tile_id for row in rows] == ["Tile_0", "Tile_1", "Tile_2", "label_3"]
    assert "1 items have no label, and no label item has them as its source: left out" in caplog.text


def test_label_items_with_several_sources_or_sources_with_several_labels(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    root = write(tmp_path / "a", change=lambda label, _: label["links"].append(label["links"][0]))
    with pytest.raises(SourceError, match=r"one link of rel=source.*Received: 2 in item label_0"):
        read(root)
    root = write(tmp_path / "b", change=lambda label, _: label["links"][0].update(href="../source/Tile_0.json"))
    with pytest.raises(SourceError, match=r"one label item\. Received: label_0 and label_1 with .*Tile_0\.json"):
        read(root)


def test_without_label_items_imagery_without_a_label_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="An item must have one label"):
        read(write(tmp_path, linked=("source",)))


@pytest.mark.parametrize("linked", [("source", "labels"), ("labels", "source")])
def test_items_that_state_the_label_of_their_label_item(tmp_path, linked):
    root = write(tmp_path, linked=linked, change=lambda label, _: label["properties"].update(area="north"))
    for path in (tmp_path / "source").glob("*.json"):
        edit_json(path, lambda item: item["properties"].update(area="north"))
    rows = read(root, columns={"label": "area"})
    assert [(row.tile_id, row.label) for row in rows] == [(f"Tile_{number}", "north") for number in range(4)]
    edit_json(tmp_path / "source" / "Tile_2.json", lambda item: item["properties"].update(area="south"))
    with pytest.raises(
        SourceError, match=r"same label\. Received: 'south' in .*Tile_2\.json, and 'north' in .* label_2"
    ):
        read(root, columns={"label": "area"})
