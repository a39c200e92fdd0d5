"""The JSON files of a static catalog: reading, type and version, and files that hold many items."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tilepipe.components.ingest.parameter_names import joined
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

_LINES = (".ndjson", ".jsonl", ".geojsonl", ".geojsons")
SUFFIXES = (".json", ".geojson", *_LINES)
"""Suffixes of catalogs, collections, items, and files of items."""

_OLDEST = (0, 9)
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})")


def is_document(uri: str) -> bool:
    """Return True if an address has the suffix of a STAC file in JSON, or of a file with one item per line."""
    return storage.path_of(uri).lower().endswith(SUFFIXES)


def read_document(uri: str, found_in: str) -> dict[str, Any]:
    """Read a STAC file; a file with one item per line, or a list of items, is returned as a FeatureCollection.

    Args:
        uri: normalized address.
        found_in: location of the link to it, for messages.

    Returns:
        The document; `type` is set, also where STAC 0.9 had none.

    Raises:
        SourceError: if it is missing, no JSON object, or older than STAC 0.9.
    """
    try:
        content = storage.read_bytes(uri)
        if storage.path_of(uri).lower().endswith(_LINES):
            document: object = {"type": "FeatureCollection", "features": _lines(content)}
        else:
            document = parse_json(content)
    except SourceError as error:
        raise SourceError(
            f"A file of a STAC catalog must exist. Received: {storage.shown(uri)}, which {found_in} links to. {error}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"A STAC file must be JSON. Received: {storage.shown(uri)}, which reads as: {error}."
        ) from None
    if isinstance(document, list) and document and all(isinstance(item, dict) for item in document):
        document = {"type": "FeatureCollection", "features": document}
    if not isinstance(document, dict):
        raise SourceError(
            f"A STAC file must be a JSON object. Received: {storage.shown(uri)}: a {type(document).__name__}."
        )
    check_version(document, uri)
    if "type" not in document and "stac_version" in document and "links" in document:
        document["type"] = "Collection" if "extent" in document else "Catalog"  # `type` is required since STAC 1.0
    return document


def parse_json(content: bytes | str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON, without halves of surrogate pairs, which JSON can hold and no other format.

    Raises:
        ValueError: if it is malformed.
        RecursionError: if it is nested too deeply.
    """
    document = json.loads(content)
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    if re.search(r"\\u[dD][89a-fA-F]", text):
        json.dumps(document, ensure_ascii=False).encode()
    return document


def check_version(document: dict[str, Any], where: str) -> None:
    """Check that a document is not older than STAC 0.9, whose items state bands in another way.

    Raises:
        SourceError: if it is.
    """
    stated = document.get("stac_version")
    version = _VERSION.match(stated) if isinstance(stated, str) else None
    if version and (int(version[1]), int(version[2])) < _OLDEST:
        raise SourceError(
            f"A STAC catalog must be of version 0.9 or later. Received: stac_version={stated} in {where}. Convert the "
            "catalog, for example with pystac: pystac.Catalog.from_file(...).full_copy().save()."
        )


def items_of(collection: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Yield the items of a FeatureCollection (an ItemCollection of STAC).

    Raises:
        SourceError: if it is one page of a search, or holds something other than items.
    """
    features = collection.get("features")
    if not isinstance(features, list):
        raise SourceError(f"The features of an ItemCollection must be a list. Received: {features!r} in {where}.")
    links = collection.get("links")
    if any(isinstance(link, dict) and link.get("rel") == "next" for link in (links if isinstance(links, list) else ())):
        raise SourceError(
            f"An ItemCollection must have all items. Received: {where}, one page of a search, with a next link. Give "
            "the address of the API, or save the items of all pages."
        )
    for number, item in enumerate(features):
        if not isinstance(item, dict) or item.get("type") != "Feature":
            raise SourceError(
                "Each feature of an ItemCollection must be a STAC item, an object of type Feature. Received: "
                f"feature {number} of {where}: {str(item)[:100]}."
            )
        check_version(item, where)
        yield item


def mirror_of(document: dict[str, Any], where: str) -> object:
    """Return the href of the GeoParquet that has the items of a collection, if no link leads to them.

    https://github.com/stac-utils/stac-geoparquet/blob/main/spec/stac-geoparquet-spec.md#referencing-a-stac-geoparquet-collections-in-a-stac-collection-json

    Args:
        document: a STAC document.
        where: its location, for messages.

    Returns:
        The href; None if there is no such asset, or the items are linked.

    Raises:
        SourceError: if there are several such assets.
    """
    links, assets = document.get("links"), document.get("assets")
    linked = any(
        isinstance(link, dict) and link.get("rel") in ("child", "item")
        for link in (links if isinstance(links, list) else [])
    )
    if document.get("type") != "Collection" or linked or not isinstance(assets, dict):
        return None
    named = {key: asset for key, asset in assets.items() if isinstance(asset, dict) and "parquet" in _kind(asset)}
    mirrors = {key: asset for key, asset in named.items() if "collection-mirror" in (asset.get("roles") or ())} or named
    if len(mirrors) > 1:
        raise SourceError(
            "A collection without item links must have one GeoParquet asset with its items. Received: "
            f"{joined(mirrors)} in {where}. Give the address of one of them as `data_source`."
        )
    return next((asset.get("href") for asset in mirrors.values()), None)


def _kind(asset: dict[str, Any]) -> str:
    return f"{asset.get('type') or ''} {storage.path_of(str(asset.get('href') or ''))[-16:]}".lower()


def _lines(content: bytes) -> list[Any]:
    # RFC 8142 separates texts by the record separator; newline-delimited GeoJSON does not.
    return [parse_json(line) for line in content.replace(b"\x1e", b"").splitlines() if line.strip()]
