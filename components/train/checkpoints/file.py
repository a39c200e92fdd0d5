"""File format of checkpoints, self-describing and with a checksum.

    magic | XXH3-128 of all that follows | length of header | header (JSON) | values of each array, in header order

Never pickle: files at an address may come from anybody, and reading them must not execute code.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tilepipe.components.shared.errors import ArtifactError, ParameterError

Arrays = Mapping[str, npt.NDArray[Any]]

MAX_FILE_BYTES = 5 * 2**30
"""Limit of a single S3 PUT, which makes writes atomic."""
MAX_HEADER_BYTES = 16 * 2**20

_MAGIC = b"TPCKPT01"
_PREAMBLE = struct.Struct("<8s16s")
_LENGTH = struct.Struct("<I")
_Dtype = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bfloat16", "float16", "float32", "float64",
]  # fmt: skip
_Size = Annotated[int, Field(ge=0, lt=2**40)]


@dataclass(frozen=True)
class State:
    """State of a training, sufficient to resume it exactly.

    The arrays are written later by another thread, so they are made read-only: a later change raises an error instead
    of corrupting a checkpoint. Only views of other memory are copied (`owned`).
    """

    arrays: Arrays
    """Variables of model, optimizer and metrics by name, of any Keras dtype."""
    best: Arrays = field(default_factory=dict)
    """Weights of the best epoch, empty if there is none yet; written only when they have changed."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON: epoch, step, history and similar. Tuples are restored as lists, keys as strings."""

    @property
    def bytes(self) -> int:
        """Size of the arrays in bytes."""
        return sum(array.nbytes for arrays in (self.arrays, self.best) for array in arrays.values())


class _Array(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(max_length=1000)
    dtype: _Dtype
    shape: Annotated[tuple[_Size, ...], Field(max_length=32, strict=False)]


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """Identifier of the training."""
    arrays: tuple[_Array, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Encoded:
    """A file to be written, without a copy of the arrays."""

    parts: Sequence[bytes | memoryview]
    digest: str
    """XXH3-128 of the content, in hexadecimal."""

    @property
    def bytes(self) -> int:
        """Size of the file in bytes."""
        return sum(len(part) for part in self.parts)


def owned(state: State) -> State:
    """Protect a state from later changes: copy facts and views of other memory, and make all arrays read-only.

    Args:
        state: any state.

    Returns:
        An equal state.

    Raises:
        ParameterError: an array has a dtype that no Keras variable has.
        TypeError: the facts are not JSON.
    """
    arrays, best = (
        {name: _owned(name, array) for name, array in group.items()} for group in (state.arrays, state.best)
    )
    return State(arrays, best, json.loads(json.dumps(dict(state.facts))))


def encode(key: str, arrays: Arrays, facts: Mapping[str, Any]) -> Encoded:
    """Encode arrays and facts as a file.

    Args:
        key: identifier of the training.
        arrays: arrays of a state returned by `owned`.
        facts: JSON.

    Returns:
        The encoded file.

    Raises:
        ArtifactError: the file would exceed the size limits.
    """
    entries = [{"name": name, "dtype": a.dtype.name, "shape": a.shape} for name, a in arrays.items()]
    header = json.dumps({"key": key, "arrays": entries, "facts": dict(facts)}).encode()
    # For mypy, arrays are buffers only from Python 3.12 on.
    values: list[memoryview] = [memoryview(a.reshape(-1).view(np.uint8)) for a in arrays.values()]  # type: ignore[arg-type]
    parts: list[bytes | memoryview] = [_LENGTH.pack(len(header)), header, *values]
    if len(header) > MAX_HEADER_BYTES or sum(len(part) for part in parts) + _PREAMBLE.size > MAX_FILE_BYTES:
        raise ArtifactError(
            f"A checkpoint must have at most {MAX_FILE_BYTES:,} bytes, {MAX_HEADER_BYTES:,} of them for names and "
            f"facts. Received: {sum(len(part) for part in parts):,} and {len(header):,}. Use a smaller network."
        )
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return Encoded((_PREAMBLE.pack(_MAGIC, digest.digest()), *parts), digest.hexdigest())


def decode(content: bytes, key: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any], str]:
    """Decode and verify a file.

    Args:
        content: the bytes of the file, which need not be trusted.
        key: identifier of the training that it must belong to.

    Returns:
        The arrays, the facts, and the digest of both in hexadecimal.

    Raises:
        ArtifactError: the file is damaged, truncated, of another version or of another training; the message is only
            the reason.
    """
    start = _PREAMBLE.size + _LENGTH.size
    if len(content) < start or not content.startswith(_MAGIC):
        raise ArtifactError("it is truncated, or not a checkpoint of this version")
    digest = xxhash.xxh3_128(memoryview(content)[_PREAMBLE.size :])
    if digest.digest() != _PREAMBLE.unpack_from(content)[1]:
        raise ArtifactError("its checksum does not match its content")
    length = int(_LENGTH.unpack_from(content, _PREAMBLE.size)[0])
    if length > MAX_HEADER_BYTES or start + length > len(content):
        raise ArtifactError("its header is too long")
    header = _read_header(content[start : start + length])
    if header.key != key:
        raise ArtifactError(f"it belongs to another training, {header.key[:100]!r}")
    return _read_arrays(header, content, start + length), header.facts, digest.hexdigest()


def _owned(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = np.asarray(array, order="C")
    if array.dtype.name not in get_args(_Dtype):
        raise ParameterError(
            f"An array of a checkpoint must be one of {', '.join(get_args(_Dtype))}. "
            f"Received: {array.dtype} for {name}."
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = array if array.flags.owndata else array.copy()
    array.flags.writeable = False
    return array


def _read_header(text: bytes) -> _Header:
    try:
        # Not pydantic's parser, which does not guarantee that floats are restored exactly.
        header = _Header.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError):
        raise ArtifactError("its header is not valid") from None
    if len({entry.name for entry in header.arrays}) != len(header.arrays):
        raise ArtifactError("its header names an array twice")
    return header


def _read_arrays(header: _Header, content: bytes, offset: int) -> dict[str, npt.NDArray[Any]]:
    if any(entry.dtype == "bfloat16" for entry in header.arrays):
        import ml_dtypes  # noqa: F401 - registers the dtype with NumPy; installed with TensorFlow and JAX
    arrays = {}
    for entry in header.arrays:
        dtype = np.dtype(entry.dtype)
        size = math.prod(entry.shape) * dtype.itemsize
        if offset + size > len(content):
            raise ArtifactError("its header declares more data than it contains")
        try:
            stored = np.ndarray(entry.shape, dtype, content, offset)
        except ValueError:  # such as a shape of zero and huge numbers
            raise ArtifactError("its header contains an invalid shape") from None
        arrays[entry.name] = stored.copy()  # aligned, and independent of the file content
        offset += size
    if offset != len(content):
        raise ArtifactError("it contains more data than its header declares")
    return arrays
