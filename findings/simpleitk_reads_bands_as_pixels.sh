#!/usr/bin/env bash
# SimpleITK reads a TIFF of several bands as one gray image whose rows are the bands of the first pixels side by side.
#
# Expected: `ReadImage` gives a vector image with all bands of a TIFF, as for RGB, or refuses what it cannot hold.
# Observed (SimpleITK 2.5.7, tifffile 2026.3.3, numpy 2.4.6): a TIFF of 2, 4, 5 or 13 bands, pixel by pixel, becomes a
# scalar image of the right width, height and type, in uint8, uint16 and float32. Each row is the first `width` numbers
# of the file's row: all bands of the first pixel, then those of the second. Of 13 bands and 64 columns, the first five
# columns are seen, stretched to the width, and the rest is lost. Three gray bands are read so too, and right if tagged
# as RGB. With the bands one after another or in blocks (COG), uint16 becomes 8 bits of RGBA, with a warning of ITK on
# stderr, and in uint8 of blocks one gray band becomes four without one. tifffile reads all these files as written.
# Why it matters: SimpleITK registers and segments microscope and satellite images, and TIFFs with a channel per stain
# or band are the rule there. Size and type look right, and a tile of texture shows stripes that no mean tells.
# Source: https://simpleitk.readthedocs.io/en/master/IO.html (TIFFImageIO).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 tifffile==2026.3.3 numpy==2.4.6 \
  || exit 2
"$folder/venv/bin/python" - <<'PYTHON' 2>stderr.txt
import sys

import numpy as np
import SimpleITK
import tifffile

print("SimpleITK", SimpleITK.__version__, "tifffile", tifffile.__version__, "numpy", np.__version__)


def seen(name: str, pixels: np.ndarray, **options: object) -> str:
    """Return what SimpleITK makes of pixels (height, width, bands) in a TIFF that tifffile reads as written."""
    separate = options.get("planarconfig") == "separate"
    tifffile.imwrite("tile.tif", np.moveaxis(pixels, -1, 0) if separate else pixels, **options)
    assert np.array_equal(tifffile.imread("tile.tif"), np.moveaxis(pixels, -1, 0) if separate else pixels)
    image = SimpleITK.ReadImage("tile.tif")
    read = SimpleITK.GetArrayFromImage(image)
    if np.array_equal(read, pixels):
        verdict = "as written"
    elif np.array_equal(read, pixels.reshape(64, -1)[:, :64]):
        verdict = "bands as pixels"
    elif read.shape == (64, 64, 4) and read.dtype == np.uint8:
        verdict = "RGBA of 8 bits"
    else:
        verdict = "other"
    print(f"  {name}: {image.GetSize()}, {image.GetPixelIDTypeAsString()}, ", end="")
    print(f"components {image.GetNumberOfComponentsPerPixel()}: {verdict}")
    return verdict


rng, found = np.random.default_rng(0), {}
gray = {"photometric": "minisblack", "planarconfig": "contig"}
for dtype in ("uint8", "uint16", "float32"):
    for bands in (2, 3, 4, 5, 13):
        pixels = rng.integers(0, 250, (64, 64, bands)).astype(dtype)
        found[bands, dtype] = seen(f"{bands} bands of {dtype}", pixels, **gray)
    found["RGB", dtype] = seen(f"RGB of {dtype}", rng.integers(0, 250, (64, 64, 3)).astype(dtype), photometric="rgb")
for dtype, top in (("uint8", 250), ("uint16", 4000)):
    bands, one = (rng.integers(0, top, shape).astype(dtype) for shape in ((64, 64, 4), (64, 64)))
    found["separate", dtype] = seen(
        f"4 bands of {dtype} one after another", bands, photometric="minisblack", planarconfig="separate"
    )
    found["blocks", dtype] = seen(f"1 band of {dtype} in blocks", one, tile=(16, 16))
as_recorded = all(
    verdict
    == ("as written" if kind == "RGB" else "bands as pixels" if isinstance(kind, int) else "RGBA of 8 bits")
    for (kind, _), verdict in found.items()
)
sys.exit(0 if as_recorded else 1)
PYTHON
status=$?
grep -o "Falling back.*" stderr.txt | sort | uniq -c
exit "$status"
