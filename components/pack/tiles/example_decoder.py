"""Decode the bands in the features of a `tf.train.Example`."""

from collections.abc import Sequence

import numpy as np

from tilepipe.components.pack.tiles.decode import DTYPES, Picture
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.records.example import parse_example
from tilepipe.components.shared.records.frames import unframe


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
    try:
        example = parse_example(unframe(framed))
    except ValueError as error:
        raise TileError(f"it does not decode: {error}") from error
    return [_picture(feature, example.get(feature.name)) for feature in features]


def _picture(feature: RecordFeature, values: Sequence[object] | None) -> Picture:
    if feature.dtype not in DTYPES:
        raise TileError(f"its feature {feature.name} is {feature.dtype}, which is none of {', '.join(DTYPES)}")
    dtype = np.dtype(feature.dtype).newbyteorder("<")
    if values is None or len(values) != 1 or not isinstance(values[0], bytes):
        raise TileError(f"its feature {feature.name} is not an image: {_held(values)}")
    wanted = feature.height * feature.width * dtype.itemsize
    if len(values[0]) != wanted:
        raise TileError(
            f"its feature {feature.name} has {len(values[0]):,} bytes, but {feature.height}x{feature.width} "
            f"pixels of {feature.dtype} have {wanted:,}"
        )
    return Picture(np.frombuffer(values[0], dtype).reshape(feature.height, feature.width, 1))


def _held(values: Sequence[object] | None) -> str:
    if not values:
        return "it is missing" if values is None else "it is empty"
    kind = {bytes: "byte string", int: "integer", float: "float"}.get(type(values[0]), "value")
    return f"it is {len(values)} {kind}{'s' if len(values) != 1 else ''}"
