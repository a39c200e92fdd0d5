"""Limit on the size of a tile, checked before it is read into memory."""

from tilepipe.components.shared.errors import TileError

MEBIBYTE = 2**20
MAX_BYTES = 256 * MEBIBYTE
"""Largest size of a tile, unless an option raises it; a damaged header may claim any size."""
MOST_MEBIBYTES = 2**16
"""Largest size that the option may allow, in MiB."""


def check_size(size: int, max_bytes: int) -> None:
    """Check a size in bytes against a limit; 0 is no limit.

    Raises:
        TileError: the size exceeds the limit; the message is only the reason, with the option that raises the limit.
    """
    if max_bytes and size > max_bytes:
        raise TileError(f"it has {too_large(size, max_bytes)}")


def too_large(size: int, max_bytes: int) -> str:
    """Explain a refused size in bytes, with the option that allows it."""
    mebibytes = -(-size // MEBIBYTE)
    is_possible = mebibytes <= MOST_MEBIBYTES
    remedy = f"set pack_options='{{\"max_tile_mebibytes\": {mebibytes}}}'" if is_possible else "it is damaged"
    return f"{mebibytes:,} MiB, where a tile may have {max_bytes // MEBIBYTE:,}; {remedy}"
