import pytest

from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.storage.sizes import MAX_BYTES, MEBIBYTE, MOST_MEBIBYTES, check_size
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions


@pytest.mark.parametrize("mebibytes", [257, MOST_MEBIBYTES])
def test_the_option_takes_the_suggested_limit(mebibytes):
    size = (mebibytes - 1) * MEBIBYTE + 1
    with pytest.raises(TileError, match=f'^it has {mebibytes:,} MiB, .* set .*"max_tile_mebibytes": {mebibytes}'):
        check_size(size, MAX_BYTES)
    check_size(size, ReadingOptions.parse(max_tile_mebibytes=mebibytes).max_tile_mebibytes * MEBIBYTE)


def test_no_limit_is_suggested_that_the_option_refuses():
    with pytest.raises(TileError, match=r"^it has 65,537 MiB, where a tile may have 256; it is damaged$"):
        check_size(MOST_MEBIBYTES * MEBIBYTE + 1, MAX_BYTES)
