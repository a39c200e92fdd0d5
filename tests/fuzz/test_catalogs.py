"""STAC catalogs, items and tables from anybody, and parameters as a user may type them."""

import copy
import json
import logging
import random
import re
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingest.conftest import make_item
from tests.support.hostile import VALUES, check_refused_or_read, damaged, spoiled
from tests.support.ingesting import ingest_into
from tests.support.tile_tables import read_tile_table
from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.source_view import _arrow
from tilepipe.components.ingest.sources.stac.catalog import StacCatalog
from tilepipe.components.ingest.sources.stac.documents import parse_json
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.logs.log_format import LOG_FORMAT, EscapingFormatter
from tilepipe.pipelines.cli import arguments
from tilepipe.pipelines.cli.compilation import compiled_pipeline


def items():
    found = [make_item(label, number) for label in ("Forest", "River") for number in range(4)]
    for item in found:
        item["assets"]["image"] |= {
            "raster:bands": [{"nodata": 0, "scale": 0.1, "offset": 0}],
            "bands": [{"name": "B02", "eo:common_name": "blue"}],
            "file:checksum": f"1220{zlib.crc32(item['id'].encode()):064x}",
        }
        item["properties"] |= {
            "label:overviews": [{"property_key": "class", "counts": [{"name": "Forest", "count": 1}]}],
            "platform": "sentinel-2a",
        }
    return {"type": "FeatureCollection", "features": found, "links": []}


ITEMS = items()
CATALOG = {
    "type": "Catalog",
    "id": "c",
    "stac_version": "1.0.0",
    "description": "d",
    "links": [
        {"rel": "item", "href": "items.json"},
        {"rel": "child", "href": "catalog.json"},
        {"rel": "child", "href": "collection.json"},
    ],
}
COLLECTION = {
    "type": "Collection",
    "id": "k",
    "stac_version": "1.0.0",
    "links": [{"rel": "item", "href": "items.json"}],
    "extent": {},
    "summaries": {"eo:bands": [{"name": "B02"}], "platform": ["x"]},
    "item_assets": {"image": {"raster:bands": [{"nodata": "nan"}]}},
}


def ingested(folder, name, **parameters):
    ingest_into(folder, source=str(folder / name), **parameters)
    return read_tile_table(folder / "tiles.parquet")[0].num_rows


def rows(folder, name):
    """Read the rows of a catalog as columns, without the rest of the step, which takes ten times as long."""
    config = IngestConfig.parse(source=str(folder / name), split_property="ml-aoi:split")
    return _arrow(list(StacCatalog(str(folder / name), config, frozenset({"platform"})).rows()), ["platform"])


@given(spoiled(ITEMS))
def test_items(tmp_path, document):
    (tmp_path / "items.json").write_text(json.dumps(document))
    found = check_refused_or_read(lambda: rows(tmp_path, "items.json"))
    assert found is None or found.num_rows <= 10


@settings(max_examples=5)
@given(spoiled(ITEMS))
def test_ingest_of_items(tmp_path, document):
    (tmp_path / "items.json").write_text(json.dumps(document))
    found = check_refused_or_read(lambda: ingested(tmp_path, "items.json", where="platform <> 'x' OR true"))
    assert found is None or found <= 10


@given(spoiled(CATALOG), spoiled(COLLECTION), spoiled(ITEMS))
def test_catalogs(tmp_path, catalog, collection, document):
    for name, content in (("catalog", catalog), ("collection", collection), ("items", document)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    found = check_refused_or_read(lambda: rows(tmp_path, "catalog.json"))
    assert found is None or found.num_rows <= 10


@given(damaged(json.dumps(ITEMS).encode()))
def test_bytes_of_items(tmp_path, content):
    (tmp_path / "items.json").write_bytes(content)
    found = check_refused_or_read(lambda: rows(tmp_path, "items.json"))
    assert found is None or found.num_rows <= 10


def test_a_deep_and_cyclic_catalog_ends(tmp_path):
    """A chain of catalogs in which each links to itself, to the first, and to all before it."""
    depth = 60
    for level in range(depth):
        links = [{"rel": "child", "href": f"{other}.json"} for other in range(level + 2) if other < depth]
        links += [{"rel": "item", "href": "items.json"}] if level == depth - 1 else []
        (tmp_path / f"{level}.json").write_text(json.dumps({**CATALOG, "links": links}))
    (tmp_path / "items.json").write_text(json.dumps(ITEMS))
    assert ingested(tmp_path, "0.json") == 8


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'["\udc00"]', r'{"\ud83d": 1}', r'"\ud800\ud800"'])
def test_half_a_character_is_no_json(text):
    for content in (text, text.encode()):
        with pytest.raises(ValueError, match="surrogates"):
            parse_json(content)


@pytest.mark.parametrize("text", [r'"\ud83d\ude00"', r'"\\ud800"', '"😀"', r'"\u00e9"'])
def test_whole_characters_are_json(text):
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


