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
        ("@Daily", "@daily"),
    ],
)
def test_expressions(given, expected):
    assert normalize(given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0 3 * *", "which has 4"),
        ("", "which has 0"),
        ("60 3 * * *", "the minute must be within 0 and 59"),
        ("0 24 * * *", "the hour must be within 0 and 23"),
        ("0 3 0 * *", "the day must be within 1 and 31"),
        ("0 3 * 13 *", "the month must be within 1 and 12"),
        ("0 3 * * 8", "the weekday must be within 0 and 6"),
        ("0 3 * * FRI-MON", "must run upwards"),
        ("0 3 * * someday", "weekday"),
        ("*/0 * * * *", "step of the minute must be at least 1"),
        ("1-2-3 * * * *", "'1-2-3' is not a minute"),
        ("@noon", "which has 1"),
    ],
)
def test_what_is_no_expression(given, said):
    with pytest.raises(ParameterError) as caught:
        normalize(given)
    assert said in str(caught.value)
    assert "Received: " in str(caught.value)


def test_all_wrong_fields_at_once():
    with pytest.raises(ParameterError) as caught:
        normalize("61 25 * * *")
    assert "minute" in str(caught.value)
    assert "hour" in str(caught.value)
