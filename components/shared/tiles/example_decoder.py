"""Decode the bands, or the image with all bands, in the features of a `tf.train.Example`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.tile_table import ENCODED, RecordFeature
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.records.example import Values, parse_example
from tilepipe.components.shared.records.frames import unframe
from tilepipe.components.shared.storage.sizes import MAX_BYTES
from tilepipe.components.shared.tiles.decode import DTYPES, Shape, decode
from tilepipe.components.shared.tiles.narrow import narrowed
from tilepipe.components.shared.tiles.picture import Picture

_READ = (*DTYPES, "int32", "uint32", "float64")


def decode_record(framed: bytes, features: Sequence[RecordFeature]) -> list[Picture]:
    """Decode bands from a record.

    Args:
        framed: one framed record; both checksums are verified.
        features: the features to decode, with their dtypes and sizes.

    Returns:
        One single-band picture per feature, little-endian.

    Raises:
        TileError: if the record is damaged, or if a feature is missing or has another type or size; the message is
            the reason for the quarantine table.
    """
    example = _parsed(framed)
    return [_picture(feature, example.get(feature.name)) for feature in features]


def decode_image(
    framed: bytes, feature: RecordFeature, expected_shape: Shape | None = None, max_bytes: int = MAX_BYTES
) -> Picture:
    """Decode an image with all bands from a record.

    Args:
        framed: one framed record; both checksums are verified.
        feature: the feature with the image, encoded as JPEG, PNG and so on, or as raw bytes.
        expected_shape: required shape of an encoded image. Defaults to None, any.
        max_bytes: largest size of the pixels of an encoded image. Defaults to `MAX_BYTES`.

    Raises:
        TileError: if the record or the image is damaged, or if the feature is missing or has another type or size.
    """
    if feature.dtype != ENCODED:
        return decode_record(framed, [feature])[0]
    return decode(_only_bytes(feature, _parsed(framed).get(feature.name)), expected_shape, max_bytes)


def _parsed(framed: bytes) -> dict[str, Values]:
    try:
        return parse_example(unframe(framed))
    except ValueError as error:
        raise TileError(f"it does not decode: {error}") from error


def _only_bytes(feature: RecordFeature, values: Sequence[object] | None) -> bytes:
    if values is None or len(values) != 1 or not isinstance(values[0], bytes):
        raise TileError(f"its feature {feature.name} is not an image: {_held(values)}")
    return values[0]


def _picture(feature: RecordFeature, values: Sequence[object] | None) -> Picture:
    if feature.dtype not in _READ:
        raise TileError(f"its feature {feature.name} is {feature.dtype}, which is none of {', '.join(_READ)}")
    dtype = np.dtype(feature.dtype).newbyteorder("<")
    if values and len(values) > 1 and isinstance(values[0], int | float):
        return _of_numbers(feature, values)
    content = _only_bytes(feature, values)
    wanted = feature.height * feature.width * feature.bands * dtype.itemsize
    if len(content) != wanted:
        raise TileError(
            f"its feature {feature.name} has {len(content):,} bytes, but {feature.height}x{feature.width} "
            f"pixels of {feature.dtype} have {wanted:,}"
        )
    return _as_picture(feature, np.frombuffer(content, dtype))


def _of_numbers(feature: RecordFeature, values: Sequence[object]) -> Picture:
    """Read a list of floats or of integers, as Earth Engine writes bands."""
    wanted = feature.height * feature.width * feature.bands
    if len(values) != wanted:
        raise TileError(
            f"its feature {feature.name} is not an image: {_held(values)}, but {feature.height}x{feature.width} "
            f"pixels have {wanted:,}"
        )
    numbers = np.array(values, np.int64 if isinstance(values[0], int) else np.float32)
    pixels = numbers.astype(np.dtype(feature.dtype).newbyteorder("<"))
    if not np.array_equal(pixels, numbers, equal_nan=numbers.dtype.kind == "f"):
        raise TileError(f"its feature {feature.name} holds numbers that {feature.dtype} cannot represent")
    return _as_picture(feature, pixels)


def _as_picture(feature: RecordFeature, pixels: npt.NDArray[np.generic]) -> Picture:
    picture = Picture(pixels.reshape(feature.height, feature.width, feature.bands))
    return picture if feature.dtype in DTYPES else narrowed(picture)


def _held(values: Sequence[object] | None) -> str:
    if not values:
        return "it is missing" if values is None else "it is empty"
    kind = {bytes: "byte string", int: "integer", float: "float"}.get(type(values[0]), "value")
    return f"it is {len(values)} {kind}{'s' if len(values) != 1 else ''}"
