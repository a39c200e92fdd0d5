import pytest

from tilepipe.components.ingest.hrefs import HrefResolver
from tilepipe.components.shared.errors import SourceError

WEB = "https://example.org/set/"


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("./a/x.tif", "/data/stac/items/a/x.tif"),
        ("../x.tif", "/data/stac/x.tif"),
        ("/data/stac/x.tif", "/data/stac/x.tif"),
        ("file:///data/stac/a%20b.tif", "/data/stac/a b.tif"),
        ("s3://bucket/x.tif", "s3://bucket/x.tif"),
        (f"{WEB}tif/x.tif", "/tiles/tif/x.tif"),
        (f"{WEB}deep/x.tif", "s3://deep/x.tif"),
        ("../../pixels/x.tif", "/data/pixels/x.tif"),
    ],
)
def test_where_hrefs_lead(href, expected):
    rewrite = {WEB: "/tiles/", f"{WEB}deep/": "s3://deep/", "/data/pixels/": "/data/pixels/"}
    assert HrefResolver("/data/stac", rewrite).resolve(href, "/data/stac/items", "item") == expected


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "../../../etc/passwd",
        "../../stacks/x.tif",
        f"{WEB}../../etc/passwd",
        f"{WEB[:-1]}-other/x.tif",
    ],
)
def test_hrefs_that_lead_out_are_refused(href):
    resolver = HrefResolver("/data/stac", {WEB[:-1]: "/tiles"})
    with pytest.raises(SourceError, match="must stay below the catalogue's folder") as caught:
        resolver.resolve(href, "/data/stac/items", "item x")
    assert f"Received: href={href} in item x" in str(caught.value)


def test_a_web_address_names_the_parameter_that_helps():
    with pytest.raises(SourceError, match="href_rewrite") as caught:
        HrefResolver("/data", {}).resolve(f"{WEB}x.tif", "/data", "item x")
    assert WEB in str(caught.value)


@pytest.mark.parametrize("href", [None, "", " ", 3, ["x"], "gs://bucket/x", "/data/\0"])
def test_what_is_no_address(href):
    with pytest.raises(SourceError, match="item x"):
        HrefResolver("/data", {}).resolve(href, "/data", "item x")


def test_a_catalogue_in_a_bucket_has_no_local_files():
    resolver = HrefResolver("s3://bucket/stac", {})
    assert resolver.resolve("../x.tif", "s3://bucket/stac/items", "item") == "s3://bucket/stac/x.tif"
    for href in ("/etc/passwd", "file:///etc/passwd"):
        with pytest.raises(SourceError, match="no local folder"):
            resolver.resolve(href, "s3://bucket/stac/items", "item")
    with pytest.raises(SourceError, match="out of its bucket"):
        resolver.resolve("../../../x.tif", "s3://bucket/stac/items", "item")


def test_a_link_may_be_the_way_to_the_catalogue(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    resolver = HrefResolver(str(tmp_path / "link"), {})
    assert resolver.resolve(str(tmp_path / "real" / "x.tif"), str(tmp_path / "link"), "item")
