"""Tests of the settings of the reading of tiles; tests/pack has those of their use."""

import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.tiles.layout.reading_options import ReadingOptions


def test_sizes_and_fits_agree():
    assert ReadingOptions.parse(tile_size=[8, 8], fit="crop").fit == "crop"
    with pytest.raises(ParameterError, match=r"`fit` is for tiles that are resized"):
        ReadingOptions.parse(fit="pad")
    with pytest.raises(ParameterError, match=r"`tile_size` must be empty, or a height and a width"):
        ReadingOptions.parse(tile_size=[8])
