"""A static STAC catalog: JSON files that link to each other.

Read as plain JSON, which takes 0.05 ms per item; a pystac object takes 0.8 ms, or 22 s for a catalog of 27,000 tiles.
The fields of an item are checked when they are used.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac.documents import items_of, read_document
from tilepipe.components.ingest.sources.stac.item import ItemReader
from tilepipe.components.ingest.sources.stac.label_items import LabelItems, has_label, sources_of, with_label
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.runtime.parallel import map_in_order
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


@dataclass(frozen=True)
class _Item:
    link: _Link
    item: dict[str, Any]


@dataclass
class StacCatalog:
    """A static catalog, with or without collections, or a file of items, on a disk, in a bucket or on the web.

    Args:
        root: normalized address of catalog.json or collection.json, of an ItemCollection, or of items as lines.
        config: parameters of the step.
        wanted: names of the properties that rows must include.
        document: content of the root, if it has been read; released by `rows`.
    """

    root: str
    config: IngestConfig
    wanted: frozenset[str] = frozenset()
    document: dict[str, Any] | None = None
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
        labels = LabelItems()
        without_label: dict[str, _Item] = {}
        own_labels: dict[str, str | None] = {}
        seen = {self.root}
        level = [_Link(self.root, "source", None)]
        threads = _REMOTE_THREADS if storage.is_remote(self.root) else _LOCAL_THREADS
        while level:
            below: list[_Link] = []
            given, self.document = self.document, None
            read = map_in_order(_read, level, threads=threads) if given is None else [(level[0], given)]
            for link, document in read:
                progress.advance()
                kind, folder = document.get("type"), storage.parent(link.uri)
                if kind not in ("Feature", "FeatureCollection"):
                    for found in self._links(link, document, resolver):
                        if found.uri not in seen:  # the links of a catalog may form cycles
                            seen.add(found.uri)
                            below.append(found)
                    continue
                for uri, item in self._items(link, document):
                    hrefs = sources_of(item, self.config.options.asset_key)
                    if hrefs:
                        labels.add(item, hrefs, folder, f"item {item.get('id')} ({link.uri})", resolver)
                    elif has_label(item, self.config.columns.label):
                        row = reader.row(item, folder=folder, where=link.uri, collection=link.collection)
                        own_labels[uri] = row.label
                        yield row
                    else:
                        without_label[uri] = _Item(link, item)
            level = below
        progress.finish()
        labels.leave_out_labelled(own_labels, lambda item: reader.label(item["properties"], str(item.get("id"))))
        yield from self._labelled(reader, labels, without_label, threads)

    def _items(self, link: _Link, document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the address and content of the items of a file; those of an ItemCollection have no address."""
        if document["type"] == "Feature":
            yield link.uri, document
            return
        self._root_id = self._root_id or PurePosixPath(storage.path_of(link.uri)).stem
        for number, item in enumerate(items_of(document, link.uri)):
            if isinstance(item.get("collection"), str):
                self._collection_ids.add(item["collection"])
            yield f"{link.uri}#{number}", item

    def _labelled(
        self, reader: ItemReader, labels: LabelItems, without_label: "dict[str, _Item]", threads: int
    ) -> Iterator[TileRow]:
        """Yield the tiles whose label is in another item, and, if there are no such items, those without a label."""
        absent = [_Link(uri, "a label item", None) for uri in labels.labels if uri not in without_label]
        for link, item in map_in_order(_read, absent, threads=threads):
            without_label[link.uri] = _Item(link, item)
        keep_all = not self.config.needs_labels
        if labels.labels and not keep_all and (unused := len(without_label) - len(labels.labels)):
            logger.info("%s items have no label, and no label item has them as its source: left out", f"{unused:,}")
        for uri, found in without_label.items():
            item = found.item
            if labels.labels and uri not in labels.labels and not keep_all:
                continue
            if uri in labels.labels:
                item = with_label(item, labels.labels[uri])
            folder = storage.parent(found.link.uri)
            yield reader.row(item, folder=folder, where=found.link.uri, collection=found.link.collection)

    def _links(self, link: _Link, document: dict[str, Any], resolver: HrefResolver) -> Iterator[_Link]:
        kind = document.get("type")
        if kind not in ("Catalog", "Collection"):
            raise SourceError(
                "The files of a STAC catalog must have the type Catalog, Collection, Feature or FeatureCollection. "
                f"Received: type={kind!r} in {link.uri}."
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
            if isinstance(stated, dict) and stated.get("rel") in ("child", "item"):
                uri = resolver.resolve(stated.get("href"), folder, f"a link of {link.uri}")
                yield _Link(uri, link.uri, collection)


def catalog_file(folder: str) -> str:
    """Return the address of the catalog's file in a folder; empty if there is none."""
    if storage.path_of(folder).lower().endswith(".json"):
        return ""
    files = (storage.join(folder, name) for name in _ROOT_NAMES)
    return next((file for file in files if storage.is_file(file)), "")


def _read(link: _Link) -> tuple[_Link, dict[str, Any]]:
    return link, read_document(link.uri, link.found_in)
