import pytest

from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac.archive import member_of
from tilepipe.components.ingest.sources.stac.item import ItemReader
from tilepipe.components.shared.errors import SourceError


def item(**asset):
    asset = {"href": "../tiles.zip", "type": "application/zip", "roles": ["data"], **asset}
    return {"id": "x", "properties": {"class": "Forest", "datetime": None}, "assets": {"image": asset}}


def read(document, **options):
    return ItemReader(HrefResolver("/data", {}), **options).row(document, folder="/data/items", where="x.json")


def test_a_member_of_a_zip():
    """Size and checksum are the zip's, and are not the member's."""
    asset = {"archive:href": "a/x.tif", "archive:type": "image/tiff", "file:size": 10**9, "file:checksum": "1220aa"}
    row = read(item(**asset))
    assert (row.uri, row.member, row.bytes, row.checksum) == ("/data/tiles.zip", "a/x.tif", None, None)


def test_the_pixels_are_found_by_the_members_name():
    assert read(item(**{"archive:href": "a/x.tif"})).member == "a/x.tif"
    with pytest.raises(SourceError, match="must have an asset with the tile's pixels"):
        read(item(**{"archive:href": "a/x.xml", "roles": ["metadata"]}))


def test_an_asset_of_its_own_is_no_member():
    row = read(item(href="../x.tif", type="image/tiff", **{"file:size": 5}))
    assert (row.uri, row.member, row.bytes) == ("/data/x.tif", None, 5)


@pytest.mark.parametrize("path", ["/a/x.tif", "./a/x.tif", "a/x.tif"])
def test_paths_are_from_the_archives_root(path):
    assert member_of({"archive:href": path}, "item x") == "a/x.tif"


@pytest.mark.parametrize("path", ["../x.tif", "a/../../x.tif", "/../x.tif", "C:/x.tif", "a\\x.tif", "", "/"])
def test_paths_that_lead_out(path):
    with pytest.raises(SourceError, match=r"below the archive's root.*archive:href of asset image of item x"):
        read(item(**{"archive:href": path, "archive:type": "image/tiff"}))


def test_what_is_no_path():
    with pytest.raises(SourceError, match="must be a string"):
        member_of({"archive:href": 3}, "item x")


@pytest.mark.parametrize(
    ("kind", "is_read"),
    [("application/zip", True), ("application/x-zip-compressed", True), ("application/x-tar", False),
     ("application/gzip", False)],
)  # fmt: skip
def test_formats(kind, is_read):
    asset = {"archive:href": "x.tif", "archive:format": kind}
    if is_read:
        assert member_of(asset, "item x") == "x.tif"
        return
    with pytest.raises(SourceError, match="must be a zip"):
        member_of(asset, "item x")


def test_a_file_a_band_is_no_member():
    document = item(**{"archive:href": "a/x.tif"})
    with pytest.raises(SourceError, match="must not be members of an archive"):
        read(document, band_assets={"B02": "image"})
