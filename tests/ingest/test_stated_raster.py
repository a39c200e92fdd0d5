import json
import logging

import pytest

from tilepipe.components.ingest.stated_raster import check_raster, find_scaling
from tilepipe.components.ingest.statements import collect_statements
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import open_database


def collect(connection, statements):
    connection.execute("CREATE TABLE chosen (tile_id VARCHAR, bands VARCHAR[], stated_raster JSON, stated_sensor JSON)")
    for number, one in enumerate(statements):
        stated = json.dumps(one) if one else None
        connection.execute("INSERT INTO chosen VALUES (?, NULL, ?, NULL)", [f"{number}", stated])
    collect_statements(connection)


@pytest.fixture
def check():
    def check(*statements, allow_mixed_scaling=False):
        with open_database() as connection:
            collect(connection, statements)
            return check_raster(connection, allow_mixed_scaling=allow_mixed_scaling)

    return check


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([None], ()),
        ([{"nodata": [0, 0]}, {"nodata": ["0", "0.0"]}], ("0",)),
        ([{"nodata": [0, None]}], ("0", None)),
        ([{"nodata": ["NaN"]}], ("nan",)),
        ([{"nodata": [-3.4e38]}], ("-3.4e+38",)),
        ([{"nodata": [None, None]}], ()),
    ],
)
def test_one_nodata(check, stated, expected):
    assert check(*stated) == expected


def test_several_nodata_values_stop(check):
    with pytest.raises(
        SourceError, match=r"same nodata values. Received: \['0'\] in 2 tiles; \['255'\] in 1 tiles.*with data_where"
    ):
        check({"nodata": [0]}, {"nodata": [0]}, {"nodata": [255]})


def test_silent_items_are_counted(check, caplog):
    assert check({"nodata": [0]}, None) == ("0",)
    assert "1 tiles state the nodata values ['0'] and 1 state none" in caplog.text


def test_offsets_that_differ_stop(check, caplog):
    old = {"scale": [1e-4] * 4, "offset": [0] * 4, "baseline": "02.14"}
    new = {"scale": [1e-4] * 4, "offset": [-0.1] * 4, "baseline": "05.09"}
    said = r"scale 0.0001, offset 0 in 2 tiles; scale 0.0001, offset -0.1 in 1 tiles \(processing baselines 02.14 in 2"
    with pytest.raises(SourceError, match=rf"{said}.*with data_where, or"):
        check(old, old, new)
    assert check(old, new, allow_mixed_scaling=True) == ()
    assert "several values of scale and offset" in caplog.text
    assert check(old, old) == ()


def test_a_stated_scale_differs_from_none(check):
    with pytest.raises(SourceError, match=r"scale 1, offset 0 in 1 tiles"):
        check({"scale": [0.1]}, None)
    check({"scale": [1], "offset": [0.0]}, None)


def test_offsets_that_are_applied_already_do_not_count(check, caplog):
    new = {"scale": [1e-4], "offset": [-0.1], "baseline": "05.09", "offset_applied": True}
    check({"scale": [1e-4], "baseline": "02.14"}, new)
    assert not caplog.records


def test_baselines_on_both_sides_of_the_offset_are_warned_of(check, caplog):
    with caplog.at_level(logging.WARNING):
        check({"baseline": "02.14"}, {"baseline": "02.14"}, {"baseline": "05.09"})
    assert "02.14 in 2 tiles, 05.09 in 1 tiles" in caplog.text
    caplog.clear()
    check({"baseline": "04.00"}, {"baseline": "05.09"})
    assert not caplog.records


OLD = {"scale": [1e-4] * 2, "baseline": "02.14"}
NEW = {"scale": [1e-4] * 2, "offset": [-0.1] * 2, "baseline": "05.09"}


@pytest.mark.parametrize(
    ("statements", "uniform", "scalings"),
    [
        ([OLD, OLD], ((1e-4, 0),), None),
        ([{"scale": [1, 2]}], ((1, 0), (2, 0)), None),
        ([None, {"baseline": "05.09"}], (), None),
        ([OLD, NEW], (), [[1e-4, 0.0], [1e-4, -0.1]]),
        ([OLD, NEW | {"offset_applied": True}], ((1e-4, 0),), None),  # as earth-search states it
        ([OLD, NEW | {"offset_applied": "false"}], (), [[1e-4, 0.0], [1e-4, -0.1]]),
        ([OLD, None], (), [[1e-4, 0.0], None]),
    ],
)
def test_the_scaling_to_apply(statements, uniform, scalings):
    with open_database() as connection:
        collect(connection, statements)
        assert check_raster(connection, allow_mixed_scaling=False, apply_scaling=True) == ()
        assert find_scaling(connection, needs_labels=True) == uniform
        columns = connection.sql("FROM chosen").columns
        assert ("scaling" in columns) == (scalings is not None)
        if scalings:
            found = [row[0] for row in connection.execute("SELECT scaling FROM chosen").fetchall()]
            assert sorted(found, key=str) == sorted(scalings, key=str)


def test_predictions_with_several_scalings_stop(check):
    with open_database() as connection:
        collect(connection, [OLD, NEW])
        with pytest.raises(SourceError, match=r"offset -0.1 in 1 tiles.*with data_where, and"):
            find_scaling(connection, needs_labels=False)
