import json
import logging
import socket
import time

import pytest

from tests.support.stac_server import OTHER, SAMPLE, TILES, TILES_PER_CLASS, gate, stac_api
from tests.support.tile_tables import read_tile_table
from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.stac import credentials, session
from tilepipe.components.ingest.sources.stac.api import StacApi
from tilepipe.components.shared.errors import ParameterError, SourceError, StorageError, TilepipeError

__all__ = ["gate", "stac_api"]

ALL = 10 * TILES_PER_CLASS
PAGE = 32
HOME = {TILES: "/tiles/"}
SECRET = "s3cret-of-the-test"


@pytest.fixture(autouse=True)
def _pages_and_pauses(monkeypatch):
    monkeypatch.setattr("tilepipe.components.ingest.sources.stac.api.PAGE_ITEMS", PAGE)
    monkeypatch.setattr(session, "BACKOFF_SECONDS", 0.01)
    for name in (credentials.TOKEN, credentials.USERNAME, credentials.PASSWORD):
        monkeypatch.delenv(name, raising=False)


def read(url, wanted=(), collections=(SAMPLE,), **parameters):
    query = {"collections": collections, **parameters.pop("query", {})}
    config = IngestConfig.parse(source=url, query=query, **{"href_rewrite": HOME, **parameters})
    source = StacApi(url, config, frozenset(wanted))
    return source, sorted(source.rows(), key=lambda row: row.tile_id)


