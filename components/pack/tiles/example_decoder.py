"""From a TFRecord of a `tf.train.Example` to the bands in its features."""

from collections.abc import Sequence

import numpy as np

from tilepipe.components.pack.tiles.decode import DTYPES, Picture
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.records.example import parse_example
from tilepipe.components.shared.records.frames import unframe


def decode_record(framed: bytes, features: Sequence[RecordFeature]) -> list[Picture]:
    """Take bands out of a record.

    Args:
        framed: one record with its framing; both checksums are verified.
        features: which features to take, and what they hold.

    Returns:
        A picture of one band for each feature, little-endian.

    Raises:
        TileError: the record is damaged, or a feature is missing or other than stated; the message is a reason alone.
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
        raise TileError(f"its feature {feature.name} holds no picture: {_held(values)}")
    wanted = feature.height * feature.width * dtype.itemsize
    if len(values[0]) != wanted:
        raise TileError(
            f"its feature {feature.name} has {len(values[0]):,} bytes, where {feature.height}x{feature.width} "
            f"pixels of {feature.dtype} have {wanted:,}"
        )
    return Picture(np.frombuffer(values[0], dtype).reshape(feature.height, feature.width, 1))


def _held(values: Sequence[object] | None) -> str:
    if not values:
        return "it is not there" if values is None else "it is empty"
    kind = {bytes: "text", int: "whole number", float: "float"}.get(type(values[0]), "value")
    return f"it is {len(values)} {kind}{'s' if len(values) != 1 else ''}"
