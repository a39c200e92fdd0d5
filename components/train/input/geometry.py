"""Geometric transforms of tiles: turns, mirrors, shifts and zoom, with reflection beyond the edges.

Turns, mirrors and shifts by whole pixels are exact on the pixel lattice: one gather does all three, in any dtype. Only
zoom interpolates between pixels. All shapes are static, and XLA can compile them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def transform_pixels(
    images: "tf.Tensor",
    *,
    turns: "tf.Tensor | None" = None,
    mirrors: "tf.Tensor | None" = None,
    shifts: "tf.Tensor | None" = None,
) -> "tf.Tensor":
    """Turn, then mirror, then shift each tile by its own amount.

    One gather over the pixels is six times as fast on a CPU core as selecting between transformed copies of the batch.

    Args:
        images: tiles, any dtype, `(batch, height, width, bands)`.
        turns: int32, `(batch,)`: 0 to 3 counterclockwise quarter turns, as `np.rot90`; only for square tiles.
        mirrors: bool, `(batch, 2)`: whether to mirror vertically, and horizontally.
        shifts: int32, `(batch, 2)`: pixels by which the content moves down, and right.

    Returns:
        The tiles, same dtype and shape.
    """
    import tensorflow as tf

    height, width, bands = images.shape[1:]
    # Row and column of the turned tile for each row and column of the result, `(1 or batch, side)`.
    rows, columns = tf.range(height)[None], tf.range(width)[None]
    if shifts is not None:
        rows = _reflect(rows - shifts[:, :1], height)
        columns = _reflect(columns - shifts[:, 1:], width)
    if mirrors is not None:
        rows = tf.where(mirrors[:, :1], height - 1 - rows, rows)
        columns = tf.where(mirrors[:, 1:], width - 1 - columns, columns)
    row_step, column_step = tf.constant([[width]]), tf.constant([[1]])
    if turns is not None:
        # One turn is a transpose and a vertical mirror, two are both mirrors, three a transpose and a horizontal one.
        turns = turns[:, None]
        rows = tf.where((turns == 1) | (turns == 2), height - 1 - rows, rows)
        columns = tf.where(turns >= 2, width - 1 - columns, columns)
        transposed = turns % 2 == 1
        row_step, column_step = tf.where(transposed, 1, width), tf.where(transposed, width, 1)
    positions = (rows * row_step)[:, :, None] + (columns * column_step)[:, None, :]
    positions = tf.broadcast_to(positions, (tf.shape(images)[0], height, width))
    pixels = tf.reshape(images, (-1, height * width, bands))
    transformed = tf.gather(pixels, tf.reshape(positions, (-1, height * width)), batch_dims=1)
    return tf.reshape(transformed, (-1, height, width, bands))


def zoom(images: "tf.Tensor", factors: "tf.Tensor") -> "tf.Tensor":
    """Zoom each tile about its center, bilinearly: `factors` above 1 magnify, below 1 show a reflected margin.

    Args:
        images: tiles, any dtype, `(batch, height, width, bands)`.
        factors: float32, `(batch,)`.

    Returns:
        The tiles, float32, same shape.
    """
    import tensorflow as tf

    # Rows and columns are independent. Gathering rows is four times as fast as gathering pixels, so the columns become
    # rows for the second half.
    return _zoom_rows(_zoom_rows(tf.cast(images, tf.float32), factors), factors)


def _zoom_rows(images: "tf.Tensor", factors: "tf.Tensor") -> "tf.Tensor":
    """Zoom along the rows, and transpose."""
    import tensorflow as tf

    side = images.shape[1]
    center = (side - 1) / 2
    positions = _reflect(center + (tf.range(side, dtype=tf.float32)[None] - center) / factors[:, None], side)
    before = tf.cast(positions, tf.int32)  # rounds down: none is negative
    share = (positions - tf.cast(before, tf.float32))[:, :, None, None]
    first = tf.gather(images, before, axis=1, batch_dims=1)
    second = tf.gather(images, tf.minimum(before + 1, side - 1), axis=1, batch_dims=1)
    return tf.transpose(first + (second - first) * share, (0, 2, 1, 3))


def _reflect(positions: "tf.Tensor", side: int) -> "tf.Tensor":
    """Reflect positions beyond the first and last pixel, repeatedly if needed, without repeating the edge."""
    import tensorflow as tf

    last = side - 1
    return last - tf.abs(tf.math.floormod(positions, max(2 * last, 1)) - last)
