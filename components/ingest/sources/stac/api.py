"""A STAC API: asked through pystac-client, read page by page as plain dictionaries.

No more than a page is in memory at once. What stands between this and the network is in `stac_session`.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tilepipe.components.ingest.config import IngestConfig, Query, SourceKind
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac.item import ItemReader
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.progress import Progress
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from pystac_client import Client

    from tilepipe.components.ingest.sources.stac.session import ApiIO

logger = logging.getLogger("tilepipe.ingest")

PAGE_ITEMS = 1000
"""How many items a page is asked to have: few round trips, and a number that the large public APIs take."""

_SHOWN_NAMES = 10
_BANDS_OF_COLLECTIONS = ("item_assets", "summaries", "bands", "eo:bands")


@dataclass
class StacApi:
    """A STAC API with item search: https://github.com/radiantearth/stac-api-spec/tree/v1.0.0/item-search.

    Args:
        url: the address of its landing page.
        config: the step's parameters; `query` says what is asked.
        wanted: names of the properties that rows shall carry along.
    """

    url: str
    config: IngestConfig
    wanted: frozenset[str] = frozenset()
    kind: SourceKind = "stac-api"
    _root_id: str = ""
    _collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id, what their items do not state themselves."""

    @property
    def name(self) -> str:
        """The one collection's id, or the API's where the tiles are of several."""
        return next(iter(self._collections)) if len(self._collections) == 1 else self._root_id

    def rows(self) -> Iterator[TileRow]:
        """Yield the tiles that the query finds.

        Raises:
            ParameterError: the environment's credentials are not whole, or would cross a network in the clear.
            SourceError: there is no such API or collection, it refuses the query or the credentials, leads to another
                host, or finds nothing.
            StorageError: it cannot be reached, or fails again and again.
        """
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
            for item in self._items(client, url):
                name = str(item.get("collection") or "")
                if name not in self._collections:
                    self._collections[name] = _collection(io, collections_url, name) or {}
                folder = f"{url}/collections/{quote(name, safe='')}/items"
                yield reader.row(item, folder=folder, where=url, collection=self._collections[name])
        finally:
            io.session.close()

    def _items(self, client: "Client", url: str) -> Iterator[dict[str, Any]]:
        query = self.config.query
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # about methods that the landing page does not list, though servers have them
            search = client.search(
                # The one method that every API has, and text the one language of GET; JSON is POST's.
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
                "the API said that %s items match, and gave %s: its count is an estimate, or its pages are not whole",
                f"{matched:,}",
                f"{progress.done:,}",
            )


def _checked(url: str) -> str:
    """The normalised address, if it is one that can stand in a table that others read."""
    rule = "A STAC API's address must be https://host/path, without a user or a query"
    if storage.scheme(url) not in {"http", "https"}:
        raise SourceError(f"{rule}. Received: source={url}.")
    normalised = storage.normalise(url)
    if "?" in normalised:
        raise SourceError(
            f"{rule}. Received: source={storage.shown(url)}. Credentials come from the environment, as "
            "TILEPIPE_STAC_TOKEN, and what is asked for from `query`."
        )
    return normalised.rstrip("/")


def _open(url: str, io: "ApiIO", query: Query) -> "Client":
    """The API's client, once its landing page has been found to be one."""
    import pystac.errors
    from pystac_client import Client
    from pystac_client.conformance import ConformanceClasses
    from pystac_client.errors import ClientTypeError

    landing = io.answer(url)
    conforms = landing.get("conformsTo")
    if landing.get("type") != "Catalog" or not isinstance(conforms, list):
        static = landing.get("type") in {"Catalog", "Collection"} and "conformsTo" not in landing
        raise SourceError(
            "A STAC API's address must be that of its landing page: a JSON object with type Catalog and conformsTo. "
            f"Received: {url} with type={landing.get('type')!r} and {sorted(landing)[:_SHOWN_NAMES]}. "
            + ("It looks like a static catalog: set options.kind=stac-catalog." if static else "Correct `source`.")
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = Client.open(url, stac_io=io, timeout=io.timeout)
    except (ClientTypeError, pystac.errors.STACError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SourceError(
            f"A STAC API's landing page must be a STAC catalog. Received: {url}, which reads as: "
            f"{type(error).__name__}: {io.credentials.removed_from(str(error))}."
        ) from None
    if not client.conforms_to(ConformanceClasses.ITEM_SEARCH):
        raise SourceError(
            "A STAC API must have item search (conformsTo with .../item-search). Received: "
            f"{url} with {io.credentials.removed_from(str(conforms))}."
        )
    if query.filter and not client.conforms_to(ConformanceClasses.FILTER):
        raise SourceError(
            "`query.filter` is for APIs that filter (conformsTo with .../item-search#filter). Received: "
            f"query.filter={query.filter!r}, and {url} does not. Use `where`, which is applied after reading."
        )
    return client


def _collections_url(client: "Client", url: str) -> str:
    """Where the API's collections are; empty where it has none."""
    from pystac_client.conformance import ConformanceClasses

    if not any(client.conforms_to(known) for known in (ConformanceClasses.COLLECTIONS, ConformanceClasses.FEATURES)):
        return ""
    link = client.get_single_link("data")
    return (link.absolute_href if link else f"{url}/collections").rstrip("/")


def _collection(io: "ApiIO", collections_url: str, name: str) -> dict[str, Any] | None:
    """What a collection states of its items' bands; None where the API does not know it."""
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
            f"The API must have each collection of query.collections. Received: {name!r}, which {io.url} does not "
            f"have. It has: {', '.join(known[:_SHOWN_NAMES]) or 'none'}{more}."
        )
    return collection


def _matched(page: Mapping[str, Any], query: Query) -> int | None:
    """How many items there will be, where the API says so."""
    context = page.get("context")
    stated = page.get("numberMatched", context.get("matched") if isinstance(context, dict) else None)
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 0:
        return None
    return min(stated, query.max_items) if query.max_items else stated


def _asked(query: Query) -> str:
    given = {name: value for name, value in query.model_dump(mode="json").items() if value}
    return ", ".join(f"query.{name}={value!r}" for name, value in given.items()) or "everything it has"
