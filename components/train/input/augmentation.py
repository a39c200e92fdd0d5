"""Label-preserving random augmentations, drawn independently per tile; never applied to validation tiles.

A tile seen from above has no preferred orientation: flips and quarter turns are equally valid, and exact in any dtype.
The others imitate differences between scenes: framing (shift), scale (zoom), haze and illumination (contrast,
brightness), occlusion (cutout, arXiv:1708.04552), and mixtures of two tiles (mixup, arXiv:1710.09412).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.train.input.geometry import transform_pixels, zoom
from tilepipe.components.train.input.random_draws import beta, integers, signed, uniform

if TYPE_CHECKING:
    import tensorflow as tf

# The position of a name is part of its seed: append new names, or the draws of the existing ones change.
Augmentation = Literal["flip", "quarter_turn", "shift", "zoom", "contrast", "brightness", "cutout", "mixup"]


class AugmentationOptions(StepConfig):
    """Strength of each augmentation; it has no effect unless `augmentation` names the augmentation."""

    shift_percent: float = Field(
        default=10.0,
        gt=0,
        le=50,
        description="shift: largest shift in each direction, by whole pixels, in percent of the side",
    )
    zoom_percent: float = Field(
        default=15.0, gt=0, le=50, description="zoom: largest magnification or reduction about the center, in percent"
    )
    contrast_percent: float = Field(
        default=15.0,
        gt=0,
        le=90,
        description="contrast: largest change of each band's contrast about its mean, in percent",
    )
    brightness_percent: float = Field(
        default=15.0,
        gt=0,
        le=200,
        description="brightness: largest offset of each band, in percent of its standard deviation",
    )
    cutout_percent: float = Field(
        default=25.0,
        gt=0,
        le=100,
        description="cutout: side of the hidden square, in percent of the tile's shorter side",
    )
    mixup_alpha: float = Field(
        default=0.2,
        gt=0,
        le=10,
        description="mixup: shares are drawn from Beta(alpha, alpha); larger values mix more evenly",
    )


def that_fit(names: Iterable[Augmentation], height: int, width: int) -> list[Augmentation]:
    """Return the augmentations that keep the shape of tiles, which quarter turns change if they are not square."""
    return [name for name in names if height == width or name != "quarter_turn"]


def check_augmentation(names: Collection[Augmentation], manifest: Manifest) -> None:
    """Check that the augmentations fit the tiles.

    Raises:
        ParameterError: quarter_turn was given for tiles that are not square.
    """
    remaining = that_fit(names, manifest.height, manifest.width)
    if remaining != list(names):
        raise ParameterError(
            "`augmentation` must not contain quarter_turn if tiles are not square. "
            f"Received: augmentation={list(names)} for tiles of {manifest.height} x {manifest.width} pixels. "
            f"Use augmentation={remaining}."
        )


@dataclass(frozen=True, eq=False)  # hashable, as `tf.function` requires; a manifest is not
class Augmenter:
    """Random augmentation of batches, in a fixed order that does not depend on the order of `names`.

    Each draw depends only on the seed, the augmentation and the tile's index in the batch: adding an augmentation does
    not change the draws of the others, and CPU, GPU and XLA draw the same values. Works in a `tf.data` map and within
    a compiled step. Nodata values are treated like any other value by zoom and mixup.

    Args:
        names: the augmentations; empty leaves the tiles unchanged.
        options: their strengths.
        manifest: description of the tiles; strengths per band are relative to its statistics of the training split.

    Raises:
        ParameterError: an augmentation does not fit the tiles.
    """

    names: tuple[Augmentation, ...]
    options: AugmentationOptions
    manifest: Manifest

    def __post_init__(self) -> None:
        check_augmentation(self.names, self.manifest)

    def __call__(self, images: "tf.Tensor", labels: "tf.Tensor", seed: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        """Augment a batch.

        Args:
            images: tiles, the manifest's dtype, `(batch, height, width, bands)`, static except for the batch.
            labels: one-hot, float32, `(batch, classes)`.
            seed: int64, `(2,)`.

        Returns:
            The tiles, same shape, float32 if an augmentation makes fractions, else in their dtype; and their labels,
            which only mixup changes.
        """
        images = self._transform(images, seed)
        if "zoom" in self.names:
            draws = self._draw("zoom", seed, images, 1)[:, 0]
            images = zoom(images, 1 + signed(draws) * self.options.zoom_percent / 100)
        if "contrast" in self.names or "brightness" in self.names:
            images = self._relight(images, seed)
        if "cutout" in self.names:
            images = self._cut_out(images, seed)
        if "mixup" in self.names:
            return self._mix(images, labels, seed)
        return images, labels

    def _transform(self, images: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
        """Flip, turn and shift, in one gather."""
        transforms: dict[str, tf.Tensor] = {}
        if "flip" in self.names:
            transforms["mirrors"] = self._draw("flip", seed, images, 2) < 0.5
        if "quarter_turn" in self.names:
            transforms["turns"] = integers(4, self._draw("quarter_turn", seed, images, 1)[:, 0])
        if "shift" in self.names:
            sides = (self.manifest.height, self.manifest.width)
            largest = [max(1, round(side * self.options.shift_percent / 100)) for side in sides]
            # From -largest to largest.
            draws = self._draw("shift", seed, images, 2)
            transforms["shifts"] = integers(np.array(largest) * 2 + 1, draws) - largest
        return transform_pixels(images, **transforms) if transforms else images

    def _relight(self, images: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
        """Change the contrast about the mean of the band in the tile, and the brightness, with one draw per band.

        Values are clipped to the range of the band in the training split, as a sensor saturates: the network sees no
        value that cannot occur in use, and no negative reflectance, which would distort spectral indices. Nodata is
        unchanged.
        """
        import tensorflow as tf

        height, width, bands = images.shape[1:]
        # Merge pixels and bands of a row into one axis: TensorFlow broadcasts three times as fast over long axes.
        wide = tf.reshape(tf.cast(images, tf.float32), (-1, height, width * bands))
        nodata = self.manifest.nodata
        valid = None if nodata is None else wide != nodata
        factors, offsets = 1.0, 0.0
        if "contrast" in self.names:
            change = signed(self._draw("contrast", seed, images, bands)) * self.options.contrast_percent / 100
            factors = tf.tile(1 + change, (1, width))[:, None]
            offsets -= change * _band_means(wide, valid, bands)
        if "brightness" in self.names:
            draws = signed(self._draw("brightness", seed, images, bands))
            offsets += draws * self._statistic("std") * self.options.brightness_percent / 100
        relit = wide * factors + tf.tile(offsets, (1, width))[:, None]
        darkest, brightest = (np.tile(self._statistic(name), width) for name in ("minimum", "maximum"))
        relit = tf.minimum(tf.maximum(relit, darkest), brightest)
        if valid is not None:
            relit = tf.where(valid, relit, wide)
        return tf.reshape(relit, (-1, height, width, bands))

    def _cut_out(self, images: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
        """Fill a square with the means of the bands, which normalization turns into 0.

        The center is anywhere in the tile, so the square may extend beyond it: as in the paper, where it mattered that
        some tiles stay mostly visible.
        """
        import tensorflow as tf

        height, width, bands = images.shape[1:]
        side = max(1, round(min(height, width) * self.options.cutout_percent / 100))
        fill = self._statistic("mean")
        if not images.dtype.is_floating:
            fill = np.rint(fill)
        start = integers(np.array([height, width]), self._draw("cutout", seed, images, 2)) - side // 2
        rows, columns = tf.range(height)[None] - start[:, :1], tf.range(width)[None] - start[:, 1:]
        hidden_rows, hidden_columns = ((offset >= 0) & (offset < side) for offset in (rows, columns))
        hidden = hidden_rows[:, :, None] & tf.repeat(hidden_columns, bands, axis=1)[:, None]
        wide = tf.reshape(images, (-1, height, width * bands))
        wide = tf.where(hidden, tf.cast(np.tile(fill, width), images.dtype), wide)
        return tf.reshape(wide, (-1, height, width, bands))

    def _mix(self, images: "tf.Tensor", labels: "tf.Tensor", seed: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        """Mix each tile with the previous one in the batch, which is random since batches are shuffled."""
        import tensorflow as tf

        shares = beta(self.options.mixup_alpha, self._draw("mixup", seed, images, 2))[:, None]

        def mix(own: tf.Tensor) -> tf.Tensor:
            other = tf.roll(own, 1, axis=0)
            return other + (own - other) * shares

        flat = tf.reshape(tf.cast(images, tf.float32), (-1, np.prod(images.shape[1:])))
        return tf.reshape(mix(flat), (-1, *images.shape[1:])), mix(labels)

    def _draw(self, name: Augmentation, seed: "tf.Tensor", images: "tf.Tensor", count: int) -> "tf.Tensor":
        return uniform(seed, get_args(Augmentation).index(name), images, count)

    def _statistic(self, name: Literal["mean", "std", "minimum", "maximum"]) -> NDArray[np.float32]:
        return np.array([getattr(band, name) for band in self.manifest.statistics], np.float32)


def _band_means(wide: "tf.Tensor", valid: "tf.Tensor | None", bands: int) -> "tf.Tensor":
    """Compute the mean of each tile and band without nodata, float32, `(batch, bands)`."""
    import tensorflow as tf

    def mean(values: tf.Tensor) -> tf.Tensor:
        columns = tf.reduce_mean(values, 1)  # rows first: three times as fast as both at once
        return tf.reduce_mean(tf.reshape(columns, (tf.shape(columns)[0], -1, bands)), 1)

    if valid is None:
        return mean(wide)
    return tf.math.divide_no_nan(mean(tf.where(valid, wide, 0)), mean(tf.cast(valid, tf.float32)))