def test_names_from_outside_stay_one_line_of_the_log(tmp_path):
    document = copy.deepcopy(ITEMS)
    document["features"][0]["id"] = "x\n2026-01-01 00:00:00,000 INFO tilepipe.ingest: forged\x1b]0;t\x07"
    del document["features"][0]["assets"]["image"]["href"]
    (tmp_path / "items.json").write_text(json.dumps(document))
    with pytest.raises(SourceError) as raised:
        ingested(tmp_path, "items.json")
    made = logging.makeLogRecord({"msg": "%s", "args": (str(raised.value),), "levelname": "ERROR", "name": "t"})
    first, *more = EscapingFormatter(LOG_FORMAT).format(made).split("\n")
    assert "\x1b" not in first + "".join(more)
    assert all(line.startswith("    ") for line in more)


@pytest.fixture(scope="module")
def geoparquet(tmp_path_factory):
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    path = tmp_path_factory.mktemp("stac") / "items.parquet"
    to_parquet(parse_stac_items_to_arrow([{**item, "collection": "k"} for item in ITEMS["features"]]), path)
    return path.read_bytes()


def test_bytes_of_geoparquet(tmp_path, geoparquet):
    draws = random.Random(0)
    for _ in range(6):
        content = bytearray(geoparquet)
        for _ in range(draws.randint(1, 3)):
            content[draws.randrange(len(content))] = draws.randrange(256)
        (tmp_path / "items.parquet").write_bytes(content[: draws.choice((len(content), draws.randrange(len(content))))])
        found = check_refused_or_read(lambda: ingested(tmp_path, "items.parquet"))
        assert found is None or found <= 10


TEXT = [value for value in VALUES if (isinstance(value, str) and value.isprintable()) or value in ("", "\0", "\n")]


@settings(max_examples=8)
@given(st.lists(st.tuples(st.sampled_from(TEXT), st.sampled_from(TEXT)), min_size=4, max_size=8))
def test_names_and_labels_of_a_table(tmp_path, rows):
    columns = {
        "image": [f"{number}{name}" for number, (name, _) in enumerate(rows)] + ["a.png", "b.png", "c.png"],
        "label": [label for _, label in rows] + ["Forest", "River", "River"],
    }
    pq.write_table(pa.table(columns), tmp_path / "tiles.parquet")
    found = check_refused_or_read(lambda: ingested(tmp_path, "tiles.parquet", recode={"": ""}))
    assert found is None or found <= len(rows) + 3


PIPELINE = compiled_pipeline.load("train_classifier")
WORDS = st.builds(
    lambda name, value: f"{name}={value if isinstance(value, str) else json.dumps(value)}",
    st.sampled_from([*PIPELINE.parameters, "", "x", "data_sourc"]),
    st.sampled_from(VALUES) | st.text(max_size=20) | st.recursive(st.integers(), st.lists, max_leaves=4),
)


@settings(max_examples=30)
@given(st.lists(WORDS | st.text(max_size=10), max_size=3))
def test_parameters_of_the_command_line(words):
    found = check_refused_or_read(lambda: arguments.collect(PIPELINE, None, ["data_source=tiles", *words]))
    assert found is None or "data_source" in found


@settings(max_examples=25)
@given(
    damaged(b"data_source: x\ntrain_epochs: 3\npack_options: {cache: a, tile_size: [64, 64]}\nx: &a [1]\ny: *a\n")
    | spoiled({"data_source": "x", "train_epochs": 3, "pack_options": {"tile_size": [64, 64]}}).map(
        lambda document: json.dumps(document).encode()
    )
)
def test_configuration_files(tmp_path, content):
    (tmp_path / "run.yaml").write_bytes(content)
    found = check_refused_or_read(lambda: arguments.collect(PIPELINE, tmp_path / "run.yaml", []))
    assert found is None or "data_source" in found


@pytest.mark.parametrize("content", ["[" * 3_000, "a: !!int x", "a: !!python/object/apply:os.getcwd []"])
def test_configuration_files_that_break_yaml(tmp_path, content):
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(arguments.ParameterError, match="--config must be a YAML file"):
        arguments.collect(PIPELINE, tmp_path / "run.yaml", [])
    with pytest.raises(arguments.ParameterError, match="train_options"):
        arguments.collect(PIPELINE, None, ["data_source=x", "train_options=" + "[" * 3_000])


def test_aliases_of_a_configuration_file_multiply_nothing(tmp_path):
    tenfold = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    for lines in (["a0: &a0 [x]", *tenfold], ["data_source: x", "pack_options: &a {cache: *a}"]):
        (tmp_path / "run.yaml").write_text("\n".join(lines))
        with pytest.raises(arguments.ParameterError, match="at most 10,000 values"):
            arguments.collect(PIPELINE, tmp_path / "run.yaml", [])


def test_labels_are_text_in_the_reports(tmp_path):
    labels = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "[x](javascript:alert(1))",
        "=HYPERLINK(1)",
    ]
    columns = {"image": [f"{number}.png" for number in range(24)], "label": labels * 6}
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    assert ingested(tmp_path, "labels.parquet") == 24
    report, summary = ((tmp_path / name).read_text() for name in ("report.html", "summary.md"))
    assert "&lt;script&gt;alert(1)" in report
    assert not re.search(r"<(script>alert|img src=x)", report)
    assert not re.search(r"(?<!\\)<(?!/?(details|summary|br)\b)", summary)  # Markdown escapes by a backslash
    assert "](javascript:" not in summary
