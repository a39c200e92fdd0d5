import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.cluster.cron import normalize


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("*/15 * * * *", "0 */15 * * * *"),
        ("30 0 3 * * *", "30 0 3 * * *"),
        ("0 3 * * MON-FRI", "0 0 3 * * MON-FRI"),
        ("0 3 1,15 jan-mar ?", "0 0 3 1,15 jan-mar ?"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("0 3 * * 5-7", "0 0 3 * * 5-6,0"),
        ("0 3 * * 1-7", "0 0 3 * * 0-6"),
        ("0 3 * * 1,7", "0 0 3 * * 1,0"),
        ("0 3 * * */7", "0 0 3 * * */7"),
        ("  0   3 * * *  ", "0 0 3 * * *"),
        (" @Daily", "@daily"),
        ("0 25 * * *", "0 0 25 * * *"),  # KFP refuses it
    ],
)
def test_expressions(given, expected):
    assert normalize(given) == expected


@pytest.mark.parametrize(
    ("given", "said"), [("0 3 * *", "which has 4"), ("", "which has 0"), ("noon", "which has 1"), ("@daily 3", "has 2")]
)
def test_another_number_of_fields(given, said):
    with pytest.raises(
        ParameterError, match=r'must have five or six fields.*Received: .*Give "0 3 \* \* \*"'
    ) as caught:
        normalize(given)
    assert said in str(caught.value)
