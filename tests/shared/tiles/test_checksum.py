import hashlib

import pytest

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles.checksum import verify

DATA = b"pixels"
MULTIHASHES = {
    "sha1": "1114" + hashlib.sha1(DATA).hexdigest(),
    "sha256": "1220" + hashlib.sha256(DATA).hexdigest(),
    "sha384": "2030" + hashlib.sha384(DATA).hexdigest(),
    "sha512": "1340" + hashlib.sha512(DATA).hexdigest(),
    "md5": "d50110" + hashlib.md5(DATA).hexdigest(),
}


@pytest.mark.parametrize("name", MULTIHASHES)
def test_multihashes(name):
    assert verify(DATA, len(DATA), MULTIHASHES[name]) is False
    with pytest.raises(TileError, match=f"its {name} checksum"):
        verify(DATA + b"!", None, MULTIHASHES[name])


def test_sizes():
    with pytest.raises(TileError, match="6 bytes, but its source states 7"):
        verify(DATA, 7, None)
    assert verify(DATA, None, None) is False


@pytest.mark.parametrize("checksum", ["b220" + "0" * 64, "1220abcd", "zz"])
def test_unknown_kinds_are_distinguished(checksum):
    assert verify(DATA, None, checksum) is True
