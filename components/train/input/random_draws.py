"""Stateless random draws: the same seed gives the same values on CPU, GPU and XLA."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf


def uniform(seed: "tf.Tensor", kind: int, images: "tf.Tensor", count: int) -> "tf.Tensor":
    """Draw uniform numbers for each tile of a batch.

    Args:
        seed: int64, `(2,)`.
        kind: number of the stream; different kinds draw different values from the same seed.
        images: the batch, of which only the size is used.
        count: draws per tile.

    Returns:
        float32 in [0, 1), `(batch, count)`.
    """
    import tensorflow as tf

    # int64, since the seed is folded with the width of `kind`.
    own = tf.random.experimental.stateless_fold_in(seed, tf.constant(kind, tf.int64), alg="philox")
    # Integers, since XLA draws other floats from the same seed. One bit less than float32 resolves, so that the product
    # with a length never rounds up to that length.
    shape = (tf.shape(images)[0], count)
    whole = tf.random.stateless_uniform(shape, own, 0, 2**23, tf.int32, alg="philox")
    return tf.cast(whole, tf.float32) / 2**23


def signed(draws: "tf.Tensor") -> "tf.Tensor":
    """Map uniform draws to [-1, 1)."""
    return 2 * draws - 1


def integers(end: int | NDArray[np.int64], draws: "tf.Tensor") -> "tf.Tensor":
    """Map uniform draws to integers from 0 to `end` - 1, int32; `end` is one number or one per draw of a tile."""
    import tensorflow as tf

    return tf.cast(draws * np.float32(end), tf.int32)


def beta(alpha: float, draws: "tf.Tensor") -> "tf.Tensor":
    """Map two uniform draws per tile, `(batch, 2)`, to Beta(alpha, alpha), float32, `(batch,)`.

    TensorFlow's sampler, based on the gamma distribution, does not compile with XLA. This one transforms Student's t
    with 2 alpha degrees of freedom (Devroye, Random Variate Generation in One Line of Code, 1996), which is drawn in
    polar form (Bailey 1994, doi:10.2307/2153537).
    """
    import tensorflow as tf

    power, cosine = draws[:, 0] ** (1 / alpha), tf.cos(2 * np.pi * draws[:, 1])
    rest = 1 - power
    spread = cosine * tf.sqrt(tf.math.divide_no_nan(rest, power + rest * cosine**2))
    return tf.clip_by_value((1 + spread) / 2, 0, 1)
