"""GET requests for whole S3 objects through libcurl, sent before their answers are needed.

Packing reads thousands of small objects per second, where a general S3 client takes more processor time than all other
work on a tile (DECISIONS.md has the measurements). libcurl signs the requests and handles TLS, proxies and persistent
connections. Requests that fail are left to the general client, with its retries and errors: this module neither retries
nor explains.
"""

import re
import ssl
import threading
import time
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit
from weakref import WeakSet

import pycurl

_CONNECT_SECONDS = 5
_SILENCE_SECONDS = 30
_SILENCE_BYTES = 1000
"""Bytes per second; an answer that is slower for `_SILENCE_SECONDS` is given up."""
_IDLE_SECONDS = 20
"""Time for which an idle connection is kept; the server may have dropped an older one without notice."""
_FIRST_PAUSE_SECONDS = 2.0
_MOST_CONNECTIONS = 256
"""Limit per process, which often may have no more than 1,024 files open."""
_BUFFER_BYTES = 512 * 1024


class CurlServer:
    """An S3 server and what its requests are signed with; safe to share among threads.

    Args:
        endpoint: its address.
        region: region of the signature.
        key_id: access key.
        secret: secret key.
        token: session token, or empty.
        ca_file: file with trusted certificates; empty for the system's.
    """

    def __init__(self, endpoint: str, region: str, key_id: str, secret: str, token: str, ca_file: str) -> None:
        self._endpoint, self._region = endpoint.rstrip("/"), region
        self._key_id, self._secret, self._token, self._ca_file = key_id, secret, token, ca_file
        self._proxy = _proxy(endpoint)
        self._idle: deque[_Connection] = deque()
        self._connections: WeakSet[_Connection] = WeakSet()
        self._lock = threading.Lock()
        self._failures, self._paused_until = 0, 0.0

    @classmethod
    def at(
        cls, endpoint: str, region: str, key_id: str, secret: str, token: str = "", ca_file: str = ""
    ) -> Self | None:
        """Return the server at an endpoint; None without a static key or if the address has more than a host."""
        try:
            parts = urlsplit(endpoint)
            is_usual = parts.scheme in {"http", "https"} and not parts.path.strip("/") and parts.port != 0
            is_usual = is_usual and bool((parts.hostname or "").encode("idna"))
        except ValueError:  # no address at all
            return None
        if not is_usual or parts.query or parts.fragment or "@" in parts.netloc:
            return None
        visible = re.compile(r"[!-~]+")  # headers must not contain blanks or line ends in these
        if not all(visible.fullmatch(each) for each in (parts.netloc, region, key_id, secret, token or "-")):
            return None
        return cls(endpoint, region, key_id, secret, token, ca_file)

    def ask(self, bucket: str, key: str) -> "Answer | None":
        """Send the request for an object, without waiting for the answer.

        Args:
            bucket: its bucket.
            key: its key.

        Returns:
            The pending answer; None if nothing was sent.
        """
        path = f"/{bucket}/{key}"
        if self._is_paused() or re.search(r"/\.{0,2}(/|$)", path):  # some servers shorten such paths
            return None
        connection = self._kept() or self._opened()
        if connection is None:
            return None
        connection.send(self._endpoint + quote(path, safe="/~"))
        return Answer(self, connection)

    def read(self, connection: "_Connection") -> bytes | None:
        """Read the requested object from a connection; None for any other answer or a failure."""
        if self._is_paused():
            return None
        try:
            data = connection.receive()
        except pycurl.error:
            self._pause()
            return None
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if data is not None:
            self._failures = 0
        return data

    def _kept(self) -> "_Connection | None":
        oldest = time.monotonic() - _IDLE_SECONDS
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        if connection.idle_since < oldest:  # and so are all before it
            self._idle.clear()
            return None
        return connection

    def _opened(self) -> "_Connection | None":
        with self._lock:
            if len(self._connections) >= _MOST_CONNECTIONS:
                return None
            connection = _Connection(self._handle())
            self._connections.add(connection)
        return connection

    def _handle(self) -> pycurl.Curl:
        options: dict[int, object] = {
            pycurl.AWS_SIGV4: f"aws:amz:{self._region}:s3",
            pycurl.USERNAME: self._key_id,
            pycurl.PASSWORD: self._secret,
            pycurl.HTTPHEADER: [f"x-amz-security-token: {self._token}"] if self._token else [],
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.PROXY: self._proxy,
            pycurl.NOSIGNAL: True,
            pycurl.BUFFERSIZE: _BUFFER_BYTES,
            pycurl.CONNECTTIMEOUT: _CONNECT_SECONDS,
            pycurl.LOW_SPEED_TIME: _SILENCE_SECONDS,
            pycurl.LOW_SPEED_LIMIT: _SILENCE_BYTES,
        }
        system = ssl.get_default_verify_paths()  # libcurl's own default is another distribution's
        if self._ca_file or system.cafile:
            options[pycurl.CAINFO] = self._ca_file or system.cafile
        if system.capath and not self._ca_file:
            options[pycurl.CAPATH] = system.capath
        handle = pycurl.Curl()
        for option, value in options.items():
            handle.setopt(option, value)
        return handle

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

    _server: CurlServer
    _connection: "_Connection"

    def read(self) -> bytes | None:
        """Return all bytes of the object, once; None for any other answer or a failure."""
        return self._server.read(self._connection)


class _Connection:
    """One request at a time, over a connection that is kept for the next one.

    Each has a multi handle of its own: libcurl then works only on this request while an answer is read, and the next
    answers arrive in the kernel's buffers meanwhile.
    """

    def __init__(self, handle: pycurl.Curl) -> None:
        self.idle_since = 0.0
        self._handle, self._multi = handle, pycurl.CurlMulti()
        self._pieces: list[bytes] = []

    def __del__(self) -> None:
        # The handles refer to each other: without this, the connection stays open until the next garbage collection.
        self._multi.close()
        self._handle.close()

    def send(self, url: str) -> None:
        self._pieces = []
        self._handle.setopt(pycurl.URL, url)
        self._handle.setopt(pycurl.WRITEFUNCTION, self._pieces.append)
        self._multi.add_handle(self._handle)
        self._multi.perform()

    def receive(self) -> bytes | None:
        """Read the object; None for any other answer.

        Raises:
            pycurl.error: there was no answer, or only a part of one.
        """
        while self._multi.perform()[1]:
            self._multi.select(1.0)
        _, _, failed = self._multi.info_read()
        self._multi.remove_handle(self._handle)
        if failed:
            raise pycurl.error(*failed[0][1:])
        pieces, self._pieces = self._pieces, []
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._handle.getinfo(pycurl.RESPONSE_CODE) != 200:
            return None
        # Without a stated length, the end of the object looks the same as a lost connection.
        if self._handle.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T) != len(data):
            raise pycurl.error(pycurl.E_PARTIAL_FILE, "the answer states no length")
        return data


def _proxy(endpoint: str) -> str:
    """Return the proxy of the environment for an endpoint; empty for none. libcurl itself ignores HTTP_PROXY."""
    parts, proxies = urlsplit(endpoint), urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.netloc):
        return ""
    return proxies.get(parts.scheme) or proxies.get("all") or ""
