"""GET requests for whole S3 objects, sent before their answers are needed.

Packing reads thousands of small objects per second, where a general S3 client takes more processor time than all other
work on a tile (DECISIONS.md has the measurements). Requests that fail are left to the general client, with its retries
and errors: this module neither retries nor explains.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self
from urllib.parse import quote, urlsplit
from weakref import WeakSet

from tilepipe.components.shared.storage.web import proxy

_IDLE_SECONDS = 20
"""Time for which an idle connection is kept; the server may have dropped an older one without notice."""
_FIRST_PAUSE_SECONDS = 2.0
_MOST_CONNECTIONS = 256
"""Limit per process, which often may have no more than 1,024 files open."""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint, and the credentials that sign requests to it."""

    endpoint: str
    """`http://` or `https://`, host and port."""
    region: str
    """Region of the signature."""
    key_id: str
    """Access key; empty for requests that are not signed."""
    secret: str
    token: str = ""
    """Session token, or empty."""
    ca_file: str = ""
    """File with trusted certificates; empty for the system's."""
    proxy: str = ""
    """Address of the proxy, or empty."""


class Connection(Protocol):
    """One request at a time, over a connection that is kept for the next one."""

    idle_since: float

    def send(self, path: str, max_bytes: int) -> None:
        """Send the request for a quoted path; OSError if that fails. An object of more than `max_bytes` is not read."""

    def receive(self) -> bytes | None:
        """Read the requested object; None for any other answer, OSError if there was none or only a part of one."""

    def is_reusable(self) -> bool:
        """Check that the connection can take another request."""


class ObjectServer:
    """An S3 server; safe to share among threads.

    Args:
        connect: Function that opens a connection to it.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: deque[Connection] = deque()
        self._connections: WeakSet[Connection] = WeakSet()
        self._lock = threading.Lock()
        self._failures, self._paused_until = 0, 0.0

    @classmethod
    def at(
        cls, endpoint: str, region: str, key_id: str, secret: str, token: str = "", ca_file: str = ""
    ) -> Self | None:
        """Return the server at an endpoint; None if the address has more than a host, or the key is incomplete.

        Without a key, requests are not signed.

        Raises:
            ImportError: libcurl is needed, for TLS or a proxy, and cannot be loaded.
        """
        try:
            parts = urlsplit(endpoint)
            is_usual = parts.scheme in {"http", "https"} and not parts.path.strip("/") and parts.port != 0
            is_usual = is_usual and bool((parts.hostname or "").encode("idna"))
        except ValueError:  # no address at all
            return None
        if not is_usual or parts.query or parts.fragment or "@" in parts.netloc:
            return None
        visible = re.compile(r"[!-~]*")  # headers must not contain blanks or line ends in these
        if not all(visible.fullmatch(each) for each in (parts.netloc, region, key_id, secret, token)):
            return None
        if not (bool(key_id) == bool(secret) and region):
            return None
        # The proxy is given because libcurl itself ignores HTTP_PROXY.
        target = Target(endpoint.rstrip("/"), region, key_id, secret, token, ca_file, proxy(endpoint))
        if parts.scheme == "http" and not target.proxy:
            from tilepipe.components.shared.storage.plain_connection import PlainConnection

            return cls(lambda: PlainConnection(target))
        from tilepipe.components.shared.storage.curl_connection import CurlConnection

        return cls(lambda: CurlConnection(target))

    def ask(self, bucket: str, key: str, max_bytes: int = 0) -> "Answer | None":
        """Send the request for an object of at most `max_bytes` (0 is any size); None if nothing was sent."""
        path = f"/{bucket}/{key}"
        if self._is_paused() or re.search(r"/\.{0,2}(/|$)", path):  # some servers shorten such paths
            return None
        try:
            connection = self._kept() or self._opened()
            if connection is None:
                return None
            connection.send(quote(path, safe="/~"), max_bytes)
        except OSError:
            self._pause()
            return None
        return Answer(self, connection)

    def read(self, connection: Connection) -> bytes | None:
        """Read the requested object from a connection; None for any other answer or a failure."""
        if self._is_paused():
            return None
        try:
            data = connection.receive()
        except OSError:
            self._pause()
            return None
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if data is not None:
            self._failures = 0
        return data

    def _kept(self) -> Connection | None:
        oldest = time.monotonic() - _IDLE_SECONDS
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.idle_since < oldest:  # and so are all before it
                self._idle.clear()
            elif connection.is_reusable():
                return connection

    def _opened(self) -> Connection | None:
        with self._lock:
            if len(self._connections) >= _MOST_CONNECTIONS:
                return None
        connection = self._connect()
        with self._lock:
            self._connections.add(connection)
        return connection

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _pause(self) -> None:
        """Send nothing for a while, each time for longer, so that a server that fails does not cost time per object."""
        with self._lock:
            if not self._is_paused():
                self._paused_until = time.monotonic() + _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 16)
                self._failures += 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A requested object; one that is never read costs its connection."""

    _server: ObjectServer
    _connection: Connection

    def read(self) -> bytes | None:
        """Return all bytes of the object, once; None for any other answer or a failure."""
        return self._server.read(self._connection)
