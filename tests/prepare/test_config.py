import pytest

from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.shared.errors import ParameterError


def test_numbers_may_arrive_as_floats():
    config = PrepareConfig.parse(seed=3.0, options={"filters": [8.0, 16.0], "dense_units": 32.0})
    assert config.options.filters == (8, 16)
    assert config.seed == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"architecture": "resnet"}, r"`architecture` should be 'cnn'.*Received: architecture='resnet'"),
        ({"seed": -1}, "`seed` should be greater than or equal to 0"),
        ({"options": {"filters": []}}, r"`options.filters` .*at least 1"),
        ({"options": {"filters": [0]}}, r"`options.filters.0` should be greater than or equal to 1"),
        ({"options": {"dropout": 1}}, r"`options.dropout` should be less than 1"),
        ({"options": {"filter": [8]}}, r"`options.filter` is not a parameter.*filters"),
    ],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message):
        PrepareConfig.parse(**given)
