"""A web server with TLS on this machine, with a certificate of an authority that nobody knows."""

import contextlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from tests.support.loopback_server import LoopbackServer, QuietHandler


def make_certificates(folder: Path) -> Path:
    """Create an authority and a server's certificate; returns a bundle that also contains the public authorities."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificates, and is not there")
    request = "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout"
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE")
    for command in (
        f"{request} ca.key -x509 -days 2 -out ca.crt",
        f"{request} private.key -out server.csr",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out public.crt",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    bundle = folder / "ca-bundle.crt"
    bundle.write_text(Path(certifi.where()).read_text(encoding="utf-8") + (folder / "ca.crt").read_text())
    return bundle


@contextlib.contextmanager
def serving(certificates: Path, content: bytes) -> Iterator[str]:
    """Serve one file under every path, with ranges; yields the address."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            stated = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
            first, last = int(stated[0] or 0), min(int(stated[2] or len(content)), len(content) - 1)
            self.send_response(206 if stated[0] else 200)
            if stated[0]:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[first : last + 1])

        do_HEAD = do_GET

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "public.crt", certificates / "private.key")
    with LoopbackServer(Handler, context) as server:
        yield server.url
