"""HTTP servers on loopback, with handlers of the test."""

import http.server
import ssl
import threading
from typing import Any


class QuietHandler(http.server.BaseHTTPRequestHandler):
    """Base of handlers; it logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class QuietFileHandler(QuietHandler, http.server.SimpleHTTPRequestHandler):
    """Handler that serves the files of a folder, which `functools.partial` sets as `directory`."""


class LoopbackServer(http.server.ThreadingHTTPServer):
    """Server on a free port, which serves until it is closed; a context manager.

    Args:
        handler: class of the handler, or a function that creates one.
        context: for https. Defaults to None: http.
    """

    daemon_threads, block_on_close = True, False

    def __init__(self, handler: Any, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        """Close the server."""
        self.close()

    def close(self) -> None:
        """Stop serving, and release the port."""
        self.shutdown()
        self.server_close()
