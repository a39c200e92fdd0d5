import pytest

from tilepipe.components.pack.config import PackConfig
from tilepipe.components.shared.errors import ParameterError


def test_numbers_as_kfp_sends_them():
    options = PackConfig.parse(bands=["B8a"], seed=1.0, options={"shard_mebibytes": 64.0, "readers": 2.0}).options
    assert (options.shard_mebibytes, options.readers, options.max_quarantine_percent) == (64, 2, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bands": ["B2", "B02"]}, "name each band once"),
        ({"bands": [""]}, "name each band once"),
        ({"options": {"shard_mebibytes": 0}}, "options.shard_mebibytes"),
        ({"options": {"max_quarantine_percent": 100}}, "options.max_quarantine_percent"),
        ({"options": {"max_quarantine_percent": float("nan")}}, "options.max_quarantine_percent"),
        ({"options": {"readers": 0}}, "options.readers"),
        ({"options": {"shards": 3}}, "Use one of: check_band_identity, max_quarantine_percent, readers"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ParameterError, match="Received") as caught:
        PackConfig.parse(**given)
    assert message in str(caught.value)
