"""A proxy in front of an S3 server that counts requests and can refuse them."""

import urllib.error
import urllib.request

from tests.support.loopback_server import LoopbackServer, QuietHandler


class CountingProxy:
    """Forwards GET and HEAD unchanged; `gets` are the names of the downloaded objects, in order."""

    def __init__(self, endpoint: str) -> None:
        self.gets: list[str] = []
        self.is_shut = False
        proxy = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if proxy.is_shut:
                    self.close_connection = True
                    return
                # The signature covers the host: it must be what the client wrote, not the server's own.
                request = urllib.request.Request(endpoint + self.path, headers=dict(self.headers), method=self.command)
                try:
                    with urllib.request.urlopen(request, timeout=30) as answer:
                        status, headers, body = answer.status, answer.headers, answer.read()
                except urllib.error.HTTPError as error:
                    status, headers, body = error.code, error.headers, error.read()
                if self.command == "GET" and "?" not in self.path:
                    proxy.gets.append(self.path.rpartition("/")[2])
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in {"transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_GET

        self._server = LoopbackServer(Handler)
        self.endpoint = self._server.url

    def close(self) -> None:
        self._server.close()
