"""Execution of TensorFlow data sets, with fixed parallelism instead of autotuning."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

PARALLEL_CALLS = min(os.cpu_count() or 1, 8)
"""Batches processed in parallel. Whole-batch operations need few cores to keep a GPU busy."""
BATCHES_AHEAD = 2


def without_autotune(data: "tf.data.Dataset") -> "tf.data.Dataset":
    """Disable autotuning of a data set that does not use `tf.data.AUTOTUNE`; its elements stay the same.

    The tuning thread sleeps for 10 ms, 20 ms, and so on up to a minute, and releasing an iterator waits until it wakes
    (TensorFlow 2.21): an epoch, a validation or an evaluation could take twice as long.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
