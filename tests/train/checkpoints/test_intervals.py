"""Intervals between checkpoints."""

import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.checkpoints.intervals import CheckpointOptions


def test_when_one_is_due():
    by_time = CheckpointOptions.parse()
    assert [by_time.is_checkpoint_due(seconds, 99) for seconds in (0, 119.9, 120, 500)] == [False, False, True, True]
    by_epoch = CheckpointOptions.parse(checkpoint_every_seconds=0, checkpoint_every_epochs=2)
    assert [by_epoch.is_checkpoint_due(9999, epochs) for epochs in (0, 1, 2, 3)] == [False, False, True, True]
    with pytest.raises(ParameterError, match="`checkpoint_every_epochs` must be above 0"):
        CheckpointOptions.parse(checkpoint_every_seconds=0)
