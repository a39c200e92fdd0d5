"""Addresses in a STAC item, which must not make a step read files or hosts of another place."""

from pathlib import Path

from tilepipe.components.shared.storage import storage

ITEM_SUFFIXES = (".json", ".geojson")
LARGEST_ITEM_BYTES = 16 * 2**20


def is_item(uri: str) -> bool:
    """Return whether an address is that of a STAC item, by its suffix."""
    return storage.path_of(uri).lower().endswith(ITEM_SUFFIXES)


def resolve_href(href: str, item: str) -> str:
    """Return the normalized address that an href in an item refers to.

    Args:
        href: the address as written in the item; relative ones refer to the item's folder.
        item: normalized address of the item.

    Raises:
        SourceError: it is not an address.
    """
    is_relative = storage.scheme(href) == "" and (storage.is_web(item) or not href.startswith("/"))
    return storage.join(storage.parent(item), href) if is_relative else storage.normalize(href)


def may_refer(item: str, uri: str) -> bool:
    """Return whether an item may refer to an address: on its own host, in a bucket, or below a local item's folder.

    Args:
        item: normalized address of the item; one on the web may not refer to buckets.
        uri: normalized address.
    """
    if storage.is_web(uri):
        return storage.is_web(item) and storage.origin(uri) == storage.origin(item)
    if storage.is_remote(uri):
        return not storage.is_web(item)
    return not storage.is_remote(item) and Path(uri).resolve().is_relative_to(Path(storage.parent(item)).resolve())
