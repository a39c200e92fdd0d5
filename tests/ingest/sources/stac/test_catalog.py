import functools
import json
import time

import pytest

from tests.ingest.conftest import BANDS, edit_json, make_item
from tests.support.loopback_server import LoopbackServer, QuietFileHandler
from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.stac.catalog import StacCatalog
from tilepipe.components.shared.errors import SourceError


def read(root, wanted=(), **parameters):
    source = StacCatalog(str(root), IngestConfig.parse(source=str(root), **parameters), frozenset(wanted))
    return source, sorted(source.rows(), key=lambda row: row.tile_id)


def test_a_catalog_that_pystac_wrote(catalog):
    root = catalog()
    source, rows = read(root, split_property="ml-aoi:split")
    assert len(rows) == 18
    assert source.name == "tiles-collection"
    assert rows[0].uri == str(root.parent / "tiles-collection" / "Forest_0" / "Forest_0.tif")
    assert rows[0].bands == BANDS
    assert {row.split for row in rows} == {"train", "validate", "test"}


def test_a_collection_is_a_root_too(catalog):
    root = catalog().parent / "tiles-collection" / "collection.json"
    source, rows = read(root)
    assert (len(rows), source.name) == (18, "tiles-collection")


def test_absolute_links_on_the_web_are_led_home(catalog):
    root = catalog()
    web = "https://example.org/set"
    for path in root.parent.rglob("*.json"):
        base = f"{web}/{path.parent.relative_to(root.parent)}/"

        def absolute(document, base=base):
            for holder in (*document["links"], *document.get("assets", {}).values()):
                holder["href"] = base + holder["href"]

        edit_json(path, absolute)
    with pytest.raises(SourceError, match="href_rewrite"):
        read(root)
    _, rows = read(root, href_rewrite={web: str(root.parent)})
    assert len(rows) == 18
    assert rows[0].uri == str(root.parent / "tiles-collection" / "Forest_0" / "Forest_0.tif")


def test_groups_and_what_where_mentions(catalog):
    root = catalog(change=lambda item: item["properties"].update(scene=item["id"][-1], cloud=3))
    _, rows = read(root, wanted={"cloud"}, columns={"group": "scene"})
    assert all(row.group == row.tile_id[-1] and row.properties == {"cloud": 3} for row in rows)


class _Counting(QuietFileHandler):
    asked: tuple[str, ...] = ()

    def do_GET(self):
        type(self).asked += (self.path,)
        super().do_GET()


@pytest.fixture
def web(tmp_path):
    """Serves the test's folder; gives the address, and what was asked of it."""
    handler = type("Handler", (_Counting,), {})
    with LoopbackServer(functools.partial(handler, directory=str(tmp_path))) as server:
        yield server.url, handler


def test_a_catalog_on_the_web(catalog, web):
    root = catalog()
    address, handler = web
    source, rows = read(f"{address}/stac/catalog.json")
    assert (len(rows), source.name) == (18, "tiles-collection")
    assert rows[0].uri == f"{address}/stac/tiles-collection/Forest_0/Forest_0.tif"
    assert len(handler.asked) == 20
    for to in (
        "http://127.0.0.1:9/catalog.json",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "s3://b/x.json",
    ):
        edit_json(root, lambda c, to=to: c["links"].append({"rel": "child", "href": to}))
        with pytest.raises(SourceError, match=rf"{to}.*a link of {address}/stac/catalog.json"):
            read(f"{address}/stac/catalog.json")
        edit_json(root, lambda c: c["links"].pop())


def test_links_may_go_in_circles(catalog):
    root = catalog()
    collection = root.parent / "tiles-collection" / "collection.json"
    edit_json(collection, lambda c: c["links"].append({"rel": "child", "href": "../catalog.json"}))
    edit_json(root, lambda c: c["links"].append({"rel": "child", "href": "./tiles-collection/collection.json"}))
    assert len(read(root)[1]) == 18


def test_links_that_lead_out_are_refused(catalog):
    root = catalog()
    edit_json(root, lambda c: c["links"].append({"rel": "child", "href": "file:///etc/passwd"}))
    with pytest.raises(SourceError, match=r"must be below the catalog's folder.*/etc/passwd"):
        read(root)


def test_assets_that_lead_out_are_refused(catalog):
    root = catalog(change=lambda item: item["assets"]["image"].update(href="/etc/passwd"))
    with pytest.raises(SourceError, match=r"must be below.*asset image of item Forest_0"):
        read(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON"),
        ("", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        (b"\xff\xfe\x00".decode("latin1"), "must be JSON"),
        ("[1]", "must be a JSON object"),
        ('{"type": "FeatureCollection"}', "The features of an ItemCollection must be a list. Received: None"),
        ('{"type": "Point"}', "type='Point'"),
        ('{"type": "Catalog", "id": "x"}', "links of a catalog must be a list"),
        ('{"type": "Catalog", "links": [{"rel": "item"}]}', "href must be a non-empty string"),
        (
            '{"type": "Catalog", "links": [{"rel": "item", "href": "./none.json"}]}',
            "none.json, which .*catalog.json links to",
        ),
        ('{"type": "Catalog", "links": [{"rel": "item", "href": "./catalog.txt"}]}', "catalog.txt"),
    ],
)
def test_malformed_catalogs(tmp_path, content, message):
    root = tmp_path / "catalog.json"
    root.write_text(content, encoding="latin1")
    with pytest.raises(SourceError, match=message):
        read(root)


def test_a_catalog_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match=r"none.json, which source links to"):
        read(tmp_path / "none.json")


def test_thousands_of_items_take_seconds(tmp_path):
    """The rate that makes 27,000 tiles bearable: pystac's objects would take ten times as long."""
    links = []
    for number in range(3000):
        (tmp_path / f"{number}.json").write_text(json.dumps(make_item("Forest", number)))
        links.append({"rel": "item", "href": f"./{number}.json"})
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "many", "links": links}))
    started = time.perf_counter()
    source, rows = read(tmp_path / "catalog.json")
    assert (len(rows), source.name) == (3000, "many")
    assert time.perf_counter() - started < 15
