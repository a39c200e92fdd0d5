"""GeoTIFFs like those of EuroSAT (13 bands of uint16, pixel-interleaved, uncompressed), with band names."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from tilepipe.pipelines.cli.sample.sample_tile import PIXEL_METRES, Tile
from tilepipe.pipelines.cli.sample.spectra import BANDS

# GDAL, and therefore rasterio, reads band descriptions from here: https://gdal.org/en/stable/drivers/raster/gtiff.html
_GDAL_METADATA = "".join(
    [
        "<GDALMetadata>",
        *(f'<Item name="DESCRIPTION" sample="{i}" role="description">{band}</Item>' for i, band in enumerate(BANDS)),
        "</GDALMetadata>",
    ]
)

# Tags and keys: OGC GeoTIFF 1.1, https://docs.ogc.org/is/19-008r4/19-008r4.html
_MODEL_PIXEL_SCALE, _MODEL_TIEPOINT, _GEO_KEY_DIRECTORY, _GDAL_METADATA_TAG = 33550, 33922, 34735, 42112
_PROJECTED, _PIXEL_IS_AREA = 1, 1


def write_geotiff(path: Path, tile: Tile, pixels: NDArray[np.uint16]) -> None:
    """Write one tile; the same tile gives the same bytes.

    Args:
        path: path of the file.
        tile: the tile, which determines the location.
        pixels: digital numbers, uint16, `(64, 64, 13)`.
    """
    keys = (1, 1, 0, 3, 1024, 0, 1, _PROJECTED, 1025, 0, 1, _PIXEL_IS_AREA, 3072, 0, 1, tile.epsg)
    tifffile.imwrite(
        path,
        pixels,
        byteorder="<",
        photometric="minisblack",
        planarconfig="contig",
        metadata=None,
        software=False,
        description=f"Synthetic tile by tilepipe, not a satellite image: {tile.tile_id}, seed {tile.seed}",
        extratags=[
            (_MODEL_PIXEL_SCALE, "d", 3, (PIXEL_METRES, PIXEL_METRES, 0), True),
            (_MODEL_TIEPOINT, "d", 6, (0, 0, 0, tile.west_metres, tile.north_metres, 0), True),
            (_GEO_KEY_DIRECTORY, "H", len(keys), keys, True),
            (_GDAL_METADATA_TAG, "s", 0, _GDAL_METADATA, True),
        ],
    )
