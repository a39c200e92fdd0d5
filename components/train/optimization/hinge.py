"""Squared hinge loss for labels that may be mixed."""

import keras  # noqa: TID253 - a Keras loss; only functions import this module


class SquaredHinge(keras.losses.SquaredHinge):  # type: ignore[misc] # Keras has no types
    """Keras' squared hinge loss, with labels from 0 to 1 always mapped to -1 to 1.

    Keras maps them only if the whole batch consists of 0 and 1, so one mixup tile would change the loss of its batch.
    """

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Compute the mean over the classes of `max(1 - (2 * y_true - 1) * y_pred, 0) ** 2`.

        Args:
            y_true: labels, float32, `(batch, classes)`.
            y_pred: probabilities, same dtype and shape.

        Returns:
            float32, `(batch,)`.
        """
        signs = 2.0 * y_true - 1.0
        return keras.ops.mean(keras.ops.square(keras.ops.maximum(1.0 - signs * y_pred, 0.0)), axis=-1)
