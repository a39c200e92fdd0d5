"""Whether a file's bytes are those that its catalogue promises."""

import hashlib

from tilepipe.components.shared.errors import TileError

# https://github.com/multiformats/multicodec/blob/master/table.csv: code and length before the digest, in hexadecimal
_MULTIHASHES = {"1114": "sha1", "1220": "sha256", "1340": "sha512", "2030": "sha384", "d50110": "md5"}


def verify(data: bytes, size: int | None, checksum: str | None) -> bool:
    """Hold bytes against what is known of them.

    Args:
        data: the bytes.
        size: how many there should be, or None.
        checksum: their multihash in hexadecimal, or None.

    Returns:
        Whether a checksum was there that could not be checked, for its kind is not known.

    Raises:
        TileError: the bytes are others.
    """
    if size is not None and len(data) != size:
        raise TileError(f"it has {len(data):,} bytes where its source promises {size:,}")
    if not checksum:
        return False
    for prefix, algorithm in _MULTIHASHES.items():
        if checksum.startswith(prefix) and len(checksum) == len(prefix) + int(prefix[-2:], 16) * 2:
            digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
            if checksum != prefix + digest:
                raise TileError(f"its {algorithm} checksum is not what its source promises")
            return False
    return True
