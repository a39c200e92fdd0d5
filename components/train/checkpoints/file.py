"""File format of checkpoints: safetensors, with the training and its facts in the metadata.

Never pickle: files at an address may come from anybody, and reading them must not execute code. The format has no
checksum, so the digest of a file is part of its name (see `store`).
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from safetensors import SafetensorError, deserialize

from tilepipe.components.shared.errors import ArtifactError, ParameterError

Arrays = Mapping[str, npt.NDArray[Any]]

MAX_FILE_BYTES = 5 * 2**30
"""Limit of a single S3 PUT, which makes writes atomic."""
MAX_HEADER_BYTES = 16 * 2**20

_DTYPES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64",
}  # fmt: skip
"""NumPy's name of each dtype of the format; `safetensors.numpy.load` does not read bfloat16."""
_NAMES = {numpy_name: name for name, numpy_name in _DTYPES.items()}


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


def owned(state: State) -> State:
    """Return an equal state whose facts and views of other memory are copies, and whose arrays are read-only.

    Raises:
        ParameterError: an array has a dtype that no Keras variable has.
        TypeError: the facts are not JSON.
    """
    arrays, best = (
        {name: _owned(name, array) for name, array in group.items()} for group in (state.arrays, state.best)
    )
    return State(arrays, best, json.loads(json.dumps(dict(state.facts))))


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


def encode(key: str, arrays: Arrays, facts: Mapping[str, Any]) -> Encoded:
    """Encode the arrays of a state returned by `owned`, and its facts as JSON, as a file.

    Raises:
        ArtifactError: the file would exceed the size limits.
    """
    # Not `safetensors.serialize`, which copies the arrays: the checkpoint would take twice the time and the memory.
    # For mypy, arrays are buffers only from Python 3.12 on.
    values: list[memoryview] = [memoryview(a.reshape(-1).view(np.uint8)) for a in arrays.values()]  # type: ignore[arg-type]
    ends = list(itertools.accumulate(map(len, values), initial=0))
    entries = {
        name: {"dtype": _NAMES[a.dtype.name], "shape": a.shape, "data_offsets": span}
        for (name, a), span in zip(arrays.items(), itertools.pairwise(ends), strict=True)
    }
    header = json.dumps({"__metadata__": {"key": key, "facts": json.dumps(dict(facts))}, **entries}).encode()
    parts: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header, *values]
    if len(header) > MAX_HEADER_BYTES or sum(map(len, parts)) > MAX_FILE_BYTES:
        raise ArtifactError(
            f"A checkpoint must have at most {MAX_FILE_BYTES:,} bytes, {MAX_HEADER_BYTES:,} of them for names and "
            f"facts. Received: {sum(map(len, parts)):,} and {len(header):,}. Use a smaller network."
        )
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return Encoded(parts, digest.hexdigest())


def decode(content: bytes, digest: str, key: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Decode a file into its arrays and facts, and verify that its digest and its training are the given ones.

    Raises:
        ArtifactError: the file is damaged, truncated or of another training; the message is only the reason.
    """
    if xxhash.xxh3_128_hexdigest(content) != digest:
        raise ArtifactError("its checksum does not match its content")
    try:
        stored = dict(deserialize(content))  # type: ignore[no-untyped-call] # validates the file
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header.pop("__metadata__")
        arrays = {name: _array(**stored[name]) for name in header}  # in their order, on which the digest depends
        written_for, facts = metadata["key"], dict(json.loads(metadata["facts"]))
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"it is not valid: {str(error)[:200]}") from None
    if written_for != key:
        raise ArtifactError(f"it belongs to another training, {written_for[:100]!r}")
    return arrays, facts


def _array(dtype: str, shape: list[int], data: bytes) -> npt.NDArray[Any]:
    name = _DTYPES[dtype]
    if name == "bfloat16":
        import ml_dtypes  # noqa: F401 - registers the dtype with NumPy; installed with TensorFlow and JAX
    return np.frombuffer(data, name).reshape(shape)


def _owned(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = np.asarray(array, order="C")
    if array.dtype.name not in _DTYPES.values():
        raise ParameterError(
            f"An array of a checkpoint must be one of {', '.join(_DTYPES.values())}. "
            f"Received: {array.dtype} for {name}."
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = array if array.flags.owndata else array.copy()
    array.flags.writeable = False
    return array
