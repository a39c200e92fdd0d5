import dataclasses

import numpy as np
import pytest

from tests.pack.conftest import random_pixels, write_geotiff
from tilepipe.components.pack.statistics.tile_moments import TileMoments
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import StorageError
from tilepipe.components.shared.records.example import parse_example
from tilepipe.components.shared.records.frames import frame, unframe
from tilepipe.components.shared.tiles.bands.order import BandOrder
from tilepipe.components.shared.tiles.reader import Layout, Record, Rejected, Tile, read_records
from tilepipe.components.shared.tiles.resample import resample

LAYOUT = Layout((8, 8, 4), "uint16", BandOrder(("B02", "B03", "B04", "B08"), "files"), (2, 1, 0))


def read(tile, layout=LAYOUT, **options):
    [result] = read_records([tile], layout=layout, labels={"a": 0}, **options)
    return result


def tile(path, size=None, checksum=None):
    return Tile("x", str(path), "a", size, checksum)


def moments(record):
    added = TileMoments()
    added.add(record.image, record.mask)
    return added.moments()


def test_a_record_holds_the_bands_that_are_kept(tmp_path):
    pixels = random_pixels()
    record = read(tile(write_geotiff(tmp_path / "x.tif", pixels)))
    assert isinstance(record, Record)
    kept = np.ascontiguousarray(pixels[..., [2, 1, 0]])
    assert kept.tobytes() in b"".join(record.framed)
    np.testing.assert_array_equal(record.image, kept)
    assert LAYOUT.bands == ("B04", "B03", "B02")
    assert LAYOUT.tile_bytes == 8 * 8 * 3 * 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path, "it is missing"),
        (lambda path: write_geotiff(path, random_pixels(shape=(9, 8, 4))), "it is 9x8 pixels of 4 bands, where the"),
        (lambda path: write_geotiff(path, random_pixels(shape=(8, 8, 3))), "it is 8x8 pixels of 3 bands, where"),
        (lambda path: write_geotiff(path, random_pixels(dtype="int16")), "its pixels are int16, where the tiles'"),
        (lambda path: write_geotiff(path, np.zeros((8, 8, 4), np.uint16)), "it is blank: all pixels are 0"),
        (
            lambda path: write_geotiff(path, np.full((8, 8, 4), 9, np.uint16), nodata=9),
            "it is blank: all pixels are 9, which",
        ),
        (lambda path: write_geotiff(path, np.full((8, 8, 4), 9, np.uint16)), "it is blank: all pixels are 9"),
        (
            lambda path: write_geotiff(path, np.ones((8, 8, 4), np.uint16) * np.arange(4, dtype=np.uint16)),
            "it is blank: each band is constant",
        ),
        (
            lambda path: write_geotiff(path, random_pixels(), ["B04", "B03", "B02", "B08"]),
            "its bands are B04, B03, B02, B08, where the tiles' are B02, B03, B04, B08",
        ),
    ],
)
def test_why_a_tile_is_left_out(tmp_path, make, reason):
    rejected = read(tile(make(tmp_path / "x.tif")))
    assert isinstance(rejected, Rejected)
    assert rejected.reason.startswith(reason)


def test_promises_of_the_source(tmp_path):
    path = write_geotiff(tmp_path / "x.tif", random_pixels())
    assert "but its source states 5" in read(tile(path, size=5)).reason
    assert "sha256 checksum" in read(tile(path, checksum="1220" + "0" * 64)).reason
    assert read(tile(path, checksum="b220" + "0" * 64)).is_unverified


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, 'it has NaN pixels; if they are nodata, set the option "nodata" to "nan"'),
        (np.inf, "it has infinite pixels"),
    ],
)
def test_numbers_that_no_network_can_take(tmp_path, value, reason):
    pixels = random_pixels(dtype="float32")
    pixels[0, 0, 0] = value
    layout = dataclasses.replace(LAYOUT, dtype="float32")
    rejected = read(tile(write_geotiff(tmp_path / "x.tif", pixels)), layout=layout)
    assert rejected.reason == reason


def test_the_user_knows_better_than_the_files(tmp_path):
    path = write_geotiff(tmp_path / "x.tif", random_pixels(), ["B04", "B03", "B02", "B08"])
    layout = Layout(LAYOUT.shape, "uint16", BandOrder(LAYOUT.order.names, "user"), LAYOUT.keep)
    assert isinstance(read(tile(path), layout), Record)


def test_a_disk_that_cannot_be_read_is_no_tiles_fault(tmp_path):
    with pytest.raises(StorageError, match="must be readable"):
        read(tile(tmp_path))


def image_of(record):
    assert isinstance(record, Record), record
    parsed = parse_example(unframe(b"".join(record.framed)))
    return np.frombuffer(parsed["image"][0], LAYOUT.dtype)


def test_the_digest_is_the_pixels_alone(tmp_path):
    first, second = (
        write_geotiff(tmp_path / f"{name}.tif", random_pixels(), compress=name) for name in ("lzw", "zstd")
    )
    other = random_pixels()
    other[0, 0, 0] += 1
    digests = [read(tile(path)).digest for path in (first, second, write_geotiff(tmp_path / "z.tif", other))]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 16


