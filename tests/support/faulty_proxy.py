"""A proxy in front of an HTTP server that breaks some of its answers, by a seed."""

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.support.loopback_server import LoopbackServer, QuietHandler

Fault = Literal["reset", "slow", "slowdown", "error", "truncate", "flip", "early", "silence"]

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class FaultyProxy:
    """Forwards requests to a server and breaks a share of the answers.

    Args:
        upstream: address of the server.
        fault: what happens: `reset` closes the connection without an answer, `slow` sends 1 KB per second, `slowdown`
            and `error` answer 503 and 500, `truncate` closes in the middle of the body, `flip` changes one byte of the
            body, `early` answers 503 before the body of the request is read, `silence` never answers.
        share: share of the requests that are broken, from 0 to 1.
        seed: seed of the choice.
        most: number of faults after which all requests are forwarded.
        after: number of requests that are forwarded before the first fault.
        methods: methods of the requests that may be broken, such as `HEAD`; empty for all.
    """

    upstream: str
    fault: Fault
    share: float = 0.2
    seed: int = 0
    most: int = 1_000_000
    after: int = 0
    methods: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    """Number of requests and of injected faults."""
    gets: list[str] = field(default_factory=list)
    """Names of the downloaded objects, in order."""

    def __enter__(self) -> Self:
        """Start to listen; `address` is then known."""
        self._draws, self._lock = random.Random(self.seed), threading.Lock()
        self._server = LoopbackServer(_handler(self))
        self.address = self._server.url
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.close()

    def draw(self, method: str) -> Fault | None:
        """Decide on the next request."""
        with self._lock:
            self.counts["requests"] += 1
            is_meant = not self.methods or method in self.methods
            is_hit = is_meant and self.counts["requests"] > self.after and self._draws.random() < self.share
            if not is_hit or self.counts["faults"] >= self.most:
                return None
            self.counts["faults"] += 1
            return self.fault


def _handler(proxy: FaultyProxy) -> type[QuietHandler]:
    host = urlsplit(proxy.upstream)

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            fault = proxy.draw(self.command)
            if fault == "reset":
                self.close_connection = True
                # Without lingering, the close sends RST instead of FIN.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            if fault == "silence":
                time.sleep(600)
                return
            if fault == "early":
                self.close_connection = True
                self.reply(503, SLOW_DOWN)
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if fault in ("slowdown", "error"):
                self.reply(503 if fault == "slowdown" else 500, SLOW_DOWN if fault == "slowdown" else b"<Error/>")
                return
            connection = http.client.HTTPConnection(host.hostname, host.port, timeout=60)
            try:
                # The signature covers the host: it must be what the client wrote, not the server's own.
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
            except OSError:  # the server is down
                self.close_connection = True
                return
            finally:
                connection.close()
            if self.command == "GET" and "?" not in self.path:
                proxy.gets.append(self.path.rpartition("/")[2])
            self.reply(answer.status, content, answer.getheaders(), fault)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = forward

        def reply(self, status, content, headers=(), fault=None) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                    self.send_header(name, value)
            length = next((v for n, v in headers if n.lower() == "content-length"), len(content))
            self.send_header("Content-Length", str(length if self.command == "HEAD" else len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "flip" and content and "list-type" not in self.path:  # listings have no checksums
                place = proxy.seed % len(content)
                content = content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
            if fault == "truncate":
                content, self.close_connection = content[: len(content) // 2], True
            for start in range(0, len(content), 256 if fault == "slow" else 2**20):
                self.wfile.write(content[start : start + (256 if fault == "slow" else 2**20)])
                if fault == "slow":
                    time.sleep(0.25)

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client has left
                super().handle()

    return Handler
