"""Assets that are members of an archive: https://github.com/stac-extensions/archive, version 1.0.

The asset's `href` is then the archive, and `archive:href` the path in it. `type`, `file:size` and `file:checksum`
describe the file that `href` names, so the archive: https://github.com/stac-extensions/file has them of "the file", and
the archive extension has `archive:type` beside `type` for the member, but neither size nor checksum. A member is held
against the size and the CRC that the zip states instead.
"""

from collections.abc import Mapping
from typing import Any

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage.zip_members import check_member

HREF, FORMAT, TYPE = "archive:href", "archive:format", "archive:type"


def is_member(asset: Mapping[str, Any]) -> bool:
    """Whether an asset is a member of an archive."""
    return asset.get(HREF) is not None


def member_of(asset: Mapping[str, Any], where: str) -> str | None:
    """The path of an asset within the zip that its href names.

    Args:
        asset: the asset.
        where: its place, for messages.

    Returns:
        The path, relative to the archive's root; None where the asset is a file of its own.

    Raises:
        SourceError: the path leads out of the archive, or the archive is no zip.
    """
    path = asset.get(HREF)
    if path is None:
        return None
    kind = str(asset.get(FORMAT) or "").lower()
    if kind and "zip" not in kind.replace("gzip", ""):
        raise SourceError(
            f"An asset's archive must be a zip: others cannot be read in part. Received: {FORMAT}={kind!r} in {where}. "
            "Unpack the archive."
        )
    if not isinstance(path, str):
        raise SourceError(f"An asset's {HREF} must be a text. Received: {path!r} in {where}.")
    # "This is a relative or absolute path": both from the archive's root.
    return check_member(path.lstrip("/").removeprefix("./"), f"{HREF} of {where}")


def media_type(asset: Mapping[str, Any]) -> tuple[object, str]:
    """What an asset's pixels are stated to be, and the name that else tells it: of the member, where it is one."""
    if is_member(asset):
        return asset.get(TYPE), str(asset.get(HREF))
    return asset.get("type"), str(asset.get("href") or "")
