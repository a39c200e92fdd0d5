import pytest

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.shared.errors import ParameterError


def query(**given):
    return IngestConfig.parse(source="https://stac.test", query=given).query


def test_what_is_right_stays():
    box = [170.0, -10, -170, 10]  # across the antimeridian
    asked = query(
        collections=["a", "b"], bbox=box, datetime=" 2020-01 / .. ", filter="class = 'it''s (here'", max_items=3
    )
    assert (list(asked.bbox), asked.datetime, asked.filter) == (box, "2020-01/..", "class = 'it''s (here'")
    assert query(bbox=[1, 2, 0, 3, 4, 9]).bbox == (1, 2, 0, 3, 4, 9)
    assert (query().bbox, query().datetime, query().filter) == ((), "", "")
    assert query(filter={}).filter == ""
    condition = {"op": "=", "args": [{"property": "class"}, "Forest"]}
    assert query(filter=condition).filter == condition


@pytest.mark.parametrize(
    "text", ["2020", "2020-02-29", "2020-06-01T12:00:00Z", "2020-06-01t12:00:00.5+02:00", "../2020", "2020-01/2020-01"]
)
def test_times(text):
    assert query(datetime=text).datetime == text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bbox": [1, 2, 3]}, r"query\.bbox=\[1\.0, 2\.0, 3\.0\]: 3 numbers"),
        ({"bbox": [1, 5, 2, 4]}, "south 5 is greater than north 4"),
        ({"bbox": [1, 2, 181, 4]}, "longitude beyond 180"),
        ({"bbox": [1, 2, 3, 91]}, "latitude beyond 90"),
        ({"bbox": [1, 2, 9, 3, 4, 0]}, "lowest 9 is greater than highest 0"),
        ({"bbox": [1, 2, 3, "x"]}, "bbox"),
        ({"datetime": "yesterday"}, r"RFC 3339.*'yesterday'"),
        ({"datetime": "2021-02-29"}, "2021-02-29"),
        ({"datetime": "2020-13"}, "2020-13"),
        ({"datetime": "2020-01-01T25:00:00Z"}, "T25"),
        ({"datetime": ".."}, "RFC 3339"),
        ({"datetime": "../.."}, "RFC 3339"),
        ({"datetime": "2020/2021/2022"}, "RFC 3339"),
        ({"datetime": "2021/2020"}, "ends before it starts"),
        ({"filter": "class = 'Forest"}, "a quote is not closed"),
        ({"filter": "(class = 'Forest'"}, "parentheses"),
        ({"filter": "class = 1) OR (x = 2"}, "parentheses"),
        ({"filter": '{"op": '}, "which is not JSON"),
        ({"filter": {"eq": 1}}, "op and args"),
        ({"filter": {"op": "=", "args": "x"}}, "op and args"),
        ({"collections": ["a", "a"]}, "each once"),
        ({"collections": [" "]}, r"query\.collections"),
        ({"max_items": -1}, "max_items"),
        ({"limit": 1}, "not a parameter"),
    ],
)
def test_mistakes_are_reported_before_anything_is_sent(given, message):
    with pytest.raises(ParameterError, match=message):
        query(**given)
