import pytest

from tilepipe.components.pack.config import PackConfig
from tilepipe.components.shared.errors import ParameterError


def test_numbers_as_kfp_sends_them():
    given = {"shard_mebibytes": 64.0, "readers": 2.0, "tile_size": [64.0, 32.0], "nodata_fill": 3}
    options = PackConfig.parse(bands=["B8a"], seed=1.0, options=given).options
    assert (options.tile_size, options.nodata_fill) == ((64, 32), 3.0)
    assert (options.shard_mebibytes, options.readers, options.max_quarantine_percent) == (64, 2, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bands": ["B2", "B02"]}, "name each band once"),
        ({"bands": [""]}, "name each band once"),
        ({"options": {"shard_mebibytes": 0}}, "options.shard_mebibytes"),
        ({"options": {"max_quarantine_percent": 100}}, "options.max_quarantine_percent"),
        ({"options": {"max_quarantine_percent": float("nan")}}, "options.max_quarantine_percent"),
        ({"options": {"readers": 0}}, "options.readers"),
        ({"options": {"tile_size": [64]}}, "must be empty, or a height and a width of 1 to 8192 pixels"),
        ({"options": {"tile_size": [0, 64]}}, "tile_size=[0, 64]"),
        ({"options": {"resampling": "cubic"}}, "options.resampling"),
        ({"options": {"max_nodata_percent": 101}}, "options.max_nodata_percent"),
        ({"options": {"nodata_fill": float("inf")}}, "options.nodata_fill"),
        ({"options": {"shards": 3}}, "Use one of: allow_duplicates, "),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ParameterError, match="Received") as caught:
        PackConfig.parse(**given)
    assert message in str(caught.value)
