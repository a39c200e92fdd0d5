"""Throws of the dice that are a function of a seed alone, and the same on a CPU, a GPU and under XLA."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf


def throw(seed: "tf.Tensor", kind: int, images: "tf.Tensor", count: int) -> "tf.Tensor":
    """Throw so many times for each tile of a batch.

    Args:
        seed: int64, `(2,)`.
        kind: what is thrown for: other kinds throw otherwise from the same seed.
        images: the batch; only its size counts.
        count: how many throws a tile.

    Returns:
        float32 in [0, 1), `(batch, count)`.
    """
    import tensorflow as tf

    # As int64: what is folded of the seed is as wide as the kind's number.
    own = tf.random.experimental.stateless_fold_in(seed, tf.constant(kind, tf.int64), alg="philox")
    # Whole numbers, since XLA makes other fractions of the same seed. As many as can be told apart in float32 with a
    # bit to spare: so none times any length rounds up to that length.
    shape = (tf.shape(images)[0], count)
    whole = tf.random.stateless_uniform(shape, own, 0, 2**23, tf.int32, alg="philox")
    return tf.cast(whole, tf.float32) / 2**23


def either_way(throws: "tf.Tensor") -> "tf.Tensor":
    """From -1 to 1."""
    return 2 * throws - 1


def below(end: int | NDArray[np.int64], throws: "tf.Tensor") -> "tf.Tensor":
    """Whole numbers from 0 to `end` - 1, int32, each as likely; `end` is one number or one for each throw of a tile."""
    import tensorflow as tf

    return tf.cast(throws * np.float32(end), tf.int32)


def beta(alpha: float, throws: "tf.Tensor") -> "tf.Tensor":
    """Shares from Beta(alpha, alpha), float32, `(batch,)`, made of two throws, `(batch, 2)`.

    TensorFlow's own way there, by the gamma distribution, does not compile under XLA. This one makes the beta of
    Student's t with 2 alpha degrees of freedom (Devroye, Random Variate Generation in One Line of Code, 1996), and that
    in polar form (Bailey 1994, doi:10.2307/2153537).
    """
    import tensorflow as tf

    power, cosine = throws[:, 0] ** (1 / alpha), tf.cos(2 * np.pi * throws[:, 1])
    rest = 1 - power
    spread = cosine * tf.sqrt(tf.math.divide_no_nan(rest, power + rest * cosine**2))
    return tf.clip_by_value((1 + spread) / 2, 0, 1)
