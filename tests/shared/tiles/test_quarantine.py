import json
import re

import pytest

from tilepipe.components.pack.config import PackConfig
from tilepipe.components.shared.tiles.quarantine import allowed_tiles, count_by_reason, passing_percent, too_many


def rejections(count, reason="it is missing"):
    return [(f"tile-{number}", f"{number}.tif", reason) for number in range(count)]


def test_one_percent_is_the_default():
    assert allowed_tiles(PackConfig().options.max_quarantine_percent, 1000) == 10
    assert allowed_tiles(PackConfig().options.max_quarantine_percent, 99) == 0


@pytest.mark.parametrize(
    ("count", "total", "percent"),
    [(3, 100, "3"), (2, 60, "4"), (59, 60, "99"), (199, 200, "99.5"), (1999, 2000, "99.95"), (23, 10**7, "0.0003")],
)
def test_the_percentage_that_would_pass_is_short_and_passes(count, total, percent):
    assert passing_percent(count, total) == percent
    assert allowed_tiles(float(percent), total) >= count


def test_any_number_of_tiles_passes_with_the_stated_percentage():
    for total in (1, 7, 29, 60, 1000, 29_000):
        for count in range(1, total, max(1, total // 97)):
            assert allowed_tiles(float(passing_percent(count, total)), total) >= count
        assert passing_percent(total, total) is None


def test_the_error_ends_in_a_line_that_can_be_pasted():
    message = str(too_many(1, 60, rejections(2)))
    assert message.startswith("At most 1 of 60 tiles may be unusable (max_quarantine_percent). Received: 2 unusable")
    options = re.fullmatch(r"pack_options='(.*)'", message.splitlines()[-1])
    assert PackConfig.parse(options=json.loads(options[1])).options.max_quarantine_percent == 4


def test_an_error_before_the_end_says_that_there_may_be_more():
    message = str(too_many(1, 600, rejections(102), so_far=True))
    assert "Received: at least 102 unusable tiles" in message
    assert "These tiles alone need" in message


def test_no_percentage_is_offered_where_all_tiles_are_unusable():
    message = str(too_many(0, 2, rejections(2)))
    assert "pack_options" not in message
    assert message.endswith("no tile would be left.")


def test_reasons_that_differ_in_numbers_are_one():
    rejected = [*rejections(3), *rejections(2, "it has 10 bytes, not 20"), *rejections(1, "it has 1,000 bytes, not 20")]
    rejected += rejections(1, "it has 3 bands")
    assert count_by_reason(rejected) == {"it has N bytes, not N": 3, "it is missing": 3, "it has 3 bands": 1}


def test_rare_reasons_are_counted_together():
    rejected = [row for i in range(8) for row in rejections(9 - i, f"reason {'abcdefgh'[i]}")]
    counts = count_by_reason(rejected)
    assert list(counts.items())[-2:] == [("reason e", 5), ("other reasons", 4 + 3 + 2)]
    assert sum(counts.values()) == len(rejected)
