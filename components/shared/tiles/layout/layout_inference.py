"""Inference of the common layout of tiles from a sample of them."""

import functools
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tilepipe.components.shared.contracts.tile_table import RecordFeature, TileTableInfo
from tilepipe.components.shared.errors import BandError, ParameterError, TileError
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.sizes import MEBIBYTE
from tilepipe.components.shared.tiles.assemble import masks
from tilepipe.components.shared.tiles.bands.identity import check_band_identity
from tilepipe.components.shared.tiles.bands.order import file_bands, select
from tilepipe.components.shared.tiles.cache.cache import CachedReader, TileCache
from tilepipe.components.shared.tiles.channels import CHANNEL_COUNTS
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions
from tilepipe.components.shared.tiles.picture import Mask, Pixels, Scaling
from tilepipe.components.shared.tiles.reader import Layout, Rejected, Tile, bounded_content, fetch, finest
from tilepipe.components.shared.tiles.validity import ValidityRules, has_remote_sidecar

logger = logging.getLogger("tilepipe.tiles")


class NoUsableTileError(TileError):
    """None of the sampled tiles can be used.

    Args:
        message: the message.
        rejected: all sampled tiles, with their reasons.
    """

    def __init__(self, message: str, rejected: Sequence[Rejected]) -> None:
        super().__init__(message)
        self.rejected = tuple(rejected)


def infer_layout(
    sample: Sequence[Tile],
    info: TileTableInfo,
    bands: tuple[str, ...],
    options: ReadingOptions,
    cache: TileCache | None = None,
) -> Layout:
    """Infer the layout of all tiles from a sample: the most common shape and dtype, and the band names.

    Args:
        sample: some of the tiles.
        info: metadata of the tile table.
        bands: names of the bands to keep, in order; empty keeps all.
        options: settings of the reading.
        cache: cache of fetched tiles. Defaults to None, no cache.

    Returns:
        The layout that every tile must have.

    Raises:
        NoUsableTileError: if none of the sampled tiles can be used.
        BandError: if the bands have no names, if an unknown band is requested, if the selected bands differ in dtype,
            or if the pixels contradict the names.
        ParameterError: if `nodata_fill` cannot be represented in the dtype of the tiles.
    """
    info, rules = _rules(info, bands, options)
    count = CHANNEL_COUNTS[options.channels] or len(info.bands)
    probe = functools.partial(probe_tile, features=info.record_features, cache=cache, rules=rules, bands=count)
    results = list(map_in_order(probe, sample, threads=options.readers))
    probes = [one for one in results if isinstance(one, TileProbe)]
    if not probes:
        rejected = [tile for tile in results if isinstance(tile, Rejected)]
        reasons = "".join(
            f"\n  {each.tile.tile_id} ({storage.shown(each.tile.uri)}): {each.reason}" for each in rejected[:3]
        )
        raise NoUsableTileError(
            f"Tiles must be readable. Received: {len(results)} tiles, none of which can be used:{reasons}", rejected
        )
    kind = Counter(one.kind(any_size=bool(options.tile_size)) for one in probes).most_common(1)[0][0]
    alike = [one for one in probes if one.kind(any_size=bool(options.tile_size)) == kind]
    descriptions = Counter(one.descriptions for one in alike).most_common(1)[0][0]
    convention = "uint8" if options.channels else alike[0].dtypes[0]
    order = file_bands(info, len(alike[0].dtypes), convention, descriptions)
    keep = select(order, bands)
    # Bands of 8 bits have been stretched independently, so the ratios between them carry no information.
    if options.check_band_identity and alike[0].dtypes[0] != "uint8":
        whole = [one.means for one in alike if np.isfinite(one.means).all()]
        if whole:
            check_band_identity(order, np.array(whole))
    dtypes = [alike[0].dtypes[place] for place in keep]
    if len(set(dtypes)) > 1:
        each = ", ".join(f"{order.names[place]} {dtype}" for place, dtype in zip(keep, dtypes, strict=True))
        raise BandError(
            f"The selected bands must have the same dtype. Received: {each}. "
            "Select bands of one dtype with data_bands=[...]."
        )
    has_masks = options.fit == "pad" or any(one.has_mask for one in alike)
    stated = [one.nodata[place] for one in alike for place in keep]
    nodata = _packed_nodata(options, dtypes[0], stated, has_masks=has_masks)
    _warn_of_unstated_nodata(alike, nodata)
    if options.nodata is None:
        _warn_of_overruled_nodata(alike, rules.nodata)
    height, width = options.tile_size or finest([alike[0].sizes[place] for place in keep])
    return Layout(
        (height, width, len(order.names)),
        dtypes[0],
        order,
        keep,
        info.record_features,
        bool(options.tile_size),
        options.resampling,
        nodata,
        options.max_nodata_percent,
        replace(rules, has_sidecars=any(one.has_remote_sidecar for one in alike)),
        options.fit,
        _common_scaling(alike, keep, allow_mixed=options.allow_mixed_scaling),
    )


def _common_scaling(
    probes: Sequence["TileProbe"], keep: Sequence[int], *, allow_mixed: bool
) -> tuple[Scaling, ...] | None:
    """Return what most tiles state as scale and offset; None if any is accepted."""
    counts = Counter(one.scaling for one in probes)
    scaling = counts.most_common(1)[0][0]
    if allow_mixed:
        if len(counts) > 1:
            logger.warning(
                "of %d inspected tiles, only %d state the same scale and offset", len(probes), counts[scaling]
            )
        return None
    return scaling if len(scaling) == 1 else tuple(scaling[place] for place in keep)


