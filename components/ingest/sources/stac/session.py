"""HTTP requests to a STAC API: with retries, limits, and credentials that are sent only to its host.

pystac-client sends its requests through this module, because by itself it follows any `next` link or redirect, and logs
headers.
"""

import json
import logging
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources.stac.credentials import PASSWORD, TOKEN, USERNAME, Credentials
from tilepipe.components.ingest.sources.stac.documents import parse_json
from tilepipe.components.shared.errors import SourceError, StorageError, TilepipeError
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.ingest")

MAX_RETRIES = 5
MAX_CONNECT_RETRIES = 3
BACKOFF_SECONDS = 0.5
MAX_PAUSE_SECONDS = 20
"""Together they limit how long an unavailable API delays the step: seconds if there is no connection, a minute or two
if it answers that it is busy."""

_TIMEOUT_SECONDS = (10.0, 60.0)
_PASSING = (408, 425, 429, 502, 503, 504)  # not 500, with which servers answer a query that they cannot process
_TOO_MUCH = (400, 413, 422, 500, 502, 504)
"""Status codes with which servers answer a request for too many items or bytes, among other reasons."""
_MAX_ANSWER_BYTES = 256 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_MAX_EMPTY_PAGES = 5
_SMALL_PAGE_ITEMS = 100


class NothingThereError(SourceError):
    """There is nothing at an address of the API."""


