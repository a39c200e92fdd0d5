"""A static STAC catalog: JSON files that link to each other.

Read as plain JSON, which takes 0.05 ms per item; a pystac object takes 0.8 ms, or 22 s for a catalog of 27,000 tiles.
The fields of an item are checked when they are used.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac.item import ItemReader
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.runtime.progress import Progress
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.ingest")

_ROOT_NAMES = ("catalog.json", "collection.json")
_REMOTE_THREADS = 32
_LOCAL_THREADS = 2


@dataclass(frozen=True)
class _Link:
    uri: str
    found_in: str
    collection: dict[str, Any] | None
    """The closest parent collection."""


@dataclass
class StacCatalog:
    """A static catalog, with or without collections, on a disk, in a bucket or on the web.

    Args:
        root: normalized address of catalog.json or collection.json.
        config: parameters of the step.
        wanted: names of the properties that rows must include.
    """

    root: str
    config: IngestConfig
    wanted: frozenset[str] = frozenset()
    kind: SourceKind = "stac-catalog"
    _collection_ids: set[str] = field(default_factory=set)
    _root_id: str = ""

    @property
    def name(self) -> str:
        """Id of the only collection, or of the catalog if there are several."""
        return next(iter(self._collection_ids)) if len(self._collection_ids) == 1 else self._root_id

    def rows(self) -> Iterator[TileRow]:
        """Yield the tiles, level by level of the catalog.

        Raises:
            SourceError: if a file is missing or malformed, or a link is outside the allowed locations.
        """
        resolver = HrefResolver(storage.parent(self.root), self.config.href_rewrite)
        reader = ItemReader.of(self.config, resolver, self.wanted)
        progress = Progress(logger, "read", None, "catalog files")
        seen = {self.root}
        level = [_Link(self.root, "source", None)]
        threads = _REMOTE_THREADS if storage.is_remote(self.root) else _LOCAL_THREADS
        while level:
            below: list[_Link] = []
            for link, document in map_in_order(_read, level, threads=threads):
                progress.advance()
                if document.get("type") == "Feature":
                    folder = storage.parent(link.uri)
                    yield reader.row(document, folder=folder, where=link.uri, collection=link.collection)
                    continue
                for found in self._links(link, document, resolver):
                    if found.uri not in seen:  # the links of a catalog may form cycles
                        seen.add(found.uri)
                        below.append(found)
            level = below
        progress.finish()

    def _links(self, link: _Link, document: dict[str, Any], resolver: HrefResolver) -> Iterator[_Link]:
        kind = document.get("type")
        if kind not in {"Catalog", "Collection"}:
            raise SourceError(
                "The files of a STAC catalog must have the type Catalog, Collection or Feature. Received: "
                f"type={kind!r} in {link.uri}."
            )
        name = str(document.get("id") or "")
        if link.uri == self.root:
            self._root_id = name
        if kind == "Collection":
            self._collection_ids.add(name)
        collection = document if kind == "Collection" else link.collection
        links = document.get("links")
        if not isinstance(links, list):
            raise SourceError(f"The links of a catalog must be a list. Received: {links!r} in {link.uri}.")
        folder = storage.parent(link.uri)
        for stated in links:
            if isinstance(stated, dict) and stated.get("rel") in {"child", "item"}:
                uri = resolver.resolve(stated.get("href"), folder, f"a link of {link.uri}")
                yield _Link(uri, link.uri, collection)


def catalog_file(folder: str) -> str:
    """Return the address of the catalog's file in a folder; empty if there is none."""
    if folder.lower().endswith(".json"):
        return ""
    files = (storage.join(folder, name) for name in _ROOT_NAMES)
    return next((file for file in files if storage.is_file(file)), "")


def _read(link: _Link) -> tuple[_Link, dict[str, Any]]:
    try:
        document = json.loads(storage.read_bytes(link.uri))
    except SourceError as error:
        raise SourceError(
            f"A file of a STAC catalog must exist. Received: {link.uri}, which {link.found_in} links to. {error}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"A STAC file must be JSON. Received: {link.uri}, which reads as: {error}.") from None
    if not isinstance(document, dict):
        raise SourceError(f"A STAC file must be a JSON object. Received: {link.uri}: a {type(document).__name__}.")
    return link, document
