"""GDAL's view of the addresses and credentials that `storage` uses."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import s3_session, storage

CACHE_MEBIBYTES = 256
"""Size of GDAL's cache of decoded blocks, which bounds the memory for reading."""

_OPTIONS = {
    "CPL_VSIL_CURL_USE_HEAD": "NO",  # signed addresses are valid for GET alone
    "GDAL_CACHEMAX": CACHE_MEBIBYTES,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # else the whole prefix of a remote file is listed
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_MAX_RETRY": 5,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_INGESTED_BYTES_AT_OPEN": 32_768,
}

_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0c": "JP2OpenJPEG",
}
"""First bytes of the formats that are opened -> GDAL's driver; others, such as VRT, may refer to any file."""


@contextlib.contextmanager
def gdal_environment() -> Iterator[None]:
    """Configure GDAL for this process. `open_raster` adds S3 when the first file there is opened."""
    import rasterio
    from rasterio.session import DummySession

    # rasterio's wheels set this option to certifi's file, and then GDAL does not read CURL_CA_BUNDLE.
    certificates = {"GDAL_CURL_CA_BUNDLE": bundle} if (bundle := s3_session.ca_file()) else {}
    with rasterio.Env(session=DummySession(), **_OPTIONS, **certificates):
        yield


def open_raster(uri: str) -> Any:  # noqa: ANN401 - rasterio ships no types
    """Open a GeoTIFF or JPEG 2000 file.

    Args:
        uri: Normalized address.

    Raises:
        SourceError: There is no such file, or it has another format.
        StorageError: It cannot be read.
    """
    import rasterio

    rule = "A scene must be a GeoTIFF or JPEG 2000 file, or a STAC item (.json) of such files."
    # By its own reader, whose errors name the cause; those of GDAL often do not.
    first = storage.read_range(uri, 0, 4) if storage.size(uri) >= 4 else b""
    if first not in _DRIVERS:
        raise SourceError(f"{rule} Received: {storage.shown(uri)}, which begins with {first!r}.")
    path = _gdal_path(uri)
    if uri.startswith("s3://") and "AWS_REGION" not in rasterio.env.getenv():
        rasterio.env.setenv(**_s3_options())
    try:
        return rasterio.open(path, driver=_DRIVERS[first])
    except rasterio.errors.RasterioIOError as error:
        reason = str(error).replace(path, "it").rstrip(".")
        raise SourceError(f"{rule} Received: {storage.shown(uri)}, of which GDAL says: {reason}.") from None


def _gdal_path(uri: str) -> str:
    """Return GDAL's name of a file."""
    if storage.is_web(uri):
        return f"/vsicurl/{uri}"
    return f"/vsis3/{uri[5:]}" if storage.is_remote(uri) else uri


def _s3_options() -> dict[str, Any]:
    """Return the server and the credentials that `storage` uses."""
    options: dict[str, Any] = {}
    if endpoint := s3_session.endpoint():
        parts = urlsplit(endpoint)
        options["AWS_S3_ENDPOINT"] = parts.netloc + parts.path.rstrip("/")
        options["AWS_HTTPS"] = "YES" if parts.scheme == "https" else "NO"
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"
    return options | _credentials()


def _credentials() -> dict[str, Any]:
    """Return the credentials of boto3's chain; GDAL renews those of a pod's role itself."""
    import boto3

    session = boto3.Session()
    region = {"AWS_REGION": s3_session.region(session.region_name)}
    if any(os.environ.get(name) for name in s3_session.OTHER_CREDENTIALS):
        return region
    found = session.get_credentials()
    if found is None:
        return region | {"AWS_NO_SIGN_REQUEST": "YES"}
    keys = found.get_frozen_credentials()
    token = {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
    return region | {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key} | token