def _rules(info: TileTableInfo, bands: tuple[str, ...], options: ReadingOptions) -> tuple[TileTableInfo, ValidityRules]:
    """Combine the statements of the tile table and of the user about validity; a band named alpha does not count."""
    alpha = options.alpha
    if info.bands and info.bands[-1].lower() == "alpha" and alpha != "band":
        if alpha == "auto" and info.bands[-1] in bands:
            alpha = "band"
        else:
            info, alpha = info.model_copy(update={"bands": info.bands[:-1]}), "mask"
    stated = tuple(None if number is None else float(number) for number in info.nodata)
    nodata = stated if options.nodata is None else (float(options.nodata),)
    return info, ValidityRules(
        alpha,
        nodata,
        channels=options.channels,
        max_bytes=options.max_tile_mebibytes * MEBIBYTE,
        scaling=info.scaling,
    )


def _packed_nodata(
    options: ReadingOptions, dtype: str, stated: Sequence[float | None], *, has_masks: bool
) -> float | None:
    """Choose one nodata value for all tiles: the user's, else the most common one of the files, with 0 for NaN.

    Masks and alpha channels state no number, so that 0 is used for them too.
    """
    if options.nodata_fill is not None:
        fill = options.nodata_fill
        limits = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else np.finfo(dtype)
        if not limits.min <= fill <= limits.max or (np.dtype(dtype).kind != "f" and not fill.is_integer()):
            raise ParameterError(
                f"`nodata_fill` must be a number that {dtype}, the dtype of the tiles, can represent. "
                f"Received: nodata_fill={fill:g}."
            )
        return fill
    counts = Counter("nan" if math.isnan(number) else number for number in stated if number is not None)
    if not counts:
        return 0.0 if has_masks else None
    number = float(counts.most_common(1)[0][0])
    return number if math.isfinite(number) else 0.0


@dataclass(frozen=True)
class TileProbe:
    """Properties of one sampled tile; all fields but `descriptions` have one entry per band."""

    sizes: tuple[tuple[int, int], ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    means: tuple[float, ...]
    """Mean of the valid pixels; NaN if the whole band is nodata."""
    descriptions: tuple[str, ...]
    has_mask: bool = False
    """True if a mask or an alpha channel leaves out pixels."""
    has_remote_sidecar: bool = False
    scaling: tuple[Scaling, ...] = ()
    """Scale and offset that each file states."""
    extremes: frozenset[float] = frozenset()
    """Lowest and highest number of each band without a stated nodata value."""

    def kind(self, *, any_size: bool) -> tuple[object, ...]:
        """Return the properties that must be equal in all tiles: the dtypes and, unless `any_size`, the sizes."""
        return (self.dtypes,) if any_size else (self.sizes, self.dtypes)


def probe_tile(
    tile: Tile, features: Sequence[RecordFeature], cache: TileCache | None, rules: ValidityRules, bands: int
) -> TileProbe | Rejected:
    """Read one tile and return its properties, or the reason why it cannot be used."""
    has_sidecar = tile.member is None and tile.offset is None and has_remote_sidecar(tile.uri)
    rules = replace(rules, has_sidecars=has_sidecar)
    read = bounded_content(rules.max_bytes)
    reader = None if cache is None else CachedReader(cache, read)
    try:
        pictures, _ = fetch(tile, features, read=reader or read, rules=rules, bands=bands or None)
        valid = masks(pictures)
    except TileError as error:
        return Rejected(tile, str(error))
    if reader:
        reader.keep()
    per_band = [(one, band) for one in pictures for band in range(one.pixels.shape[-1])]
    means = [mean for one, mask in zip(pictures, valid, strict=True) for mean in _means(one.pixels, mask)]
    return TileProbe(
        tuple((one.pixels.shape[0], one.pixels.shape[1]) for one, _ in per_band),
        tuple(one.pixels.dtype.name for one, _ in per_band),
        tuple(one.nodata for one, _ in per_band),
        tuple(means),
        pictures[0].descriptions if len(pictures) == 1 else (),
        any(one.valid is not None for one in pictures),
        has_sidecar,
        tuple(one.scaling for one in pictures),
        frozenset(
            float(extreme)
            for one in pictures
            if one.nodata is None and one.valid is None
            for extreme in (one.pixels.min(), one.pixels.max())
        ),
    )


def _warn_of_unstated_nodata(probes: Sequence["TileProbe"], nodata: float | None) -> None:
    """Warn if the number that marks nodata in some files is the lowest or highest number of files that state none."""
    holding = sum(nodata in one.extremes for one in probes)
    if nodata is not None and holding and any(nodata in one.nodata for one in probes):
        logger.warning(
            "of %d inspected tiles, %d state no nodata value but hold %g, which other files state as theirs; there it "
            "counts as pixels. If it is nodata, set pack_options='{\"nodata\": %g}'",
            len(probes),
            holding,
            nodata,
            nodata,
        )


def _warn_of_overruled_nodata(probes: Sequence["TileProbe"], stated: Sequence[float | None]) -> None:
    """Warn if files state another nodata value than the source does, whose numbers then count as pixels."""
    for one in probes:
        of_source = [stated[0]] * len(one.nodata) if len(stated) == 1 else stated
        for own, other in zip(one.nodata, of_source, strict=False):
            if own is not None and other is not None and own != other and not (math.isnan(own) or math.isnan(other)):
                logger.warning(
                    "files state the nodata value %g, but their source %g, which counts as pixels: correct one of them",
                    own,
                    other,
                )
                return


def _means(pixels: Pixels, valid: Mask | None) -> list[float]:
    if valid is None:
        means: list[float] = pixels.mean(axis=(0, 1), dtype=np.float64).tolist()
        return means
    counts = valid.sum(axis=(0, 1))
    sums = np.where(valid, pixels, 0).sum(axis=(0, 1), dtype=np.float64)
    return [float(total / count) if count else math.nan for total, count in zip(sums, counts, strict=True)]
