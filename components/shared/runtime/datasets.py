"""How TensorFlow's data sets are run: with a parallelism that is written down, not one that is tuned meanwhile."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

PARALLEL_CALLS = min(os.cpu_count() or 1, 8)
"""Batches that are made at once. Each is made of whole-batch operations: a few cores make more than a GPU takes."""
BATCHES_AHEAD = 2


def untuned(data: "tf.data.Dataset") -> "tf.data.Dataset":
    """Turn off the tuning of a data set.

    The thread that tunes sleeps for 10 ms, 20 ms, and so on up to a minute, and whoever lets go of an iterator waits
    until it wakes (TensorFlow 2.21): an epoch, a validation or an evaluation could take twice its time.

    Args:
        data: without `tf.data.AUTOTUNE` anywhere.

    Returns:
        The same elements.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
