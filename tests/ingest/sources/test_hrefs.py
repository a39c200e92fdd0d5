import pytest

from tilepipe.components.ingest.sources.hrefs import HrefResolver
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
    with pytest.raises(SourceError, match="must be below the catalog's folder") as caught:
        resolver.resolve(href, "/data/stac/items", "item x")
    assert f"Received: href={href} in item x" in str(caught.value)


def test_a_web_address_names_the_parameter_that_helps():
    with pytest.raises(SourceError, match="own host") as caught:
        HrefResolver("/data", {}).resolve(f"{WEB}x.tif?sig=a-secret", "/data", "item x")
    assert """data_href_rewrite='{"https://example.org/": "https://example.org/"}'""" in str(caught.value)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("./a/x.tif", f"{WEB}items/a/x.tif"),
        ("../x.tif?sig=1", f"{WEB}x.tif?sig=1"),
        ("/x.tif", "https://example.org/x.tif"),
        ("/etc/passwd", "https://example.org/etc/passwd"),
        ("//example.org/x.tif", "https://example.org/x.tif"),
        ("HTTPS://EXAMPLE.org:443/other/x.tif", "https://example.org/other/x.tif"),
        ("https://store.example.net:8443/tiles/a/x.tif?sig=1", "https://store.example.net:8443/tiles/a/x.tif?sig=1"),
        ("https://old.example.net/x.tif", f"{WEB}new/x.tif"),
        ("s3://open/tiles/x.tif", "s3://open/tiles/x.tif"),
        ("gs://tiles/x.tif", "s3://open/tiles/x.tif"),
        ("file:///data/x.tif", "/data/x.tif"),
    ],
)
def test_where_hrefs_of_a_catalog_on_the_web_lead(href, expected):
    store = "https://store.example.net:8443/tiles/"
    rewrite = {
        store: store,
        "https://old.example.net/": f"{WEB}new/",
        "s3://open/": "s3://open/",
        "gs://tiles/": "s3://open/tiles/",
        "file:///data/": "/data/",
    }
    assert HrefResolver(WEB[:-1], rewrite).resolve(href, f"{WEB}items", "item") == expected


@pytest.mark.parametrize(
    ("href", "message"),
    [
        ("http://example.org/x.tif", "own host"),
        ("https://example.org:8443/x.tif", "own host"),
        ("https://example.org.evil.net/x.tif", "own host"),
        ("//evil.net/x.tif", "own host"),
        ("http://169.254.169.254/latest/meta-data", "own host"),
        ("http://127.0.0.1:9000/x.tif", "own host"),
        ("https://store.example.net/secret/x.tif", "own host"),
        ("https://store.example.net/tiles/../secret/x.tif", "own host"),
        ("https://store.example.net/tiles/%2e%2e/secret/x.tif", "own host"),
        ("https://store.example.net/tiles/..%2fsecret/x.tif", "hide `..`"),
        ("https://store.example.net/tiles-of-others/x.tif", "own host"),
        ("https://user:word@example.org/x.tif", "without a user"),
        ("../../../../x.tif", "lead out of its host"),
        ("s3://bucket/x.tif", "only below a replacement"),
        ("s3://open-not/x.tif", "only below a replacement"),
        ("file:///etc/passwd", "no local folder"),
    ],
)
def test_hrefs_that_lead_out_of_a_catalog_on_the_web(href, message):
    rewrite = {"https://store.example.net/tiles": "https://store.example.net/tiles", "s3://open": "s3://open"}
    with pytest.raises(SourceError, match=message) as caught:
        HrefResolver(f"{WEB}stac", rewrite).resolve(href, f"{WEB}stac/items", "item x")
    assert "item x" in str(caught.value)
    assert "user:word" not in str(caught.value)


def test_a_catalog_on_a_private_host_may_name_that_host_alone():
    """Which the user chose; that it is private says nothing for its neighbors."""
    resolver = HrefResolver("http://10.0.0.1:8080/stac", {})
    assert resolver.resolve("../x.tif", "http://10.0.0.1:8080/stac", "item") == "http://10.0.0.1:8080/x.tif"
    with pytest.raises(SourceError, match="own host"):
        resolver.resolve("http://10.0.0.2:8080/x.tif", "http://10.0.0.1:8080/stac", "item")


@pytest.mark.parametrize("href", [None, "", " ", 3, ["x"], "gs://bucket/x", "/data/\0"])
def test_what_is_no_address(href):
    with pytest.raises(SourceError, match="item x"):
        HrefResolver("/data", {}).resolve(href, "/data", "item x")


def test_a_catalog_in_a_bucket_has_no_local_files():
    resolver = HrefResolver("s3://bucket/stac", {})
    assert resolver.resolve("../x.tif", "s3://bucket/stac/items", "item") == "s3://bucket/stac/x.tif"
    for href in ("/etc/passwd", "file:///etc/passwd"):
        with pytest.raises(SourceError, match="no local folder"):
            resolver.resolve(href, "s3://bucket/stac/items", "item")
    with pytest.raises(SourceError, match="out of its bucket"):
        resolver.resolve("../../../x.tif", "s3://bucket/stac/items", "item")


def test_a_link_may_be_the_way_to_the_catalog(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    resolver = HrefResolver(str(tmp_path / "link"), {})
    assert resolver.resolve(str(tmp_path / "real" / "x.tif"), str(tmp_path / "link"), "item")


def test_percent_signs_are_decoded_where_only_that_file_exists(tmp_path):
    for name in ("a b.tif", "c%20d.tif", "c d.tif"):
        (tmp_path / name).touch()
    resolver = HrefResolver(str(tmp_path), {})
    hrefs = {"./a%20b.tif": "a b.tif", "./c%20d.tif": "c%20d.tif", "./e%20f.tif": "e%20f.tif", "a%00b": "a%00b"}
    for href, name in hrefs.items():
        assert resolver.resolve(href, str(tmp_path), "item") == str(tmp_path / name)
    with pytest.raises(SourceError, match="must be below the catalog's folder"):
        resolver.resolve("%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", str(tmp_path), "item")