def test_a_file_a_band_is_stacked_at_the_finest_size(tmp_path):
    full = random_pixels()
    paths = [str(write_geotiff(tmp_path / f"{band}.tif", full[..., band, None])) for band in (0, 1)]
    coarse = np.repeat(np.arange(1, 5, dtype=np.uint16) * 100, 4).reshape(4, 4, 1)
    paths.append(str(write_geotiff(tmp_path / "2.tif", coarse)))
    made = Tile("x", paths[0], "a", None, None, band_uris=(*paths, "/none/3.tif"))
    image = image_of(read(made, layout=dataclasses.replace(LAYOUT, resampling="nearest"))).reshape(8, 8, 3)
    np.testing.assert_array_equal(image[..., 0], coarse[..., 0].repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(image[..., 1:], full[..., [1, 0]])


def test_what_is_wrong_with_a_file_of_a_band(tmp_path):
    good = str(write_geotiff(tmp_path / "good.tif", random_pixels(shape=(8, 8, 1))))
    small = str(write_geotiff(tmp_path / "small.tif", random_pixels(shape=(4, 4, 1))))
    two = str(write_geotiff(tmp_path / "two.tif", random_pixels(shape=(8, 8, 2))))
    floats = str(write_geotiff(tmp_path / "floats.tif", random_pixels(shape=(8, 8, 1), dtype="float32")))
    for files, reason in (
        ((good, good, "/none/B04.tif", good), "its file B04.tif: it is missing"),
        ((good, two, good, good), "its file two.tif: it is 8x8 pixels of 2 bands"),
        ((good, good, good), "it has files of 3 bands, where the tiles have 4"),
        ((small, small, small, good), "its finest band is 4x4 pixels, where the tiles' are 8x8"),
        ((good, floats, good, good), "its pixels are float32"),
    ):
        rejected = read(Tile("x", files[0], "a", None, None, band_uris=files))
        assert rejected.reason.startswith(reason)


def test_tiles_of_other_sizes_are_resized_where_that_is_wanted(tmp_path):
    pixels = np.full((20, 12, 4), 500, np.uint16)
    pixels[::2, ::2, 3] = 7  # only this band, which is not selected, keeps the tile from being blank
    pixels[..., 2] = np.arange(12)
    layout = dataclasses.replace(LAYOUT, resizes=True)
    image = image_of(read(tile(write_geotiff(tmp_path / "x.tif", pixels)), layout=layout)).reshape(8, 8, 3)
    assert np.unique(image[..., 1:]).tolist() == [500]
    assert image[0, :, 0].tolist() == resample(pixels[..., 2:3], (8, 8), "bilinear")[0][0, :, 0].tolist()
    three = write_geotiff(tmp_path / "y.tif", random_pixels(shape=(8, 8, 3)))
    assert "of 3 bands, where the tiles are pixels of 4 bands" in read(tile(three), layout=layout).reason


def test_nodata_is_packed_as_one_number_and_kept_out_of_the_statistics(tmp_path):
    pixels = random_pixels()
    pixels[:2] = 60000
    path = write_geotiff(tmp_path / "x.tif", pixels, nodata=60000)
    record = read(tile(path), layout=dataclasses.replace(LAYOUT, nodata=5))
    assert np.unique(image_of(record).reshape(8, 8, 3)[:2]).tolist() == [5]
    np.testing.assert_allclose(moments(record).mean, pixels[2:, :, [2, 1, 0]].reshape(-1, 3).mean(0))
    assert moments(record).to_json()["counts"] == [48, 48, 48]
    rejected = read(tile(path), layout=dataclasses.replace(LAYOUT, max_nodata_percent=20))
    assert rejected.reason == "25.0% of it is nodata, where at most 20 % may be"
    assert isinstance(read(tile(path), layout=dataclasses.replace(LAYOUT, max_nodata_percent=25)), Record)


def test_nan_is_nodata_where_the_file_says_so(tmp_path):
    pixels = random_pixels(dtype="float32")
    pixels[0] = np.nan
    layout = dataclasses.replace(LAYOUT, dtype="float32", nodata=0)
    for size in ((8, 8), (4, 4)):
        record = read(
            tile(write_geotiff(tmp_path / "x.tif", pixels, nodata=np.nan)),
            layout=dataclasses.replace(layout, shape=(*size, 4), resizes=True),
        )
        assert np.isfinite(np.frombuffer(parse_example(unframe(b"".join(record.framed)))["image"][0], "<f4")).all()
        assert np.isfinite(moments(record).mean).all()
        assert (moments(record).minimum >= 1).all()
    pixels[1, 1, 1] = np.inf
    rejected = read(tile(write_geotiff(tmp_path / "y.tif", pixels, nodata=np.nan)), layout=layout)
    assert rejected.reason == "it has infinite pixels"


def test_a_record_of_a_file_of_records(tmp_path):
    features = tuple(RecordFeature(name=f"B{band}", dtype="uint16", height=8, width=8) for band in range(4))
    pixels = random_pixels()
    first, second = example_of(pixels[..., ::-1]), example_of(pixels)
    (tmp_path / "part-0").write_bytes(frame(first) + frame(second))
    layout = dataclasses.replace(LAYOUT, features=features)
    made = Tile("x", str(tmp_path / "part-0"), "a", len(frame(second)), None, offset=len(frame(first)))
    np.testing.assert_array_equal(image_of(read(made, layout=layout)).reshape(8, 8, 3), pixels[..., [2, 1, 0]])
    beyond = read(dataclasses.replace(made, offset=len(frame(first)) + 8), layout=layout)
    assert beyond.reason.startswith("it cannot be read: ")


def example_of(pixels):
    """Encode an example by hand, as another program may write it: features `B0` to `B3`."""
    from tilepipe.components.shared.records import example

    bands = [
        example._feature(b"B%d" % band, example._field(1, example._field(1, pixels[..., band].tobytes())))
        for band in range(pixels.shape[-1])
    ]
    return example._field(1, b"".join(bands))
