import itertools
import json

from tilepipe.components.shared.runtime.config import StepConfig


class Bands(StepConfig):
    files: dict[str, str]


class Blend(StepConfig):
    options: Bands
    shares: list[dict[str, float]]


def test_structs_are_taken_in_one_order_however_they_arrive():
    found = {
        Blend.parse(options={"files": dict(files)}, shares=[dict(shares)]).model_dump_json()
        for files in itertools.permutations({"B08": "nir", "B02": "blue", "B04": "red"}.items())
        for shares in itertools.permutations({"b": 0.5, "a": 0.5}.items())
    }
    expected = {"options": {"files": {"B02": "blue", "B04": "red", "B08": "nir"}}, "shares": [{"a": 0.5, "b": 0.5}]}
    assert list(map(json.loads, found)) == [expected]
    assert list(json.loads(found.pop())["options"]["files"]) == ["B02", "B04", "B08"]
