"""The rules of cloud-optimized GeoTIFFs, as GDAL's own validator has them.

https://github.com/OSGeo/gdal/blob/master/swig/python/gdal-utils/osgeo_utils/samples/validate_cloud_optimized_geotiff.py
"""

import itertools
from pathlib import Path

import tifffile


def check_cog(path: Path) -> list[tuple[int, int]]:
    """Check a file; returns height and width of its pages, the overviews after the image."""
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        assert b"LAYOUT=IFDS_BEFORE_DATA" in path.read_bytes()[:300]
        assert b"KNOWN_INCOMPATIBLE_EDITION=YES" not in path.read_bytes()[:300]
        image = pages[0]
        assert image.offset < 300
        offsets = [page.offset for page in pages]
        assert offsets == sorted(offsets)
        starts = [min(offset for offset in page.dataoffsets if offset) for page in pages]
        assert starts == sorted(starts, reverse=True), "the smallest overview must come first"
        assert max(offsets) < min(starts), "all directories must come before the pixels"
        assert all(page.is_tiled for page in pages)
        sizes = [page.shape[:2] for page in pages]
        if max(sizes[0]) > 512:
            assert len(pages) > 1, "a large image must have overviews"
            assert max(sizes[-1]) <= 512
        for larger, smaller in itertools.pairwise(sizes):
            assert 1.9 < max(larger) / max(smaller) < 2.1
        for page in pages[1:]:
            assert page.is_reduced
    return sizes
