"""Tests of the statistics of the bands."""

import numpy as np
import pytest

from tilepipe.components.predict_tiles.band_moments import BandMoments, read_moments
from tilepipe.components.shared.errors import ArtifactError


def test_parts_add_up_to_the_statistics_of_all_pixels(tmp_path):
    tiles = np.random.default_rng(0).integers(9000, 9100, (6, 8, 8, 2)).astype(np.uint16)
    parts = []
    for part in (tiles[:2], tiles[2:]):
        moments = BandMoments.empty([9000.0, 9050.0])
        for tile in part:
            moments.add(tile, None)
        moments.write(tmp_path / "moments.json")
        parts.append(read_moments(tmp_path / "moments.json"))
    parts[0].merge(parts[1])
    np.testing.assert_allclose(parts[0].means(), tiles.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(parts[0].deviations(), tiles.std(axis=(0, 1, 2)), rtol=1e-9)


def test_invalid_pixels_are_not_counted():
    tile = np.full((2, 2, 2), 5, np.float32)
    tile[0, 0, 0], tile[1, 1, 1] = np.nan, 100
    mask = np.ones((2, 2, 1), bool)
    mask[1, 1] = False
    moments = BandMoments.empty([0, 0])
    moments.add(tile, mask)
    assert moments.means() == [5, 5]
    assert moments.count.tolist() == [2, 3]
    assert np.isnan(BandMoments.empty([1]).means()).all()


def test_damaged_statistics_are_refused(tmp_path):
    (tmp_path / "moments.json").write_text("{}")
    with pytest.raises(ArtifactError, match="must be JSON of `predict_tiles`"):
        read_moments(tmp_path / "moments.json")
