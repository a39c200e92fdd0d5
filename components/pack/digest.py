"""A digest that is the same for the same pixels, cheap enough to take of every tile."""

import functools

import google_crc32c
import numpy as np
import numpy.typing as npt

from tilepipe.components.pack.tfrecord import Buffer


def digest(pixels: Buffer) -> bytes:
    """128 bits that tell tiles apart: CRC-32C of either half, and 64 bits of a multilinear hash of the whole.

    It guards against chance, not against forgery: nobody gains by two tiles that look alike. A cryptographic hash would
    cost a quarter of all the work on a tile (13 bands of 64x64 uint16: SHA-256 55 us, BLAKE2b 80 us, this 11 us).

    Args:
        pixels: a tile's pixels, as bytes.

    Returns:
        16 bytes.
    """
    # https://en.wikipedia.org/wiki/Universal_hashing#Hashing_vectors: arithmetic modulo 2**64 is what uint64 does
    whole = len(pixels) // 8
    words = np.frombuffer(pixels, "<u8", whole)
    linear = int(np.dot(words, _coefficients(whole)))
    middle = len(pixels) // 2
    first, second = google_crc32c.value(pixels[:middle]), google_crc32c.value(pixels[middle:])
    return b"".join((linear.to_bytes(8, "little"), first.to_bytes(4, "little"), second.to_bytes(4, "little")))


@functools.lru_cache(maxsize=4)
def _coefficients(count: int) -> npt.NDArray[np.uint64]:
    # The raw stream of a bit generator is the same in all versions of NumPy, which no distribution is.
    return np.random.PCG64(0).random_raw(count) | np.uint64(1)
