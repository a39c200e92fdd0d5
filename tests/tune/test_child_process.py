"""Functions in child processes, and how these end."""

import os
import signal
import sys

import pytest

from tilepipe.components.tune.child_process import ending, run_in_child


def test_a_child_does_its_work(tmp_path):
    assert run_in_child(os.mkdir, tmp_path / "made") == 0
    assert (tmp_path / "made").is_dir()


@pytest.mark.parametrize(
    ("function", "argument", "said"),
    [
        (signal.raise_signal, signal.SIGKILL, "more memory than there is"),
        (signal.raise_signal, signal.SIGTERM, "signal SIGTERM"),
        (sys.exit, 3, "exit code 3"),
    ],
    ids=["killed", "terminated", "exit"],
)
def test_the_end_of_a_child_is_described(function, argument, said):
    assert said in ending(run_in_child(function, argument))
