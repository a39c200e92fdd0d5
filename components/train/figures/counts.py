"""Exact counts over a whole split as Keras metrics, on the device and in bounded memory.

The counts are variables of Keras, so that checkpoints hold them and MirroredStrategy sums them over its devices. They
are 64-bit integers under TensorFlow, which keeps 32-bit ones on the CPU even where the training runs on a GPU.
`figures.py` makes figures of them.
"""

from typing import Any

import keras  # noqa: TID253 - Keras metrics; only functions import this module
from keras import ops  # noqa: TID253

BINS = 256
"""A power of two, so that multiplying a float32 score by it is exact, and so are the thresholds."""


class ClassCounts(keras.metrics.Metric):  # type: ignore[misc] # Keras has no types
    """Counts tiles by true class and by the class with the highest score.

    Its result is the balanced accuracy: the mean recall of those classes that occurred.

    Args:
        classes: number of classes.
        name: name of the metric.
    """

    def __init__(self, classes: int, name: str = "balanced_accuracy") -> None:
        super().__init__(name=name)
        self.classes = classes
        self.counts = self.add_variable((classes, classes), "zeros", dtype="int", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ANN401, ARG002
        """Count a batch.

        Args:
            y_true: labels, one-hot or mixed (the class with the largest part counts), `(batch, classes)`.
            y_pred: scores, `(batch, classes)`.
            sample_weight: not used: each tile counts once.
        """
        true, given = (
            ops.one_hot(ops.argmax(values, axis=-1), self.classes, dtype="float32") for values in (y_true, y_pred)
        )
        counted = ops.matmul(ops.transpose(true), given)  # whole numbers up to the batch's size: exact in float32
        self.counts.assign_add(ops.cast(ops.round(counted), self.counts.dtype))

    def result(self) -> Any:  # noqa: ANN401
        """Return the balanced accuracy so far; 0 before the first batch."""
        counts = ops.cast(self.counts, "float32")
        tiles = ops.sum(counts, axis=1)
        recalls = ops.diagonal(counts) / ops.maximum(tiles, 1.0)
        return ops.sum(recalls) / ops.maximum(ops.sum(ops.cast(tiles > 0, "float32")), 1.0)


class ScoreCounts(keras.metrics.Metric):  # type: ignore[misc]
    """Counts tiles by class, by the bin of that class's score, and by whether they are of the class.

    From this come curves of precision and recall at fixed thresholds, at a size that does not grow with the split. Its
    result is the number of tiles so far.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(name="scored_tiles")
        self.classes = classes
        self.counts = self.add_variable((classes, BINS, 2), "zeros", dtype="int", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ANN401, ARG002
        """Count a batch.

        Args:
            y_true: labels, one-hot or mixed (the class with the largest part counts), `(batch, classes)`.
            y_pred: scores between 0 and 1, `(batch, classes)`.
            sample_weight: not used: each tile counts once.
        """
        is_true = ops.one_hot(ops.argmax(y_true, axis=-1), self.classes, dtype="int32")
        scores = ops.cast(y_pred, "float32")
        bins = ops.clip(ops.cast(ops.floor(scores * BINS), "int32"), 0, BINS - 1)
        places = (ops.arange(self.classes, dtype="int32") * BINS + bins) * 2 + is_true
        places = ops.reshape(places, (-1,))
        counted = ops.segment_sum(ops.ones_like(places, dtype="float32"), places, self.classes * BINS * 2)
        self.counts.assign_add(ops.cast(ops.reshape(counted, (self.classes, BINS, 2)), self.counts.dtype))

    def result(self) -> Any:  # noqa: ANN401
        """Return the number of tiles counted."""
        return ops.sum(self.counts[0])
