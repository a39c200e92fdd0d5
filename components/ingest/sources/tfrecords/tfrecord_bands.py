"""The features of TFRecords that hold pixels, and their dtype and shape if several readings are possible.

Raw bytes state no dtype: float32 of 32x32 pixels has as many bytes as uint8 of 64x64. Features beside the pixels, or
the user, decide; otherwise the values must leave one reading only.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from tilepipe.components.ingest.config import RecordDtype
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.shared.contracts.bands import canonical_band
from tilepipe.components.shared.contracts.tile_table import ENCODED, RecordFeature
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.records.example import Values

Features = Mapping[str, Values]

RECORD_DTYPES: tuple[str, ...] = get_args(RecordDtype)
"""Dtypes that raw bytes can be declared to have; `pack` converts the last three without loss or refuses."""

_BAND = re.compile(r"B(\d+)(A?)", re.IGNORECASE)
_IMAGES = ("image/encoded", "image", "image_raw", "image/raw", "img")
_HEIGHTS, _WIDTHS = ("height", "image/height", "rows"), ("width", "image/width", "cols")
_DEPTHS = ("depth", "channels", "image/channels", "image/depth")
_DTYPE_NAMES = ("dtype", "image/dtype")
_ENCODED = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|BM|RIFF....WEBP|II[*+]\0|MM\0[*+]", re.DOTALL)
_SIGN_BIT = 0x8000
_LARGEST_EXACT = 2**24
"""float32 represents every integer up to it."""
_SMALLEST, _LARGEST = 1e-10, 1e10
"""Range of the magnitudes of measurements; arbitrary bytes read as floats are soon outside it."""


@dataclass
class _Band:
    """The possible readings of one feature, according to the records so far."""

    name: str
    bands: int
    readings: dict[str, tuple[int, int]]
    """Dtype -> height and width."""
    is_stated: bool
    kind: type
    size: int
    has_sign_bit: bool = False
    lowest: int = 0
    highest: int = 0

    def observe(self, values: Values) -> None:
        if self.kind is int:
            numbers = [value for value in values if isinstance(value, int)]
            self.lowest, self.highest = min(self.lowest, *numbers), max(self.highest, *numbers)
        if self.is_stated or self.kind is not bytes or len(values) != 1 or not isinstance(values[0], bytes):
            return
        data = values[0]
        if len(data) != self.size or not any(data):
            return
        for dtype in list(self.readings):
            if dtype == "uint16":
                self.has_sign_bit |= bool((np.frombuffer(data, "<u2") & _SIGN_BIT).any())
            elif not _is_plausible(data, dtype):
                del self.readings[dtype]

    def feature(self) -> RecordFeature:
        if self.kind is int and not self.is_stated:
            dtype = _smallest_dtype(self.name, self.lowest, self.highest)
            return self._of(dtype, *next(iter(self.readings.values())))
        each = [f"{height}x{width} {dtype}" for dtype, (height, width) in self.readings.items()]
        if "uint16" in self.readings and self.has_sign_bit and not self.is_stated:
            height, width = self.readings["uint16"]
            each.append(f"{height}x{width} int16")
        if len(each) != 1:
            raise SourceError(
                "The bytes of a band must have one reading. Received: the feature "
                f"{self.name} with {self.size} bytes, which may be {' or '.join(each) or 'of no dtype that is read'}. "
                "State dtype and size, such as "
                f"{argument('options', {'record_dtype': 'float32', 'record_shape': [64, 64]})}."
            )
        [(dtype, (height, width))] = self.readings.items()
        return self._of(dtype, height, width)

    def _of(self, dtype: str, height: int, width: int) -> RecordFeature:
        return RecordFeature(name=self.name, dtype=dtype, height=height, width=width, bands=self.bands)


@dataclass
class RecordLayout:
    """The features with pixels, found in a first record and checked against all others."""

    names: tuple[str, ...]
    """Names of the bands; empty if one feature holds all bands."""
    encoded: str = ""
    """Name of the feature with an encoded image; empty if there is none."""
    _bands: list[_Band] = field(default_factory=list)

    def observe(self, features: Features) -> None:
        """Rule out the readings that a record contradicts."""
        for band in self._bands:
            if band.name in features:
                band.observe(features[band.name])

    def features(self) -> tuple[RecordFeature, ...]:
        """Return the features for `pack`.

        Raises:
            SourceError: if the bytes of a band have several readings.
        """
        if self.encoded:
            return (RecordFeature(name=self.encoded, dtype=ENCODED, height=0, width=0),)
        whole = [band for band in self._bands if band.kind is int and not band.is_stated]
        lowest, highest = min((b.lowest for b in whole), default=0), max((b.highest for b in whole), default=0)
        for band in whole:  # the bands of a tile have one dtype
            band.lowest, band.highest = lowest, highest
        return tuple(band.feature() for band in self._bands)


def find_layout(
    features: Features, source_bands: Sequence[str], shape: Sequence[int], dtype: str | None
) -> RecordLayout:
    """Find the features with pixels in a record.

    Args:
        features: the record.
        source_bands: names of the bands given by the user: of features, or of the channels of one image.
        shape: height and width given by the user; empty for none.
        dtype: dtype given by the user, or None.

    Returns:
        The layout; it has yet to observe the record.

    Raises:
        SourceError: if no feature holds pixels, or none of such a length.
    """
    spelled = {canonical_band(name): name for name in sorted(features)}
    named = [band if band in features else spelled.get(band, "") for band in source_bands]
    if not (named and all(named)):
        found = {name: match for name in features if (match := _BAND.fullmatch(name))}
        if not found and (whole := _whole_image(features, shape, dtype)):
            return whole
        if named:
            missing = [band for band, name in zip(source_bands, named, strict=True) if not name]
            raise SourceError(
                f"Each of data_source_bands must be a feature. Received: {joined(missing)}, and the features are "
                f"{joined(features)}."
            )
        if not found:
            raise SourceError(
                "Records must hold each band as a feature of bytes or numbers named B1, B2 and so on, or one encoded "
                f"image. Received: the features {joined(features)}. Name the features of the bands, such as "
                f"{argument('source_bands', ['B2', 'B3', 'B4'])}."
            )
        named = sorted(found, key=lambda name: (int(found[name][1]), found[name][2], name))
    return RecordLayout(tuple(named), _bands=[_band(name, features, shape, dtype) for name in named])


def _whole_image(features: Features, shape: Sequence[int], dtype: str | None) -> RecordLayout | None:
    """Find one feature with all bands: an encoded image, or raw pixels with a feature for the depth."""
    single = {name: values[0] for name, values in features.items() if len(values) == 1 and isinstance(values[0], bytes)}
    encoded = [name for name, value in single.items() if _ENCODED.match(value)]
    preferred = [name for name in _IMAGES if name in encoded]
    if preferred or len(encoded) == 1:
        return RecordLayout((), (preferred or encoded)[0])
    raw = [name for name in _IMAGES if name in single]
    depth = _beside(features, _DEPTHS)
    if not raw or depth is None:
        return None
    return RecordLayout((), _bands=[_band(raw[0], features, shape, dtype, depth)])


def _band(name: str, features: Features, shape: Sequence[int], dtype: str | None, depth: int = 1) -> _Band:
    values = features[name]
    beside = _beside(features, _HEIGHTS), _beside(features, _WIDTHS)
    size = tuple(shape) or (beside if None not in beside else ())
    stated = dtype or _stated_dtype(features)
    kind = type(values[0]) if values else bytes
    if (kind is bytes) != (len(values) == 1):
        raise SourceError(
            f"The feature of a band must be a single value of bytes, or a list of numbers. Received: the feature "
            f"{name} with {len(values)} values{f' ({kind.__name__})' if values else ''}. "
            "Remove it from data_source_bands."
        )
    if kind is bytes:
        length = len(values[0])  # type: ignore[arg-type] # the branch says so
        dtypes = [stated] if stated else ["uint8", "uint16", "float32", "int32", "float64"]
        fitting = {one: _size(length, np.dtype(one).itemsize * depth, size) for one in dtypes}
    else:
        length = len(values)
        fitting = {stated or "float32": _size(length, depth, size)}
    readings = {one: found for one, found in fitting.items() if found is not None}
    if not readings or not length:
        raise SourceError(_wrong_length(name, length, "bytes" if kind is bytes else "values", shape or size))
    return _Band(name, depth, readings, stated is not None, kind, length)


def _wrong_length(name: str, length: int, unit: str, shape: Sequence[int | None]) -> str:
    return (
        "The feature of a band must have 1 (uint8), 2 (uint16) or 4 (float32) bytes per pixel, or one number. "
        f"Received: the feature {name} with {length} {unit}, and data_options.record_shape is "
        f"{list(shape) or 'not given, which requires square images'}. Set height and width, such as "
        f"{argument('options', {'record_shape': [64, 64]})}."
    )


def _size(length: int, item: int, shape: Sequence[int | None]) -> tuple[int, int] | None:
    """Return height and width of an image of that length, square unless stated; None if it does not fit."""
    if shape:
        height, width = (side or 0 for side in shape)
        return (height, width) if height * width * item == length else None
    side = math.isqrt(length // item)
    return (side, side) if side**2 * item == length else None


def _beside(features: Features, names: Sequence[str]) -> int | None:
    for name in names:
        values = features.get(name)
        if values and len(values) == 1 and isinstance(values[0], int | float) and values[0] >= 1:
            return int(values[0])
    return None


def _stated_dtype(features: Features) -> str | None:
    for name in _DTYPE_NAMES:
        values = features.get(name)
        if not values or len(values) != 1 or not isinstance(values[0], bytes):
            continue
        text = values[0].decode(errors="replace")
        try:
            dtype = np.dtype(text)
        except TypeError:
            dtype = np.dtype("V1")
        if dtype.name not in RECORD_DTYPES or dtype.newbyteorder("<") != dtype:
            raise SourceError(
                f"The feature {name} must be one of {', '.join(RECORD_DTYPES)}, little-endian. Received: {text!r}."
            )
        return dtype.name
    return None


def _is_plausible(data: bytes, dtype: str) -> bool:
    """Check whether bytes can be numbers of a dtype: any byte is a uint8, but few are floats of a usual magnitude."""
    if dtype == "uint8":
        return True
    values = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))
    if dtype == "int32":
        return bool((np.abs(values.astype(np.int64)) <= _LARGEST_EXACT).all())
    with np.errstate(invalid="ignore"):
        sizes = np.abs(values[np.isfinite(values)].astype(np.float64))
        infinite = np.isinf(values).any()
    return not infinite and bool(((sizes == 0) | ((sizes > _SMALLEST) & (sizes < _LARGEST))).all())


def _smallest_dtype(name: str, lowest: int, highest: int) -> str:
    for dtype in ("uint8", "uint16", "int16"):
        if np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max:
            return dtype
    if max(-lowest, highest) <= _LARGEST_EXACT:
        return "float32"
    raise SourceError(
        f"A band must hold numbers that float32 can represent. Received: the feature {name} with {lowest} to {highest}."
    )