def test_every_tile_comes_once_over_several_pages(gate, caplog):
    with caplog.at_level(logging.INFO, logger="tilepipe"):
        source, rows = read(gate.url)
    assert len({row.tile_id for row in rows}) == len(rows) == ALL
    assert len(gate.searches()) == -(-ALL // PAGE)
    assert (source.kind, source.name) == ("stac-api", SAMPLE)
    row = rows[0]
    assert row.uri == f"/tiles/synthetic-tiles/{row.label}/{row.tile_id}.tif"
    assert row.bands[:2] == ("B01", "B02")
    assert row.label and row.datetime and row.bbox and row.geometry
    assert f"read {ALL} items of the API" in caplog.text


def test_collections(gate):
    source, rows = read(gate.url, wanted={"collection"}, collections=(OTHER,))
    assert (len(rows), source.name) == (20, OTHER)
    source, rows = read(gate.url, wanted={"collection"}, collections=())
    assert (len(rows), source.name) == (ALL + 20, "stac-fastapi")
    assert {row.properties["collection"] for row in rows} == {SAMPLE, OTHER}
    with pytest.raises(SourceError, match=rf"'none', which .* does not have\. It has: {SAMPLE}, {OTHER}\."):
        read(gate.url, collections=("none",))


def test_a_bbox(gate):
    _, rows = read(gate.url)
    west, south, east, north = rows[7].bbox
    expected = {
        row.tile_id
        for row in rows
        if row.bbox[0] <= east and row.bbox[2] >= west and row.bbox[1] <= north and row.bbox[3] >= south
    }
    assert {row.tile_id for row in read(gate.url, query={"bbox": [west, south, east, north]})[1]} == expected
    assert 0 < len(expected) < ALL


def test_a_datetime(gate):
    _, rows = read(gate.url)
    expected = {row.tile_id for row in rows if f"{row.datetime:%Y-%m}" in {"2018-05", "2018-06"}}
    _, found = read(gate.url, query={"datetime": "2018-05/2018-06"})
    assert {row.tile_id for row in found} == expected
    assert 0 < len(expected) < ALL


IN_TEXT = "class IN ('Forest', 'River') AND cloud < 20"
IN_JSON = {
    "op": "and",
    "args": [
        {"op": "in", "args": [{"property": "class"}, ["Forest", "River"]]},
        {"op": "<", "args": [{"property": "cloud"}, 20]},
    ],
}


@pytest.mark.parametrize(("condition", "method"), [(IN_TEXT, "GET"), (IN_JSON, "POST"), (json.dumps(IN_JSON), "POST")])
def test_cql2(gate, monkeypatch, condition, method):
    monkeypatch.setattr("tilepipe.components.ingest.sources.stac.api.PAGE_ITEMS", 8)
    _, rows = read(gate.url, wanted={"cloud"}, query={"filter": condition})
    assert {row.label for row in rows} == {"Forest", "River"}
    assert all(row.properties["cloud"] < 20 for row in rows)
    assert len({row.tile_id for row in rows}) == len(rows) == 2 * len(range(0, 20, 2)) - 2 * _first_number(rows)
    assert {verb for verb, path, _ in gate.requests if path.startswith("/search")} == {method}
    assert len(gate.searches()) > 2


def _first_number(rows):
    """The sample's numbers start at 0 or 1: how many of the clouds below 20 are missing in each class."""
    return min(row.properties["cloud"] for row in rows) // 2


def test_an_asset_a_group_and_what_where_mentions(gate):
    columns = {"label": "scene", "group": "class"}
    _, rows = read(
        gate.url, {"cloud", "gsd", "absent"}, query={"max_items": 5}, options={"asset_key": "preview"}, columns=columns
    )
    assert all(row.uri.endswith(".tif.png") and row.label.startswith("scene-") for row in rows)
    assert all(row.group in row.uri and set(row.properties) == {"cloud", "gsd"} for row in rows)


@pytest.mark.parametrize("limit", [1, PAGE, PAGE + 1])
def test_a_limit(gate, limit):
    assert len(read(gate.url, query={"max_items": limit})[1]) == limit
    assert len(gate.searches()) == -(-limit // PAGE)


def test_nothing_found_says_what_was_asked(gate):
    with pytest.raises(SourceError, match=r"at least one item.*query\.datetime='1990'"):
        read(gate.url, query={"datetime": "1990"})


@pytest.mark.parametrize(
    ("variables", "header"),
    [
        ({credentials.TOKEN: f"{SECRET}\n"}, f"Bearer {SECRET}"),
        ({credentials.USERNAME: "me", credentials.PASSWORD: SECRET}, "Basic bWU6czNjcmV0LW9mLXRoZS10ZXN0"),
    ],
)
def test_credentials(gate, monkeypatch, caplog, variables, header):
    gate.demanded = header
    with pytest.raises(SourceError, match=r"status 401 .* requested with no credentials.*TILEPIPE_STAC_TOKEN"):
        read(gate.url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.DEBUG):
        assert len(read(gate.url)[1]) == ALL
    gate.requests.clear()
    read(gate.url, query={"filter": IN_JSON})
    assert {headers["authorization"] for _, _, headers in gate.requests} == {header}
    gate.demanded = "Bearer other"  # and this server repeats in its answer what it was sent
    with pytest.raises(SourceError, match=r"status 403 .*not with '\w+ \*\*\*'") as refused:
        read(gate.url)
    for text in (caplog.text, str(refused.value)):
        assert SECRET not in text
        assert header.partition(" ")[2] not in text


def test_no_credentials_come_from_elsewhere(gate, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    read(gate.url, query={"max_items": 1})
    assert not any("authorization" in headers for _, _, headers in gate.requests)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({credentials.USERNAME: "me"}, "https://stac.test"),
        (
            {credentials.TOKEN: SECRET, credentials.USERNAME: "me", credentials.PASSWORD: SECRET},
            "https://stac.test",
        ),
        ({credentials.TOKEN: f"{SECRET}\nHost: x"}, "https://stac.test"),
        ({credentials.TOKEN: SECRET}, "http://stac.test"),
    ],
)
def test_credentials_that_cannot_be_sent(monkeypatch, variables, url):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ParameterError, match="TILEPIPE_STAC_") as refused:
        read(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", [f"https://me:{SECRET}@stac.test", f"https://stac.test/?key={SECRET}"])
def test_credentials_in_the_address_are_refused_and_not_shown(url):
    source = StacApi(url, IngestConfig.parse(source="x"))
    with pytest.raises(SourceError, match="must be https://host/path") as refused:
        list(source.rows())
    assert SECRET not in str(refused.value)


def test_passing_failures_are_tried_again(gate):
    gate.failures = [503, "reset", 429, "cut"]
    assert len(read(gate.url)[1]) == ALL
    assert not gate.failures


@pytest.mark.parametrize(("failure", "message"), [(503, "status 503"), ("reset", "reachable"), ("cut", "reachable")])
def test_failures_that_stay_stop_in_the_end(gate, failure, message):
    gate.failures = [failure] * 1000
    with pytest.raises(StorageError, match=message):
        read(gate.url)
    assert len(gate.requests) <= 1 + session.MAX_RETRIES


@pytest.mark.parametrize(("failure", "message"), [(503, "status 503"), ("reset", "reachable"), ("cut", "reachable")])
@pytest.mark.parametrize("requests", [1, 2, 3, 4])
def test_an_api_that_fails_later_ends_in_one_error(gate, failure, message, requests):
    answered = []

    def fail_later(path, body):
        answered.append(path)
        return failure if len(answered) > requests else None

    gate.refuse = fail_later
    with pytest.raises(StorageError, match=message):
        read(gate.url)
    assert len(answered) > requests


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("status", [400, 413, 500, 502])
def test_an_api_that_gives_no_large_pages_is_asked_for_small_ones(gate, monkeypatch, status, filtered):
    monkeypatch.setattr("tilepipe.components.ingest.sources.stac.api.PAGE_ITEMS", 1000)
    gate.refuse = lambda path, body: status if "limit=1000" in path or '"limit": 1000' in body else None
    expected = 2 * TILES_PER_CLASS if filtered else ALL
    condition = {"op": "in", "args": [{"property": "class"}, ["Forest", "River"]]} if filtered else ""
    assert len(read(gate.url, query={"filter": condition})[1]) == expected
    assert len(gate.searches()) == (6 if status == 502 else 1) + -(-expected // 100)


def test_pauses_grow_and_differ():
    retry = session.retries()
    pauses = set()
    for _ in range(4):
        retry = retry.increment("GET", "/", response=_answer(503))
        pauses.add(retry.get_backoff_time())
    assert len(pauses) == 4
    assert sorted(pauses) != [0, 0.02, 0.04, 0.08]
    assert retry.get_retry_after(_answer(503, {"Retry-After": "86400"})) <= session.MAX_PAUSE_SECONDS


def _answer(status, headers=None):
    from urllib3 import HTTPResponse

    return HTTPResponse(status=status, headers=headers)


def lead_elsewhere(to):
    def change(path, document):
        for link in document.get("links", []):
            if link["rel"] == "next":
                link["href"] = f"{to}/search?offset={PAGE}&limit={PAGE}"

    return change


@pytest.fixture
def elsewhere():
    """Another server, which must not hear from us: its port, and whether anybody called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.parametrize("token", ["", SECRET])
@pytest.mark.parametrize("way", ["next", "redirect", "search"])
def test_another_host_is_refused(gate, elsewhere, monkeypatch, token, way):
    if token:
        monkeypatch.setenv(credentials.TOKEN, token)
    to = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"

    def search_link(path, document):
        for link in document.get("links", []):
            if link["rel"] == "search":
                link["href"] = f"{to}/search"

    gate.change = {
        "next": lead_elsewhere(to),
        "redirect": lambda path, document: (307, f"{to}{path}") if path.startswith("/search") else None,
        "search": search_link,
    }[way]
    with pytest.raises(SourceError, match=rf"must stay on its own host.*Received: {to}/search"):
        read(gate.url)
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


def test_another_host_that_the_user_named(gate, stac_api, monkeypatch):
    gate.change = lead_elsewhere(stac_api)
    allowed = {**HOME, f"{stac_api}/": f"{stac_api}/"}
    _, rows = read(gate.url, href_rewrite=allowed)
    assert len(rows) > PAGE
    monkeypatch.setenv(credentials.TOKEN, SECRET)
    with pytest.raises(SourceError, match="must stay on its own host"):
        read(gate.url, href_rewrite=allowed)


def test_redirects_on_the_same_host_are_followed(gate, monkeypatch):
    monkeypatch.setenv(credentials.TOKEN, SECRET)
    gate.demanded = f"Bearer {SECRET}"
    gate.change = lambda path, document: (307, path + "&again=1") if "search" in path and "again" not in path else None
    assert len(read(gate.url)[1]) == ALL


@pytest.mark.parametrize(
    ("replacement", "message"),
    [(f"limit={PAGE}&offset=0", "same items twice"), ("same", "same next link twice")],
)
def test_pages_that_go_round(gate, replacement, message):
    def change(path, document):
        for link in document.get("links", []):
            if link["rel"] == "next":
                link["href"] = path if replacement == "same" else f"/search?{replacement}&n={len(gate.requests)}"

    gate.change = change
    with pytest.raises(SourceError, match=message):
        read(gate.url)


def test_empty_pages_on_the_way_lose_nothing(gate):
    def change(path, document):
        if path.startswith("/search") and "offset" not in path:  # as servers that filter what they have cut into pages
            link = {"rel": "next", "href": f"{gate.url}{path}&offset=0"}
            document.update(features=[], links=[link])

    gate.change = change
    assert len(read(gate.url)[1]) == ALL


def test_pages_larger_than_asked_for_and_counts(gate, caplog):
    def change(path, document):
        if "features" in document:
            document["numberMatched"] = ALL + 1

    gate.change = change
    with caplog.at_level(logging.INFO, logger="tilepipe"):
        read(gate.url)
    assert f"read {ALL} of {ALL + 1} items" in caplog.text
    assert f"the API stated {ALL + 1} matching items but returned {ALL}" in caplog.text


def test_a_page_without_bound_is_refused(gate, monkeypatch):
    monkeypatch.setattr(session, "_MAX_ANSWER_BYTES", 20_000)
    with pytest.raises(SourceError, match="at most 20,000 bytes"):
        read(gate.url)


def only_landing(**changes):
    def change(path, document):
        if path == "/":
            document.update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path, document: b"<html>hello</html>", "must be JSON objects.*<html>hello"),
        (lambda path, document: b"[1]", "must be JSON objects"),
        (lambda path, document: b'{"hello": 1}', r"landing page.*type=None and hello\."),
        (only_landing(conformsTo=[]), "item search"),
        (only_landing(conformsTo="x"), "must be that of its landing page"),
        (only_landing(links=None), "must be a STAC catalog"),
        (lambda path, document: document.pop("conformsTo", None), 'data_options=\'{"kind": "stac-catalog"}\''),
        (lambda path, document: document.pop("features", None), "FeatureCollection"),
        (lambda path, document: document.update(features=[3]) if "features" in document else None, "FeatureCollection"),
    ],
)
def test_what_is_no_stac_api(gate, change, message):
    gate.change = change
    with pytest.raises(SourceError, match=message):
        read(gate.url)


def test_a_filter_needs_an_api_that_filters(gate):
    gate.change = only_landing(
        conformsTo=["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
    )
    with pytest.raises(SourceError, match=r"query\.filter.*item-search#filter"):
        read(gate.url, query={"filter": IN_TEXT})


def test_what_the_server_says_of_a_wrong_filter_is_passed_on(gate):
    with pytest.raises(TilepipeError, match=r"status [45]\d\d from .*/search") as refused:
        read(gate.url, query={"filter": "class = = 'Forest'"})
    assert len(str(refused.value)) < 800


def test_connection_refused(monkeypatch):
    monkeypatch.setattr(session, "BACKOFF_SECONDS", 0.5)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        started = time.perf_counter()
        with pytest.raises(StorageError, match="must be reachable"):
            read(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert time.perf_counter() - started < 15


def test_nothing_at_the_address(gate):
    with pytest.raises(SourceError, match="status 404"):
        read(f"{gate.url}/nowhere")


def test_an_asset_that_leads_to_this_machine_is_refused(gate):
    def change(path, document):
        for item in document.get("features", []):
            item["assets"]["image"]["href"] = "file:///etc/passwd"

    gate.change = change
    with pytest.raises(SourceError, match="/etc/passwd"):
        read(gate.url)


def test_from_the_api_to_the_tile_table(gate, tmp_path):
    from tilepipe.components.ingest.ingest import IngestOutputs, ingest

    outputs = IngestOutputs(
        *(tmp_path / name for name in ("tiles.parquet", "labels.json", "report.html", "summary.md"))
    )
    config = IngestConfig.parse(
        source=gate.url,
        query={"collections": [SAMPLE], "filter": "class IN ('Forest', 'River', 'SeaLake')"},
        href_rewrite=HOME,
        where="cloud < 20",
        columns={"group": "scene"},
        split_by="group",
        split_fractions={"train": 0.6, "val": 0.2, "test": 0.2},
        options={"kind": "stac-api"},
    )
    figures = ingest(config, outputs)
    table, info = read_tile_table(outputs.tiles)
    assert figures["name"] == info.name == SAMPLE
    assert (info.source_kind, info.class_names) == ("stac-api", ("Forest", "River", "SeaLake"))
    assert info.bands[:2] == ("B01", "B02")
    assert all(int(name.rpartition("_")[2]) < 10 for name in table["tile_id"].to_pylist())
    assert 3 * 9 <= table.num_rows <= 3 * 10
    splits = {(row["group"], row["split"]) for row in table.select(["group", "split"]).to_pylist()}
    assert len(splits) == 5  # a scene is in one split
    assert {split for _, split in splits} == {"train", "val", "test"}


def label_items(url):
    """Change answers: the items of `OTHER` are label items of those of `SAMPLE`, which lose their labels."""

    def change(_, document):
        for item in document.get("features", [document]):
            if item.get("collection") == OTHER:
                href = f"{url}/collections/{SAMPLE}/items/{item['id'].removeprefix('other-')}"
                item["links"] = [{"rel": "source", "href": href}]
                item["assets"] = {
                    "labels": {"href": "./x.geojson", "type": "application/geo+json", "roles": ["labels"]}
                }
            elif item.get("collection") == SAMPLE:
                del item["properties"]["class"]

    return change


@pytest.mark.parametrize(("collections", "fetched"), [((OTHER,), 20), ((OTHER, SAMPLE), 0)])
def test_label_items(gate, caplog, collections, fetched):
    labels = {row.tile_id: row.label for row in read(gate.url)[1]}
    gate.requests.clear()
    gate.change = label_items(gate.url)
    with caplog.at_level(logging.INFO, logger="tilepipe"):
        _, rows = read(gate.url, collections=collections)
    assert len(rows) == 20
    assert {row.tile_id: row.label for row in rows}.items() <= labels.items()
    assert {row.uri for row in rows} == {f"/tiles/synthetic-tiles/{row.label}/{row.tile_id}.tif" for row in rows}
    assert sum("/items/" in path for _, path, _ in gate.requests) == fetched
    assert (f"{ALL - 20} items have no label" in caplog.text) == (not fetched)


def test_sources_of_label_items_that_are_elsewhere_or_missing(gate):
    gate.change = label_items("https://example.org")
    with pytest.raises(SourceError, match=r"own host.*https://example.org/collections"):
        read(gate.url, collections=(OTHER,))
    gate.change = label_items(f"{gate.url}/nothing")
    with pytest.raises(SourceError, match="status 404"):
        read(gate.url, collections=(OTHER,))
