import logging

from tilepipe.components.shared.logs.progress import Progress

logger = logging.getLogger("tilepipe.test")


def progress(total=60, **settings):
    return Progress(logger, "packed", total, "tiles", **settings)


def line(counter, seconds=10):
    return counter.line(counter._started + seconds)


def test_units_rate_and_time_left_are_stated():
    counter = progress()
    counter.advance(20)
    assert line(counter) == "packed 20 of 60 tiles (33 %), 2 per second, 20 s left"
    counter.advance(40)
    assert line(counter) == "packed 60 of 60 tiles (100 %), 6 per second"


def test_units_that_are_left_out_are_not_done():
    counter = progress()
    counter.advance()
    for _ in range(59):
        counter.advance(left_out=1)
    assert line(counter) == "packed 1 of 60 tiles (1 %), 59 left out, 6 per second"


def test_a_single_one_that_is_left_out_of_many_keeps_it_from_100_percent():
    counter = progress(total=1000)
    counter.advance(999)
    counter.advance(left_out=1)
    assert line(counter).startswith("packed 999 of 1,000 tiles (99 %), 1 left out")


def test_without_a_total_there_is_no_percentage():
    counter = progress(total=None)
    counter.advance(30)
    counter.advance(10, left_out=10)
    assert line(counter) == "packed 30 tiles, 10 left out, 4 per second"


def test_what_was_done_earlier_does_not_count_in_the_rate():
    counter = progress(already=40)
    counter.advance(10)
    assert line(counter) == "packed 50 of 60 tiles (83 %), 1 per second, 10 s left"


def test_lines_keep_their_distance_but_the_last_is_written(caplog):
    caplog.set_level("INFO", logger="tilepipe")
    counter = progress(total=2)
    counter.advance()
    assert caplog.messages == []
    counter.advance()
    counter.finish()
    assert len(caplog.messages) == 1
    often = progress(interval_seconds=0)
    often.advance()
    assert len(caplog.messages) == 2


def test_the_time_left_may_include_more_than_these_units():
    counter = progress(seconds_left=lambda done, rate: 1000 * done / rate)
    counter.advance(20)
    assert line(counter) == "packed 20 of 60 tiles (33 %), 2 per second, 10,000 s left"
