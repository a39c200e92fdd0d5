"""Exact counts over a whole split as Keras metrics, on the device and in bounded memory.

The counts are variables of Keras metrics, so that MirroredStrategy sums them over its devices. They are 64-bit integers
under TensorFlow, which keeps 32-bit ones on the CPU even where the training runs on a GPU. The metrics have no result:
`epoch_figures.py` makes figures of the counts.
"""

from typing import Any

import keras  # noqa: TID253 - Keras metrics; only functions import this module
from keras import ops  # noqa: TID253

BINS = 256
"""A power of two, so that multiplying a float32 score by it is exact, and so are the thresholds."""


class ClassCounts(keras.metrics.Metric):  # type: ignore[misc] # Keras has no types
    """Counts tiles by true class and by the class with the highest score.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.counts = self.add_variable((classes, classes), "zeros", dtype="int", name="counts")

    def update_state(self, y_true: Any, y_pred: Any) -> None:  # noqa: ANN401
        """Count a batch.

        Args:
            y_true: labels, one-hot or mixed (the class with the largest part counts), `(batch, classes)`.
            y_pred: scores, `(batch, classes)`.
        """
        true, given = (
            ops.one_hot(ops.argmax(values, axis=-1), self.classes, dtype="float32") for values in (y_true, y_pred)
        )
        counted = ops.matmul(ops.transpose(true), given)  # whole numbers up to the batch's size: exact in float32
        self.counts.assign_add(ops.cast(ops.round(counted), self.counts.dtype))


class ScoreCounts(keras.metrics.Metric):  # type: ignore[misc]
    """Counts tiles by class, by the bin of that class's score, and by whether they are of the class.

    From this come curves of precision and recall at fixed thresholds, at a size that does not grow with the split.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.counts = self.add_variable((classes, BINS, 2), "zeros", dtype="int", name="counts")

    def update_state(self, y_true: Any, y_pred: Any) -> None:  # noqa: ANN401
        """Count a batch.

        Args:
            y_true: labels, one-hot or mixed (the class with the largest part counts), `(batch, classes)`.
            y_pred: scores between 0 and 1, `(batch, classes)`.
        """
        is_true = ops.one_hot(ops.argmax(y_true, axis=-1), self.classes, dtype="int32")
        scores = ops.cast(y_pred, "float32")
        bins = ops.clip(ops.cast(ops.floor(scores * BINS), "int32"), 0, BINS - 1)
        places = (ops.arange(self.classes, dtype="int32") * BINS + bins) * 2 + is_true
        places = ops.reshape(places, (-1,))
        counted = ops.segment_sum(ops.ones_like(places, dtype="float32"), places, self.classes * BINS * 2)
        self.counts.assign_add(ops.cast(ops.reshape(counted, (self.classes, BINS, 2)), self.counts.dtype))
