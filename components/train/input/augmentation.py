"""Changes to training tiles that a class outlives, thrown anew for each tile; never applied to validation tiles.

A tile seen from above has no up: flips and quarter turns are each as good as the tile itself, and exact in any dtype.
The rest bend the tile as the next scene may: another framing (shift), scale (zoom), haze and light (contrast,
brightness), a part hidden (cutout, arXiv:1708.04552), or two tiles in one (mixup, arXiv:1710.09412).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tilepipe.components.shared.contracts.manifest import Dtype, Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.train.input.geometry import lay_down, zoom
from tilepipe.components.train.input.random_draws import below, beta, either_way, throw

if TYPE_CHECKING:
    import tensorflow as tf

# A name's place in the list is part of its seed: new ones go to the end, or those before them throw otherwise.
Augmentation = Literal["flip", "quarter_turn", "shift", "zoom", "contrast", "brightness", "cutout", "mixup"]
_MAKE_FRACTIONS: frozenset[Augmentation] = frozenset({"zoom", "contrast", "brightness", "mixup"})


class AugmentationOptions(StepConfig):
    """How strong each kind of change is; a strength without its name in `augmentation` does nothing."""

    shift_percent: float = Field(
        default=10.0, gt=0, le=50, description="shift: by whole pixels, up to this share of the side, in each direction"
    )
    zoom_percent: float = Field(
        default=15.0, gt=0, le=50, description="zoom: magnified or reduced by up to this, about the centre"
    )
    contrast_percent: float = Field(
        default=15.0, gt=0, le=90, description="contrast: each band stretched or squeezed by up to this about its mean"
    )
    brightness_percent: float = Field(
        default=15.0, gt=0, le=200, description="brightness: each band moved by up to this share of its deviation"
    )
    cutout_percent: float = Field(
        default=25.0, gt=0, le=100, description="cutout: side of the hidden square, as a share of the tile's shorter"
    )
    mixup_alpha: float = Field(
        default=0.2, gt=0, le=10, description="mixup: shares are from Beta(alpha, alpha); larger mixes more evenly"
    )


def check_augmentation(names: Collection[Augmentation], manifest: Manifest) -> None:
    """Refuse what does not fit the tiles.

    Raises:
        ParameterError: quarter turns of tiles that are not square, which would change their shape.
    """
    if "quarter_turn" in names and manifest.height != manifest.width:
        raise ParameterError(
            "`augmentation` must not hold quarter_turn where tiles are not square. "
            f"Received: augmentation={list(names)} for tiles of {manifest.height} x {manifest.width} pixels. "
            f"Use augmentation={[name for name in names if name != 'quarter_turn']}."
        )


def output_dtype(names: Collection[Augmentation], dtype: Dtype) -> Dtype:
    """What tiles of a dtype become: float32 where a change makes fractions, else what they were."""
    return "float32" if _MAKE_FRACTIONS.intersection(names) else dtype


@dataclass(frozen=True, eq=False)  # so that it has a hash, which a manifest has not and `tf.function` needs
class Augmenter:
    """Changes each tile of a batch by chance, in an order of its own: names in any order give the same tiles.

    Every throw is a function of the seed, the kind of change and the tile's place in the batch alone: one kind more
    leaves the others' throws as they are, and a CPU, a GPU and XLA throw the same. Works in a `tf.data` map and within
    a compiled step alike. Nodata take part in zoom and mixup like any number.

    Args:
        names: which kinds of change; none leaves the tiles as they are.
        options: how strong they are.
        manifest: what the tiles are; its statistics, over the training split, say what a strength means in a band.

    Raises:
        ParameterError: the changes do not fit the tiles.
    """

    names: tuple[Augmentation, ...]
    options: AugmentationOptions
    manifest: Manifest

    def __post_init__(self) -> None:
        check_augmentation(self.names, self.manifest)

    @property
    def output_dtype(self) -> Dtype:
        """Dtype of the changed tiles."""
        return output_dtype(self.names, self.manifest.dtype)

    def __call__(self, images: "tf.Tensor", labels: "tf.Tensor", seed: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        """Change a batch.

        Args:
            images: tiles, the manifest's dtype, `(batch, height, width, bands)`; all but the batch is static.
            labels: one-hot, float32, `(batch, classes)`; only mixup looks at them.
            seed: int64, `(2,)`.

        Returns:
            The tiles, `output_dtype`, shape of `images`; and their labels, which only mixup changes.
        """
        images = self._laid_down(images, seed)
        if "zoom" in self.names:
            throws = self._throw("zoom", seed, images, 1)[:, 0]
            images = zoom(images, 1 + either_way(throws) * self.options.zoom_percent / 100)
        if "contrast" in self.names or "brightness" in self.names:
            images = self._relit(images, seed)
        if "cutout" in self.names:
            images = self._cut_out(images, seed)
        if "mixup" in self.names:
            return self._mixed(images, labels, seed)
        return images, labels

    def _laid_down(self, images: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
        """Flips, quarter turns and shifts, in one go."""
        ways: dict[str, tf.Tensor] = {}
        if "flip" in self.names:
            ways["mirrors"] = self._throw("flip", seed, images, 2) < 0.5
        if "quarter_turn" in self.names:
            ways["turns"] = below(4, self._throw("quarter_turn", seed, images, 1)[:, 0])
        if "shift" in self.names:
            sides = (self.manifest.height, self.manifest.width)
            most = [max(1, round(side * self.options.shift_percent / 100)) for side in sides]
            # From as far one way to as far the other.
            ways["shifts"] = below(np.array(most) * 2 + 1, self._throw("shift", seed, images, 2)) - most
        return lay_down(images, **ways) if ways else images

    def _relit(self, images: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
        """Contrast about the mean that the band has in the tile, and brightness, each band by its own throw.

        Kept within what the band shows in the training split, as a sensor saturates: the network meets no digital
        number that it could not meet in use, and no reflectance below 0, which would send a spectral index anywhere.
        Nodata stays nodata.
        """
        import tensorflow as tf

        height, width, bands = images.shape[1:]
        # A row's pixels and bands on one axis: TensorFlow's broadcasts are three times as fast over long axes.
        wide = tf.reshape(tf.cast(images, tf.float32), (-1, height, width * bands))
        nodata = self.manifest.nodata
        valid = None if nodata is None else wide != nodata
        factors, offsets = 1.0, 0.0
        if "contrast" in self.names:
            throws = either_way(self._throw("contrast", seed, images, bands))
            change = throws * self.options.contrast_percent / 100
            factors = tf.tile(1 + change, (1, width))[:, None]
            offsets -= change * _band_means(wide, valid, bands)
        if "brightness" in self.names:
            throws = either_way(self._throw("brightness", seed, images, bands))
            offsets += throws * self._statistic("std") * self.options.brightness_percent / 100
        relit = wide * factors + tf.tile(offsets, (1, width))[:, None]
        darkest, brightest = (np.tile(self._statistic(name), width) for name in ("minimum", "maximum"))
        relit = tf.minimum(tf.maximum(relit, darkest), brightest)
        if valid is not None:
            relit = tf.where(valid, relit, wide)
        return tf.reshape(relit, (-1, height, width, bands))

    def _cut_out(self, images: "tf.Tensor", seed: "tf.Tensor") -> "tf.Tensor":
        """A square filled with the bands' means, which standardising turns into 0.

        Its centre is anywhere in the tile, so that the square may reach beyond it: as in the paper, where it mattered
        that some tiles keep most of what they show.
        """
        import tensorflow as tf

        height, width, bands = images.shape[1:]
        side = max(1, round(min(height, width) * self.options.cutout_percent / 100))
        fill = self._statistic("mean")
        if not images.dtype.is_floating:
            fill = np.rint(fill)
        start = below(np.array([height, width]), self._throw("cutout", seed, images, 2)) - side // 2
        rows, columns = tf.range(height)[None] - start[:, :1], tf.range(width)[None] - start[:, 1:]
        hidden_rows, hidden_columns = ((place >= 0) & (place < side) for place in (rows, columns))
        hidden = hidden_rows[:, :, None] & tf.repeat(hidden_columns, bands, axis=1)[:, None]
        wide = tf.reshape(images, (-1, height, width * bands))
        wide = tf.where(hidden, tf.cast(np.tile(fill, width), images.dtype), wide)
        return tf.reshape(wide, (-1, height, width, bands))

    def _mixed(self, images: "tf.Tensor", labels: "tf.Tensor", seed: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        """Each tile with the one before it in the batch, which is a random one since batches are shuffled."""
        import tensorflow as tf

        shares = beta(self.options.mixup_alpha, self._throw("mixup", seed, images, 2))[:, None]

        def mix(own: tf.Tensor) -> tf.Tensor:
            other = tf.roll(own, 1, axis=0)
            return other + (own - other) * shares

        flat = tf.reshape(tf.cast(images, tf.float32), (-1, np.prod(images.shape[1:])))
        return tf.reshape(mix(flat), (-1, *images.shape[1:])), mix(labels)

    def _throw(self, name: Augmentation, seed: "tf.Tensor", images: "tf.Tensor", count: int) -> "tf.Tensor":
        return throw(seed, get_args(Augmentation).index(name), images, count)

    def _statistic(self, name: Literal["mean", "std", "minimum", "maximum"]) -> NDArray[np.float32]:
        return np.array([getattr(band, name) for band in self.manifest.statistics], np.float32)


def _band_means(wide: "tf.Tensor", valid: "tf.Tensor | None", bands: int) -> "tf.Tensor":
    """Mean of each tile and band over what is not nodata, float32, `(batch, bands)`."""
    import tensorflow as tf

    def mean(values: tf.Tensor) -> tf.Tensor:
        columns = tf.reduce_mean(values, 1)  # rows first: three times as fast as both at once
        return tf.reduce_mean(tf.reshape(columns, (tf.shape(columns)[0], -1, bands)), 1)

    if valid is None:
        return mean(wide)
    return tf.math.divide_no_nan(mean(tf.where(valid, wide, 0)), mean(tf.cast(valid, tf.float32)))
