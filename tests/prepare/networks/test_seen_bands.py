"""Manifests of the bands that a network sees."""

import pytest

from tests.support.packed import manifest_for
from tilepipe.components.prepare.networks.seen_bands import with_seen_bands
from tilepipe.components.shared.errors import BandError


def test_bands_have_their_own_statistics_and_common_names():
    statistics = [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]
    manifest = manifest_for((8, 8, 3), statistics=statistics)
    manifest = manifest.model_copy(update={"common_names": ("coastal", "blue", "green")})
    seen = with_seen_bands(manifest, ["B3", "b01"])
    assert seen.bands == ("B03", "B01")
    assert seen.common_names == ("green", "coastal")
    assert [band.mean for band in seen.statistics] == [3.0, 1.0]
    assert with_seen_bands(manifest, "all") is manifest
    assert with_seen_bands(manifest, []).bands == ()


def test_a_band_that_the_tiles_lack_is_refused():
    with pytest.raises(BandError, match=r"subset of the bands of the tiles, B01, B02\. .*where B08 is not among them"):
        with_seen_bands(manifest_for((8, 8, 2)), ["B02", "B08"])
