"""The `file:checksum` of an asset: a multihash in hexadecimal, or in multibase, as some catalogs write it."""

import base64
import binascii
import re

_HEXADECIMAL = re.compile(r"([0-9a-fA-F]{2})+")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_MAX_LENGTH = 200


def hexadecimal(text: str) -> str | None:
    """Return a multihash in lower-case hexadecimal.

    Args:
        text: hexadecimal, or multibase (https://github.com/multiformats/multibase): base16 `f`, base32 `b`, base58 `z`,
            base64 `m`, `M`, `u` and `U`.

    Returns:
        The multihash; None if the text is neither.
    """
    if _HEXADECIMAL.fullmatch(text):
        return text.lower()
    try:
        content = _decoded(text[:1], text[1:])
    except (ValueError, binascii.Error):
        return None
    return content.hex() if _is_multihash(content) else None


def _decoded(base: str, text: str) -> bytes:
    if base in {"f", "F"}:
        return bytes.fromhex(text)
    if base in {"b", "B"}:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    if base in {"m", "M", "u", "U"}:
        altchars = b"-_" if base in {"u", "U"} else b"+/"
        bare = text.rstrip("=")
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars, validate=True)
    if base == "z" and len(text) <= _BASE58_MAX_LENGTH:
        number = 0
        for character in text:
            number = number * 58 + _BASE58.index(character)
        zeros = len(text) - len(text.lstrip("1"))
        return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    return b""


def _is_multihash(content: bytes) -> bool:
    """Return True if the stated length of the digest is the real one: https://multiformats.io/multihash/."""
    place = 0
    while place < len(content) and content[place] & 0x80:  # the code of the function is a varint
        place += 1
    return len(content) > place + 2 and content[place + 1] == len(content) - place - 2