class RefusedError(SourceError):
    """A request is rejected by the API as wrong or too large."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class FailedError(StorageError):
    """A request fails in the API."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiIO(StacApiIO):
    """Transport of the requests of pystac-client.

    Args:
        url: normalized address of the API.
        rewrite: prefix -> replacement; replacements on the web also apply to links.
    """

    def __init__(self, url: str, rewrite: Mapping[str, str]) -> None:
        self.url = url
        self.credentials = Credentials.from_environment(url)
        web = {prefix: to for prefix, to in rewrite.items() if storage.scheme(to) in {"http", "https"}}
        self._rewrite = sorted(web.items(), key=lambda pair: (-len(pair[0]), pair[0]))
        super().__init__(timeout=_TIMEOUT_SECONDS)
        self.session = _Session(url, self.credentials, tuple(storage.normalize(to) for to in web.values()))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Send a request and return the text of the response.

        Raises:
            SourceError: if the API rejects the request, or links to another host.
            StorageError: if the API cannot be reached, or fails repeatedly.
        """
        for prefix, replacement in self._rewrite:
            if href.startswith(prefix):
                href = replacement + href[len(prefix) :]
                break
        try:
            return super().request(href, method, headers, parameters)
        except APIError as error:
            cause = error.__context__
            if isinstance(cause, TilepipeError):
                raise cause from None
            status = getattr(error, "status_code", None)
            raise self._explained(href, status, self.credentials.removed_from(str(error))) from None

    def answer(
        self,
        href: str,
        method: str = "GET",
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a request and return the JSON object of the response.

        Raises:
            SourceError: as in `request`, or if the response is not a JSON object.
            StorageError: as in `request`.
        """
        text = self.request(href, method, dict(headers or {}), dict(parameters or {}))
        try:
            document = parse_json(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise SourceError(
                "The responses of a STAC API must be JSON objects. Received: "
                f"{self.credentials.removed_from(text[:1000])!r} from {storage.shown(href)}. "
                "Give the address of its landing page, the one whose JSON has conformsTo and links."
            )
        return document

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a search by following the `next` links.

        Replaces the method of pystac-client, which ends at the first empty page (some servers filter the items of a
        page after paging) and does not terminate if the links form a cycle.

        Raises:
            SourceError: if a response is not a page, or `next` forms a cycle or refers to another host.
            StorageError: if the API cannot be reached.
        """
        request: _Request | None = _Request(url, (method or "GET").upper(), dict(parameters or {}), {})
        asked: set[int] = set()
        seen: set[int] = set()
        empty = 0
        while request is not None:
            asked.add(hash(request.key()))
            page = self._page(request)
            features = page.get("features")
            if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
                raise SourceError(
                    "The response to a search must be a FeatureCollection. Received: an object with "
                    f"{joined(sorted(page)[:10])} from {storage.shown(request.href)}."
                )
            request = _next(page, request)
            if request is not None and hash(request.key()) in asked:
                raise SourceError(_goes_round("the same next link twice", self.url))
            if not features:
                empty += 1
                if empty > _MAX_EMPTY_PAGES:
                    return
                continue
            empty = 0
            content = hash(tuple((str(item.get("collection")), str(item.get("id"))) for item in features))
            if content in seen:
                raise SourceError(_goes_round("a page of the same items twice", self.url))
            seen.add(content)
            yield page

    def _page(self, request: "_Request") -> dict[str, Any]:
        """Request a page, and if that fails, a page of fewer items; pages after the first use the size in `next`."""
        asked = request.parameters.get("limit", 0)
        try:
            return self.answer(request.href, request.method, request.parameters, request.headers)
        except (RefusedError, FailedError) as error:
            if not isinstance(asked, int) or asked <= _SMALL_PAGE_ITEMS or error.status not in _TOO_MUCH:
                raise
        logger.info("requesting pages of %d items: the API does not support %d", _SMALL_PAGE_ITEMS, asked)
        request.parameters["limit"] = _SMALL_PAGE_ITEMS
        return self.answer(request.href, request.method, request.parameters, request.headers)

    def _explained(self, href: str, status: int | None, message: str) -> TilepipeError:
        shown = storage.shown(href)
        if status is None:
            return StorageError(
                f"A STAC API must be reachable. Received: {shown}, after repeated attempts: {message}. "
                "Check the address, and that it can be reached from here."
            )
        if status in {401, 403}:
            sent = self.credentials.header.partition(" ")[0].lower() or "no"
            return SourceError(
                f"A STAC API must grant access. Received: status {status} from {shown}, requested with {sent} "
                f"credentials: {message}. Set {TOKEN} (bearer), or {USERNAME} and {PASSWORD} (basic), in the step's "
                "environment."
            )
        if status == 404:
            return NothingThereError(
                f"An address of a STAC API must exist. Received: status 404 from {shown}: {message}."
            )
        if status >= 500 or status in _PASSING:
            tries = MAX_RETRIES + 1 if status in _PASSING else 1
            return FailedError(
                f"A STAC API must answer. Received: status {status} from {shown} ({tries} x): {message}. "
                "Try again later, or change `data_query` if the API cannot process it.",
                status,
            )
        return RefusedError(
            f"A STAC API must accept the request. Received: status {status} from {shown}: {message}. "
            "Correct `data_query`.",
            status,
        )


@dataclass(frozen=True)
class _Request:
    href: str
    method: str
    parameters: dict[str, Any]
    headers: dict[str, str]

    def key(self) -> str:
        return json.dumps([self.href, self.method, self.parameters, self.headers], sort_keys=True)


def _next(page: Mapping[str, Any], request: _Request) -> _Request | None:
    """Return the request for the page after a page, or None: https://github.com/radiantearth/stac-api-spec/tree/v1.0.0/item-search#pagination."""
    links = page.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "next" and isinstance(link.get("href"), str):
            href = urljoin(request.href, link["href"])
            # Servers behind a proxy that terminates TLS link to http://.
            if request.href.startswith("https://") and href.startswith("http://"):
                upgraded = f"https://{href[7:]}"
                href = upgraded if urlsplit(upgraded).netloc == urlsplit(request.href).netloc else href
            method = str(link.get("method") or "GET").upper()
            body, headers = link.get("body"), link.get("headers")
            parameters: dict[str, Any] = {}
            if method == "POST":
                parameters = {**(request.parameters if link.get("merge") else {}), **(body if body else {})}
            stated = headers if isinstance(headers, dict) else {}
            return _Request(href, method, parameters, {str(name): str(value) for name, value in stated.items()})
    return None


class _Session(requests.Session):  # type: ignore[misc] # requests ships no types
    """A session limited to one host and, if it has no credentials, the hosts that the user has allowed."""

    def __init__(self, url: str, credentials: Credentials, others: tuple[str, ...]) -> None:
        super().__init__()
        self._home = _Place.of(url)
        self._others = () if credentials.header else tuple(other.rstrip("/") + "/" for other in others)
        self._credentials = credentials
        self.auth = lambda request: request  # otherwise requests would read credentials from .netrc
        adapter = HTTPAdapter(max_retries=retries())
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Leave a redirected request unchanged: `send` refuses other hosts."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - requests' own
        """Send a request to the API's host and read the whole response; retry if the connection breaks."""
        address = request.url or ""
        if not self._home.holds(address) and not address.startswith(self._others):
            folder = storage.shown(address).rpartition("/")[0] + "/"
            raise SourceError(
                "A STAC API must stay on its own host: next links, search links and redirects to another host "
                f"are not followed. Received: {storage.shown(address)}, from {self._home}. If that host belongs to the "
                "API, give its address as `data_source`; otherwise allow it, which requires a source without "
                f"credentials, with {argument('href_rewrite', {folder: folder})}."
            )
        if self._credentials.header:
            request.headers["Authorization"] = self._credentials.header
        for tries_left in range(MAX_CONNECT_RETRIES, -1, -1):
            response = super().send(request, **{**kwargs, "stream": True})
            try:
                _read(response)
            except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
                if not tries_left:
                    raise
                time.sleep(BACKOFF_SECONDS * random.uniform(1, 2))  # noqa: S311 - jitter
            else:
                break
        return response


@dataclass(frozen=True)
class _Place:
    """Scheme, host and port."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> "_Place":
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return cls(scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(scheme))

    def holds(self, url: str) -> bool:
        """Return True if an address is on this host, with the same or a safer scheme."""
        try:
            other = _Place.of(url)
        except ValueError:  # an invalid port
            return False
        safer = (self.scheme, self.port, other.scheme, other.port) == ("http", 80, "https", 443)
        return other == self or (safer and other.host == self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def retries() -> Retry:
    """Return the retry policy: exponential backoff with jitter."""
    return Retry(
        total=MAX_RETRIES,
        connect=MAX_CONNECT_RETRIES,
        read=MAX_CONNECT_RETRIES,
        redirect=False,
        status_forcelist=_PASSING,
        allowed_methods={"GET", "POST"},  # a search has no side effects, also with POST
        backoff_factor=BACKOFF_SECONDS,
        backoff_jitter=2 * BACKOFF_SECONDS,
        backoff_max=MAX_PAUSE_SECONDS,
        retry_after_max=MAX_PAUSE_SECONDS,
        raise_on_status=False,
    )


def _read(response: requests.Response) -> None:
    """Read the body of a response into memory, up to a limit."""
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            response.close()
            raise SourceError(
                f"A page of a STAC API must have at most {_MAX_ANSWER_BYTES:,} bytes. Received: more from "
                f"{storage.shown(response.url)}."
            )
    response._content = bytes(body)
    response._content_consumed = True


def _goes_round(what: str, url: str) -> str:
    return (
        f"The pages of a STAC API must not form a cycle. Received: {what} from {storage.shown(url)}. Report it to the "
        "operator of the API, or limit the number of items to those before the cycle, such as "
        f"{argument('query', {'max_items': 1000})}."
    )
