"""Connections to an S3 server over plain HTTP, in half of libcurl's processor time.

Signature: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
Answers: https://www.rfc-editor.org/rfc/rfc9112.
"""

import functools
import hashlib
import hmac
import re
import socket
import struct
import time
from urllib.parse import urlsplit

from tilepipe.components.shared.storage.object_server import Target

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 30
"""Time within which each piece of an answer must be complete."""
_PIECE_BYTES = 1024 * 1024
_MOST_HEAD_BYTES = 8 * 1024
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n")
_NOT_PLAIN = re.compile(rb"\r\n(transfer-encoding:|connection:[ \t]*close)")


class PlainConnection:
    """A TCP connection.

    Args:
        target: The server; its endpoint is `http://` and it has no proxy.

    Raises:
        OSError: The server cannot be reached.
    """

    def __init__(self, target: Target) -> None:
        self.idle_since = 0.0
        self._target, self._max_bytes, self._is_spent = target, 0, False
        parts = urlsplit(target.endpoint)
        self._netloc = parts.netloc
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), _CONNECT_SECONDS)
        # The kernel's own limit, not Python's: with that, each wait is two calls, and no call waits for all bytes.
        self._socket.settimeout(None)
        limit = struct.pack("ll", _SILENCE_SECONDS, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, limit)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()

    def is_reusable(self) -> bool:
        """Check that the server neither closed the connection nor sent more than was requested."""
        if self._is_spent:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def send(self, path: str, max_bytes: int) -> None:
        """Send the request for a quoted path; an object of more than `max_bytes` is not read, if that is not 0."""
        self._max_bytes = max_bytes
        self._socket.sendall(self._request(path))

    def receive(self) -> bytes | None:
        """Read the object; None for any other answer.

        Raises:
            OSError: There was no answer, only a part of one, or one without a stated length.
        """
        # The head is looked at before it is taken, so that the object arrives in one piece, in its final bytes.
        head, separator, _ = self._socket.recv(_MOST_HEAD_BYTES, socket.MSG_PEEK).partition(b"\r\n\r\n")
        lines = head.lower() + b"\r\n"
        lengths = _LENGTH.findall(lines)
        if not separator or not len(lengths) == lines.count(b"\r\ncontent-length") == 1 or _NOT_PLAIN.search(lines):
            raise ConnectionError("no plain answer")
        left, pieces = int(lengths[0]), list[bytes]()
        if not head.startswith(b"HTTP/1.1 200 ") or 0 < self._max_bytes < left:
            self._is_spent = True
            return None
        self._socket.recv(len(head) + len(separator), socket.MSG_WAITALL)
        while left:
            wanted = min(left, _PIECE_BYTES)
            pieces.append(self._socket.recv(wanted, socket.MSG_WAITALL))
            if len(pieces[-1]) < wanted:
                raise ConnectionError("the answer is cut off")
            left -= wanted
        return b"".join(pieces)

    def _request(self, path: str) -> bytes:
        target = self._target
        if not target.key_id:
            return f"GET {path} HTTP/1.1\r\nhost:{self._netloc}\r\n\r\n".encode()
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{target.region}/s3/aws4_request"
        token = f"x-amz-security-token:{target.token}\n" if target.token else ""
        headers = f"host:{self._netloc}\nx-amz-content-sha256:{_EMPTY_SHA256}\nx-amz-date:{now}\n{token}"
        names = "host;x-amz-content-sha256;x-amz-date" + (";x-amz-security-token" if token else "")
        canonical = f"GET\n{path}\n\n{headers}\n{names}\n{_EMPTY_SHA256}"
        signed = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(_signing_key(target.secret, scope), signed.encode(), "sha256").hex()
        lines = headers.replace("\n", "\r\n")
        credential = f"Credential={target.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        return f"GET {path} HTTP/1.1\r\n{lines}authorization:AWS4-HMAC-SHA256 {credential}\r\n\r\n".encode()


@functools.lru_cache(maxsize=16)
def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
