"""Verification of the size and checksum that the source of a tile states."""

import hashlib

from tilepipe.components.shared.errors import TileError

# https://github.com/multiformats/multicodec/blob/master/table.csv: code and length before the digest, in hexadecimal
_MULTIHASHES = {"1114": "sha1", "1220": "sha256", "1340": "sha512", "2030": "sha384", "d50110": "md5"}


def verify(data: bytes, size: int | None, checksum: str | None) -> bool:
    """Verify the size and checksum of a file.

    Args:
        data: the content of the file.
        size: expected size in bytes, or None if unknown.
        checksum: expected multihash in hexadecimal, or None if unknown.

    Returns:
        True if there is a checksum that could not be verified, because its kind is not supported.

    Raises:
        TileError: if the size or the checksum differs.
    """
    if size is not None and len(data) != size:
        raise TileError(f"it has {len(data):,} bytes, but its source states {size:,}")
    if not checksum:
        return False
    for prefix, algorithm in _MULTIHASHES.items():
        if checksum.startswith(prefix) and len(checksum) == len(prefix) + int(prefix[-2:], 16) * 2:
            digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
            if checksum != prefix + digest:
                raise TileError(f"its {algorithm} checksum differs from the one that its source states")
            return False
    return True
