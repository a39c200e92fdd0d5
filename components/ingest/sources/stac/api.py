"""A STAC API, queried through pystac-client and read page by page as plain dictionaries.

Only one page is in memory at a time. The HTTP session is in the module `session`.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from tilepipe.components.ingest.config import IngestConfig, Query, SourceKind
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac.documents import read_document
from tilepipe.components.ingest.sources.stac.item import ItemReader
from tilepipe.components.ingest.sources.stac.label_items import LabelItems, has_label, sources_of, with_label
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.errors import SourceError, TilepipeError
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from pystac_client import Client

    from tilepipe.components.ingest.sources.stac.session import ApiIO

logger = logging.getLogger("tilepipe.ingest")

PAGE_ITEMS = 1000
"""Requested number of items per page: few round trips, and accepted by the large public APIs."""

_SHOWN_NAMES = 10
_THREADS = 8
_ITEM = re.compile(r"/collections/([^/]+)/items/([^/]+)/?$")
_Address = tuple[str, str]
"""Ids of a collection and of an item in it."""
_BANDS_OF_COLLECTIONS = ("item_assets", "summaries", "bands", "eo:bands")


@dataclass
class StacApi:
    """A STAC API with item search: https://github.com/radiantearth/stac-api-spec/tree/v1.0.0/item-search.

    Args:
        url: address of its landing page.
        config: parameters of the step; `query` is the search.
        wanted: names of the properties that rows must include.
    """

    url: str
    config: IngestConfig
    wanted: frozenset[str] = frozenset()
    kind: SourceKind = "stac-api"
    _root_id: str = ""
    _collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: the statements of the bands that items may lack."""

    @property
    def name(self) -> str:
        """Id of the only collection, or of the API if the tiles are of several collections."""
        return next(iter(self._collections)) if len(self._collections) == 1 else self._root_id

    def rows(self) -> Iterator[TileRow]:
        """Yield the tiles that the query finds.

        Raises:
            ParameterError: if the credentials in the environment are incomplete, or would be sent unencrypted.
            SourceError: if there is no such API or collection, it rejects the query or the credentials, links to
                another host, or finds nothing.
            StorageError: if it cannot be reached, or fails repeatedly.
        """
        import pystac.errors

        from tilepipe.components.ingest.sources.stac.session import ApiIO

        url = _checked(self.url)
        io = ApiIO(url, self.config.href_rewrite)
        try:
            client = _open(url, io, self.config.query)
            self._root_id = client.id
            collections_url = _collections_url(client, url)
            if collections_url:
                for name in self.config.query.collections:
                    self._collections[name] = _asked_collection(io, collections_url, name)
            resolver = HrefResolver(url, self.config.href_rewrite)
            reader = ItemReader.of(self.config, resolver, self.wanted)
            labels = LabelItems()
            without_label: dict[_Address, dict[str, Any]] = {}
            own_labels: dict[_Address, str | None] = {}
            for item in self._items(client, url):
                folder = _folder(url, item)
                hrefs = sources_of(item, self.config.options.asset_key)
                if hrefs:
                    labels.add(item, hrefs, folder, f"item {item.get('id')} ({url})", resolver)
                elif has_label(item, self.config.columns.label):
                    row = self._row(reader, io, item, url, collections_url)
                    own_labels[str(item.get("collection") or ""), str(item.get("id"))] = row.label
                    yield row
                else:
                    without_label[str(item.get("collection") or ""), str(item.get("id"))] = item
            labels.leave_out_labelled(
                {uri: own_labels[address] for uri in labels.labels if (address := _address(uri)) in own_labels},
                lambda item: reader.label(item["properties"], str(item.get("id"))),
            )
            for item in self._labelled(io, labels, without_label):
                yield self._row(reader, io, item, url, collections_url)
        except pystac.errors.STACError as error:
            # pystac reads the root again to resolve links, and wraps what goes wrong then.
            if isinstance(error.__cause__, TilepipeError):
                raise error.__cause__ from None
            said = io.credentials.removed_from(str(error))
            raise SourceError(f"The links of a STAC API must lead to STAC. Received: {url}: {said}.") from None
        finally:
            io.session.close()

    def _row(self, reader: ItemReader, io: "ApiIO", item: dict[str, Any], url: str, collections_url: str) -> TileRow:
        name = str(item.get("collection") or "")
        if name not in self._collections:
            self._collections[name] = _collection(io, collections_url, name) or {}
        return reader.row(item, folder=_folder(url, item), where=url, collection=self._collections[name])

    def _labelled(
        self, io: "ApiIO", labels: LabelItems, without_label: dict["_Address", dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        """Yield the items whose label is in another item, and, if there are no such items, those without a label."""
        addresses = {uri: _address(uri) for uri in labels.labels}
        absent = [uri for uri, address in addresses.items() if address not in without_label]
        fetched = dict(zip(absent, map_in_order(lambda uri: _source(io, uri), absent, threads=_THREADS), strict=True))
        for uri, label_item in labels.labels.items():
            item = fetched[uri] if uri in fetched else without_label.pop(addresses[uri])
            yield with_label(item, label_item)
        if labels.labels and without_label and self.config.needs_labels:
            logger.info(
                "%s items have no label, and no label item has them as its source: left out", f"{len(without_label):,}"
            )
            return
        yield from without_label.values()

    def _items(self, client: "Client", url: str) -> Iterator[dict[str, Any]]:
        query = self.config.query
        with warnings.catch_warnings():
            # Warnings of methods that the landing page does not list, although the server supports them.
            warnings.simplefilter("ignore")
            search = client.search(
                # Every API supports GET, whose filters are text; filters in JSON require POST.
                method="POST" if isinstance(query.filter, dict) else "GET",
                max_items=query.max_items or None,
                limit=PAGE_ITEMS,
                collections=list(query.collections) or None,
                bbox=list(query.bbox) or None,
                datetime=query.datetime or None,
                filter=query.filter or None,
            )
        progress: Progress | None = None
        matched: int | None = None
        for page in search.pages_as_dicts():
            if progress is None:
                matched = _matched(page, query)
                progress = Progress(logger, "read", matched, "items of the API")
            yield from page["features"]
            progress.advance(len(page["features"]))
        if progress is None:
            raise SourceError(f"A query must find at least one item. Received: none at {url} for {_asked(query)}.")
        progress.finish()
        if matched is not None and progress.done < matched:
            logger.warning(
                "the API stated %s matching items but returned %s: its count is an estimate or pages are incomplete",
                f"{matched:,}",
                f"{progress.done:,}",
            )


def _folder(url: str, item: Mapping[str, Any]) -> str:
    return f"{url}/collections/{quote(str(item.get('collection') or ''), safe='')}/items"


def _address(uri: str) -> _Address:
    """Return the ids of the collection and the item at an address of an API; empty for another address."""
    match = _ITEM.search(storage.path_of(uri))
    return (unquote(match[1]), unquote(match[2])) if match else ("", "")


def _source(io: "ApiIO", uri: str) -> dict[str, Any]:
    """Read the item with the pixels of a label item."""
    return io.answer(uri) if storage.is_web(uri) else read_document(uri, "a label item")


def _checked(url: str) -> str:
    """Return the normalized address; it is stored in the tile table, so it must not contain credentials."""
    rule = "A STAC API's address must be https://host/path, without a user or a query"
    if storage.scheme(url) not in {"http", "https"}:
        raise SourceError(f"{rule}. Received: data_source={url}.")
    normalized = storage.normalize(url)
    if "?" in normalized:
        raise SourceError(
            f"{rule}. Received: data_source={storage.shown(url)}. Set credentials in the environment, such as "
            "TILEPIPE_STAC_TOKEN, and the search in `data_query`."
        )
    return normalized.rstrip("/")


def _open(url: str, io: "ApiIO", query: Query) -> "Client":
    """Check the landing page and return the client of the API."""
    import pystac.errors
    from pystac_client import Client
    from pystac_client.conformance import ConformanceClasses
    from pystac_client.errors import ClientTypeError

    landing = io.answer(url)
    conforms = landing.get("conformsTo")
    if landing.get("type") != "Catalog" or not isinstance(conforms, list):
        static = landing.get("type") in ("Catalog", "Collection") and "conformsTo" not in landing
        raise SourceError(
            "The address of a STAC API must be that of its landing page: a JSON object with type Catalog and "
            f"conformsTo. Received: {url} with type={landing.get('type')!r} and "
            f"{joined(sorted(landing)[:_SHOWN_NAMES])}. "
            + (
                f"It looks like a static catalog: set {argument('options', {'kind': 'stac-catalog'})}."
                if static
                else "Correct `data_source`."
            )
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = Client.open(url, stac_io=io, timeout=io.timeout)
    except (ClientTypeError, pystac.errors.STACError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SourceError(
            f"The landing page of a STAC API must be a STAC catalog. Received: {url}, which reads as: "
            f"{type(error).__name__}: {io.credentials.removed_from(str(error))}."
        ) from None
    if not client.conforms_to(ConformanceClasses.ITEM_SEARCH):
        raise SourceError(
            "A STAC API must support item search (conformsTo with .../item-search). Received: "
            f"{url} with {io.credentials.removed_from(str(conforms))}."
        )
    if query.filter and not client.conforms_to(ConformanceClasses.FILTER):
        raise SourceError(
            "`data_query.filter` requires an API with the filter extension (conformsTo with .../item-search#filter). "
            f"Received: data_query.filter={query.filter!r}, and {url} does not support it. Use `data_where`, which "
            "is applied after reading."
        )
    return client


def _collections_url(client: "Client", url: str) -> str:
    """Return the address of the API's collections; empty if it has none."""
    from pystac_client.conformance import ConformanceClasses

    if not any(client.conforms_to(known) for known in (ConformanceClasses.COLLECTIONS, ConformanceClasses.FEATURES)):
        return ""
    link = client.get_single_link("data")
    return (link.absolute_href if link else f"{url}/collections").rstrip("/")


def _collection(io: "ApiIO", collections_url: str, name: str) -> dict[str, Any] | None:
    """Return a collection's statements of its items' bands; None if the API does not have the collection."""
    from tilepipe.components.ingest.sources.stac.session import NothingThereError

    if not collections_url or not name:
        return None
    try:
        document = io.answer(f"{collections_url}/{quote(name, safe='')}")
    except NothingThereError:
        return None
    return {key: document[key] for key in _BANDS_OF_COLLECTIONS if key in document}


def _asked_collection(io: "ApiIO", collections_url: str, name: str) -> dict[str, Any]:
    collection = _collection(io, collections_url, name)
    if collection is None:
        listed = io.answer(collections_url).get("collections")
        known = [
            str(entry.get("id")) for entry in (listed if isinstance(listed, list) else []) if isinstance(entry, dict)
        ]
        more = ", ..." if len(known) > _SHOWN_NAMES else ""
        raise SourceError(
            f"Each of data_query.collections must exist in the API. Received: {name!r}, which {io.url} does not "
            f"have. It has: {', '.join(known[:_SHOWN_NAMES]) or 'none'}{more}."
        )
    return collection


def _matched(page: Mapping[str, Any], query: Query) -> int | None:
    """Return the number of matching items, if the API states it."""
    context = page.get("context")
    stated = page.get("numberMatched", context.get("matched") if isinstance(context, dict) else None)
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 0:
        return None
    return min(stated, query.max_items) if query.max_items else stated


def _asked(query: Query) -> str:
    given = {name: value for name, value in query.model_dump(mode="json").items() if value}
    return ", ".join(f"data_query.{name}={value!r}" for name, value in given.items()) or "all items"
