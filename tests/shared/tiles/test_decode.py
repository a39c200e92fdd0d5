import io
import struct
from zlib import crc32

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageOps

from tests.pack.conftest import random_pixels, write_geotiff, write_picture
from tilepipe.components.shared.errors import TileError
from tilepipe.components.shared.tiles import decode as module
from tilepipe.components.shared.tiles.decode import decode


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"interleave": "band"},
        {"interleave": "pixel", "compress": "lzw", "predictor": 2},
        {"interleave": "band", "compress": "deflate", "zlevel": 9},
        {"compress": "zstd"},
        {"compress": "packbits"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band", "compress": "lzw"},
        {"BIGTIFF": "YES"},
        {"ENDIANNESS": "BIG"},
        {"ENDIANNESS": "BIG", "interleave": "band", "compress": "deflate", "predictor": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_geotiffs_as_gdal_writes_them(tmp_path, profile, dtype):
    pixels = random_pixels(1, (20, 24, 5), dtype, high=200)
    picture = decode(write_geotiff(tmp_path / "x.tif", pixels, **profile).read_bytes(), (20, 24, 5))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == np.dtype(dtype).newbyteorder("<")


def test_one_band(tmp_path):
    pixels = random_pixels(1, (6, 7, 1))
    np.testing.assert_array_equal(decode(write_geotiff(tmp_path / "x.tif", pixels).read_bytes()).pixels, pixels)


@pytest.mark.parametrize(("bits", "dtype"), [(4, "uint8"), (12, "uint16")])
def test_samples_of_fewer_bits_are_not_spread(tmp_path, bits, dtype):
    pixels = random_pixels(1, (6, 8, 1), dtype, high=2**bits)
    np.testing.assert_array_equal(
        decode(write_geotiff(tmp_path / "x.tif", pixels, NBITS=bits).read_bytes()).pixels, pixels
    )


@pytest.mark.parametrize("profile", [{}, {"compress": "deflate"}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
def test_blocks_that_a_sparse_file_leaves_out(tmp_path, profile):
    pixels = random_pixels(1, (64, 16, 1), high=200)
    pixels[32:] = 255
    layout = {"blockysize": 16} | profile
    data = write_geotiff(tmp_path / "x.tif", pixels, nodata=255, SPARSE_OK=True, **layout).read_bytes()
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        assert tiff.pages.first.dataoffsets[2:] == (0, 0)
    np.testing.assert_array_equal(decode(data).pixels, pixels)


def test_names_and_nodata(tmp_path):
    path = write_geotiff(tmp_path / "x.tif", random_pixels(shape=(6, 7, 2)), ["B02", "near infrared"], nodata=7)
    picture = decode(path.read_bytes())
    assert (picture.descriptions, picture.nodata) == (("B02", "near infrared"), 7)
    assert decode(write_geotiff(path, random_pixels(shape=(6, 7, 2)), ["B02", ""]).read_bytes()).descriptions == ()
    assert decode(write_geotiff(path, random_pixels(shape=(6, 7, 2)), ["x", "x"]).read_bytes()).descriptions == ()


@pytest.mark.parametrize(
    ("dtype", "stated", "nodata"),
    [
        ("float32", "nan", np.nan),
        ("float32", "0.1", float(np.float32(0.1))),
        ("float32", "-3.4e38", float(np.float32(-3.4e38))),
        ("float32", "1e300", np.inf),
        ("int16", "-32768", -32768),
        ("uint8", "0\0", 0),
        ("uint16", "-9999", None),
        ("uint16", "nan", None),
        ("uint8", "1.5", None),
        ("uint8", "nothing", None),
        ("uint8", "", None),
    ],
)
def test_nodata_that_pixels_can_have(dtype, stated, nodata):
    np.testing.assert_equal(module.stated_nodata(stated, np.dtype(dtype)), nodata)


def test_files_that_name_no_nodata(tmp_path):
    assert decode(write_geotiff(tmp_path / "x.tif", random_pixels()).read_bytes()).nodata is None
    assert decode(write_geotiff(tmp_path / "y.tif", random_pixels(), nodata=0).read_bytes()).nodata == 0


@pytest.mark.parametrize("deep", [False, True])
def test_a_png_whose_pixels_were_changed_is_rejected(tmp_path, deep):
    import imagecodecs

    pixels = random_pixels(1, (32, 32, 3), "uint16" if deep else "uint8", 255)
    data = bytearray(imagecodecs.png_encode(pixels, level=0))  # uncompressed: without its checksum it would decode
    decode(bytes(data))
    data[data.index(b"IDAT") + 500] ^= 1
    with pytest.raises(TileError, match="does not decode"):
        decode(bytes(data))


def test_a_truncated_jpeg_is_rejected(tmp_path):
    data = write_picture(tmp_path / "x.jpg", random_pixels(1, (64, 64, 3), "uint8", 255)).read_bytes()
    for cut in (100, 1000, len(data) // 2):
        with pytest.raises(TileError, match=r"does not decode: OSError: .*truncated"):
            decode(data[:-cut])


def test_metadata_that_would_expand_are_not_read():
    bomb = '<!DOCTYPE a [<!ENTITY b "bb">]><GDALMetadata><Item role="description" sample="0">&b;</Item></GDALMetadata>'
    assert module._descriptions(bomb, 1) == ()
    assert module._descriptions("<GDALMetadata><Item role='description'", 1) == ()


def test_the_first_image_of_a_cloud_optimized_geotiff(tmp_path):
    import rasterio

    pixels = random_pixels(1, (64, 64, 3))
    path = write_geotiff(tmp_path / "x.tif", pixels)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    np.testing.assert_array_equal(decode(path.read_bytes()).pixels, pixels)


def test_pngs_and_jpegs(tmp_path):
    colors, grey = random_pixels(1, (9, 7, 3), "uint8", 255), random_pixels(2, (9, 7, 1), "uint8", 255)
    deep = random_pixels(3, (9, 7, 1), "uint16", 60000)
    alpha = random_pixels(4, (9, 7, 4), "uint8", 255)
    for number, pixels in enumerate((colors, grey, deep, alpha)):
        picture = decode(write_picture(tmp_path / f"{number}.png", pixels).read_bytes(), pixels.shape)
        np.testing.assert_array_equal(picture.pixels, pixels)
        assert picture.pixels.dtype == pixels.dtype
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    jpeg = decode(write_picture(tmp_path / "x.jpg", smooth, quality=95).read_bytes()).pixels
    assert jpeg.shape == (64, 64, 3)
    assert np.abs(jpeg.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize(
    ("kind", "mode"), [("BMP", "RGB"), ("BMP", "L"), ("BMP", "1"), ("BMP", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA")]
)
def test_bmp_and_lossless_webp(kind, mode):
    image = Image.fromarray(random_pixels(1, (9, 7, 4), "uint8", 255)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    shown = np.asarray(image.convert({"P": "RGB", "1": "L"}.get(mode, mode))).reshape(9, 7, -1)
    np.testing.assert_array_equal(decode(buffer.getvalue(), shown.shape).pixels, shown)
    with pytest.raises(TileError, match="does not decode"):
        decode(buffer.getvalue()[:-40])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "deep"), [("JPEG", False), ("PNG", False), ("PNG", True), ("WEBP", False)])
def test_images_are_turned_upright_as_viewers_show_them(kind, deep, orientation):
    image = Image.fromarray(random_pixels(1, (9, 7) if deep else (9, 7, 3), "uint16" if deep else "uint8", 255))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    shown = shown.reshape(*shown.shape[:2], -1)
    found = decode(buffer.getvalue(), shown.shape).pixels
    np.testing.assert_array_equal(found, shown)
    assert found.flags.c_contiguous


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("damaged", [b"damaged", b"MM\0*\0", b"MM\0*\0\0\0\x08\0\x01"])
def test_damaged_exif_data_state_no_orientation(damaged):
    image = Image.fromarray(random_pixels(1, (9, 7, 3), "uint8", 255))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=b"Exif\0\0" + damaged)
    np.testing.assert_array_equal(decode(buffer.getvalue()).pixels, np.asarray(image))


def test_an_animated_webp_is_no_tile():
    buffer = io.BytesIO()
    frames = [Image.fromarray(random_pixels(seed, (9, 7, 3), "uint8", 255)) for seed in (1, 2)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(TileError, match="animated WebP"):
        decode(buffer.getvalue())


def test_colors_of_16_bits_stay_so(tmp_path):
    import imagecodecs

    pixels = random_pixels(3, (9, 7, 3), "uint16", 60000)
    np.testing.assert_array_equal(decode(imagecodecs.png_encode(pixels)).pixels, pixels)


@pytest.mark.parametrize("bands", [1, 3])
def test_the_transparent_color_of_a_png_of_16_bits_is_alpha(bands):
    import imagecodecs

    pixels = random_pixels(3, (9, 7, bands), "uint16", 60000)
    pixels[0, 0] = range(7, 7 + bands)
    data, kind = imagecodecs.png_encode(pixels), b"tRNS" + struct.pack(f">{bands}H", *pixels[0, 0])
    place = data.index(b"IDAT") - 4
    picture = decode(data[:place] + struct.pack(">I", 2 * bands) + kind + struct.pack(">I", crc32(kind)) + data[place:])
    assert picture.has_alpha
    np.testing.assert_array_equal(picture.pixels[..., :-1], pixels)
    assert picture.pixels[0, 0, -1] == 0
    assert (picture.pixels[1:, :, -1] == 65535).all()


def test_palettes_and_bits_are_what_they_show(tmp_path):
    image = Image.fromarray(random_pixels(1, (9, 7, 3), "uint8", 255))
    for mode, expected in (("P", "RGB"), ("1", "L")):
        converted = image.convert(mode)
        converted.save(tmp_path / "x.png")
        shown = np.asarray(converted.convert(expected)).reshape(9, 7, -1)
        np.testing.assert_array_equal(decode((tmp_path / "x.png").read_bytes()).pixels, shown)


def test_the_content_determines_the_kind_not_the_name(tmp_path):
    png = write_picture(tmp_path / "x.png", random_pixels(1, (9, 7, 3), "uint8", 255))
    assert decode(png.rename(tmp_path / "x.tif").read_bytes()).pixels.shape == (9, 7, 3)


def cmyk():
    buffer = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()


def lab():
    buffer = io.BytesIO()
    Image.new("LAB", (8, 8)).save(buffer, "TIFF")
    return buffer.getvalue()


def gif():
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "GIF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"<html>not found</html>", "no GeoTIFF, JPEG, PNG, BMP, WebP or JPEG 2000"),
        (gif(), "no GeoTIFF, JPEG, PNG, BMP, WebP or JPEG 2000"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 40, "JPEG 2000 without a codestream"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x0c", "does not decode"),
        (cmyk(), "CMYK"),
        (lab(), "CIELAB"),
        (b"II*\0" + b"\xff" * 4, "does not decode"),
        (b"II*\0" + struct.pack("<I", 8) + b"\0" * 40, "not one image of height, width and bands"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "does not decode"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "does not decode"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else value,
)
def test_what_is_no_tile(data, reason):
    with pytest.raises(TileError, match=reason):
        decode(data)


def write_jpeg2000(path, pixels, **profile):
    import rasterio

    height, width, bands = pixels.shape
    size = {"height": height, "width": width, "count": bands, "dtype": pixels.dtype}
    lossless = {"QUALITY": 100, "REVERSIBLE": "YES"}
    with rasterio.open(path, "w", driver="JP2OpenJPEG", **size, **lossless, **profile) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("suffix", ["jp2", "j2k"])
@pytest.mark.parametrize(
    ("dtype", "bands", "profile"),
    [
        ("uint16", 1, {"NBITS": 15}),  # as in Sentinel-2's products
        ("uint16", 13, {}),
        ("int16", 2, {}),
        ("uint8", 3, {"YCC": "YES", "crs": "EPSG:32631"}),
        ("uint8", 4, {}),
    ],
)
def test_jpeg_2000_is_read_as_gdal_reads_it(tmp_path, suffix, dtype, bands, profile):
    import rasterio

    pixels = random_pixels(1, (20, 24, bands), dtype, high=250) * (1 if dtype == "uint8" else 60)
    path = write_jpeg2000(tmp_path / f"x.{suffix}", pixels.astype(dtype), **profile)
    picture = decode(path.read_bytes(), (20, 24, bands))
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(picture.pixels, np.moveaxis(file.read(), 0, -1))
        assert picture.has_alpha is (file.colorinterp[-1] == rasterio.enums.ColorInterp.alpha)
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == dtype
    for share in (0.02, 0.5, 0.99):
        with pytest.raises(TileError):
            decode(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(TileError, match="it is 20x24 pixels of"):
        decode(path.read_bytes(), (20, 25, bands))
    with pytest.raises(TileError, match="max_tile_mebibytes"):
        decode(path.read_bytes(), None, 100)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_jpeg_2000_of_pillow(mode):
    pixels = random_pixels(1, (20, 24, len(mode)), "uint8", 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(), mode).save(buffer, "JPEG2000")
    picture = decode(buffer.getvalue())
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.has_alpha is mode.endswith("A")


def test_dtypes_that_no_later_step_takes(tmp_path):
    data = write_geotiff(tmp_path / "x.tif", random_pixels(dtype="complex64")).read_bytes()
    with pytest.raises(TileError, match="complex64, which is none of uint8, uint16, int16, float32, int8"):
        decode(data)


@pytest.mark.parametrize("kind", ["pixel", "band", "lzw", "png", "jpg"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files_never_pass(tmp_path, kind, share):
    if kind in {"png", "jpg"}:
        path = write_picture(tmp_path / f"x.{kind}", random_pixels(1, (64, 64, 3), "uint8", 255))
    else:
        profile = {"compress": "lzw"} if kind == "lzw" else {"interleave": kind}
        path = write_geotiff(tmp_path / "x.tif", random_pixels(1, (64, 64, 4)), **profile)
    data, whole = path.read_bytes(), decode(path.read_bytes()).pixels
    try:
        picture = decode(data[: int(len(data) * share)])
    except TileError:
        return
    # GDAL writes its directory last, so that a truncated directory leaves all pixels intact.
    np.testing.assert_array_equal(picture.pixels, whole)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_files_give_a_reason_or_pixels(tmp_path, seed):
    """Any wrong byte gives either an image or a `TileError`."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        path = write_picture(tmp_path / "x.png", random_pixels(1, (16, 16, 3), "uint8", 255))
    elif seed % 3 == 1:
        path = write_picture(tmp_path / "x.jpg", random_pixels(1, (16, 16, 3), "uint8", 255))
    else:
        path = write_geotiff(
            tmp_path / "x.tif", random_pixels(1, (16, 16, 4)), ["a", "b", "c", "d"], compress="deflate"
        )
    data = bytearray(path.read_bytes())
    for place in rng.integers(4, len(data), 8):
        data[place] = rng.integers(0, 256)
    try:
        assert decode(bytes(data)).pixels.ndim == 3
    except TileError as error:
        assert str(error)


def test_the_header_is_held_against_the_expected_shape_first(tmp_path):
    path = write_geotiff(tmp_path / "x.tif", random_pixels(shape=(8, 8, 4)))
    assert decode(path.read_bytes(), (None, None, 4)).pixels.shape == (8, 8, 4)
    with pytest.raises(TileError, match=r"it is 8x8 pixels of 4 bands, where the tiles are pixels of 1 band$"):
        decode(path.read_bytes(), (None, None, 1))
    with pytest.raises(TileError, match="it is 8x8 pixels of 4 bands, where the tiles are 8x8 pixels of 3 bands"):
        decode(path.read_bytes(), (8, 8, 3))
    jpeg = write_picture(tmp_path / "x.jpg", random_pixels(1, (9, 7, 3), "uint8", 255))
    with pytest.raises(TileError, match="9x7 pixels of 3 bands"):
        decode(jpeg.read_bytes(), (8, 8, 3))
    for file in (path, jpeg):
        with pytest.raises(TileError, match="claims"):
            decode(file.read_bytes(), max_bytes=100)
