"""Assets that are members of an archive: https://github.com/stac-extensions/archive, version 1.0.

The `href` of such an asset is the archive, and `archive:href` the path in it. `type`, `file:size` and `file:checksum`
describe the file at `href`, which is the archive: https://github.com/stac-extensions/file defines them for "the file",
and the archive extension adds `archive:type` for the member, but neither size nor checksum. Members are checked against
the size and the CRC in the zip instead.
"""

from collections.abc import Mapping
from typing import Any

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage.zip_members import check_member

HREF, FORMAT, TYPE = "archive:href", "archive:format", "archive:type"


def is_member(asset: Mapping[str, Any]) -> bool:
    """Return True if an asset is a member of an archive."""
    return asset.get(HREF) is not None


def member_of(asset: Mapping[str, Any], where: str) -> str | None:
    """Return the path of an asset within the zip at its href.

    Returns:
        The path, relative to the archive's root; None if the asset is not a member of an archive.

    Raises:
        SourceError: if the path is outside the archive, or the archive is not a zip.
    """
    path = asset.get(HREF)
    if path is None:
        return None
    kind = str(asset.get(FORMAT) or "").lower()
    if kind and "zip" not in kind.replace("gzip", ""):
        raise SourceError(
            f"The archive of an asset must be a zip: others cannot be read in part. Received: {FORMAT}={kind!r} in "
            f"{where}. Unpack the archive."
        )
    if not isinstance(path, str):
        raise SourceError(f"The {HREF} of an asset must be a string. Received: {path!r} in {where}.")
    # "This is a relative or absolute path": both are relative to the archive's root.
    return check_member(path.lstrip("/").removeprefix("./"), f"{HREF} of {where}")


def media_type(asset: Mapping[str, Any]) -> tuple[object, str]:
    """Return the stated media type of an asset's pixels, and the file or member name to infer it from otherwise."""
    if is_member(asset):
        return asset.get(TYPE), str(asset.get(HREF))
    return asset.get("type"), str(asset.get("href") or "")
