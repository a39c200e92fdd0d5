"""The plainest GETs of S3, from a server that is spoken to in the clear with a fixed key, in half of the usual work.

Thousands of small objects per second from a nearby MinIO are typical of packing, and there a general client
takes more of the processor than all else that is done with a tile (`make bench` has the figures). What is not plain,
such as TLS, a proxy or passing credentials, and whatever goes wrong is left to that client, with its retries and its
errors: here nothing is tried twice and nothing explained.

Signature: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
Answers: https://www.rfc-editor.org/rfc/rfc9112.
"""

import functools
import hashlib
import hmac
import re
import socket
import struct
import threading
import time
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit
from weakref import WeakSet

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 30
"""How long a piece of an answer may take to be whole."""
_IDLE_SECONDS = 20.0
"""How long a connection is kept; one that is older may have gone without a word."""
_FIRST_PAUSE_SECONDS = 2.0
_MOST_CONNECTIONS = 256
"""A process may often have no more than 1,024 files open."""
_PIECE_BYTES = 1024 * 1024
_MOST_HEAD_BYTES = 8 * 1024
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n")
_NOT_PLAIN = re.compile(rb"\r\n(transfer-encoding:|connection:[ \t]*close)")


class PlainServer:
    """A server that is spoken to in the clear, and what its requests are signed with; for any number of threads.

    Args:
        netloc: its host and port.
        region: of the signature.
        key_id: whose signature it is.
        secret: what is signed with; goes nowhere.
        token: of a session, or empty.
    """

    def __init__(self, netloc: str, region: str, key_id: str, secret: str, token: str) -> None:
        self._netloc, self._region, self._key_id, self._secret = netloc, region, key_id, secret
        parts = urlsplit(f"http://{netloc}")
        self._address = parts.hostname or "", parts.port or 80
        self._token = f"x-amz-security-token:{token}\n" if token else ""
        self._idle: deque[_Connection] = deque()
        self._connections: WeakSet[_Connection] = WeakSet()
        self._lock = threading.Lock()
        self._failures, self._paused_until = 0, 0.0

    @classmethod
    def at(cls, endpoint: str, region: str, key_id: str, secret: str, token: str = "") -> Self | None:
        """Return the server at an endpoint; None if it needs more than plain HTTP with a static key."""
        try:
            parts = urlsplit(endpoint)
            is_plain = parts.scheme == "http" and not parts.path.strip("/") and parts.port != 0
            is_plain = is_plain and bool((parts.hostname or "").encode("idna"))
        except ValueError:  # no address at all
            return None
        if not is_plain or parts.query or parts.fragment or "@" in parts.netloc:
            return None
        visible = re.compile(r"[!-~]+")  # a header takes no blank in these, and no end of a line
        if not all(visible.fullmatch(each) for each in (parts.netloc, region, key_id, secret, token or "-")):
            return None
        proxies = urllib.request.getproxies()
        if (proxies.get("http") or proxies.get("all")) and not urllib.request.proxy_bypass(parts.netloc):
            return None
        return cls(parts.netloc, region, key_id, secret, token)

    def ask(self, bucket: str, key: str) -> "Answer | None":
        """Send the request for an object, without waiting for the answer.

        Args:
            bucket: its bucket.
            key: its key.

        Returns:
            What gives the object; None where that is not plain.
        """
        path = f"/{bucket}/{key}"
        if self._is_paused() or re.search(r"/\.{0,2}(/|$)", path):  # which some take for a shorter path
            return None
        try:
            connection = self._kept() or self._opened()
            if connection is None:
                return None
            connection.send(self._request(quote(path, safe="/~")))
        except OSError:
            self._pause()
            return None
        return Answer(self, connection)

    def read(self, connection: "_Connection") -> bytes | None:
        """Read the requested object from a connection; None for any other answer or a failure."""
        if self._is_paused():
            return None
        try:
            data = connection.receive()
        except OSError:
            self._pause()
            return None
        if data is not None:
            self._failures = 0
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        return data

    def _kept(self) -> "_Connection | None":
        oldest = time.monotonic() - _IDLE_SECONDS
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.idle_since < oldest:  # and so are all before it
                self._idle.clear()
            elif connection.is_silent():
                return connection
        return None

    def _opened(self) -> "_Connection | None":
        with self._lock:
            if len(self._connections) >= _MOST_CONNECTIONS:
                return None
        connection = _Connection(self._address)
        with self._lock:
            self._connections.add(connection)
        return connection

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _pause(self) -> None:
        """Ask no more for a while, each time longer: not for each object what a server costs that is away, or odd."""
        with self._lock:
            if not self._is_paused():
                self._paused_until = time.monotonic() + _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 16)
                self._failures += 1

    def _request(self, path: str) -> bytes:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        headers = f"host:{self._netloc}\nx-amz-content-sha256:{_EMPTY_SHA256}\nx-amz-date:{now}\n{self._token}"
        names = "host;x-amz-content-sha256;x-amz-date" + (";x-amz-security-token" if self._token else "")
        canonical = f"GET\n{path}\n\n{headers}\n{names}\n{_EMPTY_SHA256}"
        signed = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(_signing_key(self._secret, scope), signed.encode(), "sha256").hex()
        lines = headers.replace("\n", "\r\n")
        credential = f"Credential={self._key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        return f"GET {path} HTTP/1.1\r\n{lines}authorization:AWS4-HMAC-SHA256 {credential}\r\n\r\n".encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that has been asked for; one that is never read costs its connection."""

    _server: PlainServer
    _connection: "_Connection"

    def read(self) -> bytes | None:
        """All bytes of the object, once; None for whatever else came, or did not."""
        return self._server.read(self._connection)


class _Connection:
    """One connection, which is kept for the next request."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.idle_since = 0.0
        self._socket = socket.create_connection(address, _CONNECT_SECONDS)
        # The kernel's own limit, and not Python's: with that each wait would be two calls, and none be for all bytes.
        self._socket.settimeout(None)
        limit = struct.pack("ll", _SILENCE_SECONDS, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, limit)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()

    def is_silent(self) -> bool:
        """Whether the server neither hung up nor said more than it was asked for, which the next one would be given."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read the object; None for any other answer, after which the connection cannot be reused.

        Raises:
            OSError: there was no answer, or only a part of one.
        """
        # Looked at first and then taken, so that the object comes in one piece, straight into the bytes it stays in.
        head, separator, _ = self._socket.recv(_MOST_HEAD_BYTES, socket.MSG_PEEK).partition(b"\r\n\r\n")
        lines = head.lower() + b"\r\n"
        lengths = _LENGTH.findall(lines)
        if not separator or not len(lengths) == lines.count(b"\r\ncontent-length") == 1 or _NOT_PLAIN.search(lines):
            raise ConnectionError("no plain answer")
        if not head.startswith(b"HTTP/1.1 200 "):
            return None
        self._socket.recv(len(head) + len(separator), socket.MSG_WAITALL)
        left, pieces = int(lengths[0]), list[bytes]()
        while left:
            wanted = min(left, _PIECE_BYTES)
            pieces.append(self._socket.recv(wanted, socket.MSG_WAITALL))
            if len(pieces[-1]) < wanted:
                raise ConnectionError("the answer is cut off")
            left -= wanted
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@functools.lru_cache(maxsize=16)
def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
