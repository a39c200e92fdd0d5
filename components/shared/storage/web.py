"""Read files from web servers, anonymously or with a token: the `https://` and `http://` backend of `storage`.

It uses urllib3 rather than obstore's HTTPStore. On a redirect, HTTPStore sends the whole address, including a signature
in its query, to the other host as Referer; it follows redirects into private networks; and it cannot read from a server
that states no length. Unlike requests, urllib3 does not read `.netrc`.
"""

import contextlib
import functools
import ipaddress
import random
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage.sizes import check_size
from tilepipe.components.shared.storage.web_reason import server_reason
from tilepipe.components.shared.storage.web_tokens import TOKENS, authorization, without_tokens
from tilepipe.components.shared.version import VERSION

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

MAX_RETRIES = 5
RETRY_SECONDS = 60.0
"""The two limits bound how long an unreachable web server blocks a step."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_MAX_REDIRECTS = 5
_REASON_BYTES = 4096
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_MAX_SKIPPED_BYTES = 64 * 1024 * 1024
"""Most bytes to read to extract a range when the server does not support ranges."""
_CHUNK_BYTES = 1024 * 1024
_PORTS = {"http": 80, "https": 443}

Answer = TypeVar("Answer")


def normalize(address: str) -> str:
    """Normalize a URL (RFC 3986, section 6.2); the fragment is dropped, the query is kept."""
    rule = "A web address must be https://host/path or http://host/path"
    if re.search(r"[\x00-\x1f\x7f\\]", address):
        raise SourceError(f"{rule}, without control characters or backslashes. Received: {shown(address)!r}.")
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        raise SourceError(f"{rule}. Received: {shown(address)}.") from None
    if "@" in parts.netloc:
        raise SourceError(
            f"{rule}, without a user or a password: the web is read anonymously. Received: {shown(address)}."
        )
    if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host):
        raise SourceError(f"{rule}. Received: {shown(address)}.")
    kind = parts.scheme.lower()
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[kind]:
        place += f":{port}"
    path = _resolved(_quoted(parts.path, "/:@!$&'()*+,;=~"), address)
    query = f"?{_quoted(parts.query, '/?:@!$&()*+,;=~')}" if parts.query else ""
    return f"{kind}://{place}{path}{query}"


def origin(uri: str) -> str:
    """Return scheme, host and port of a normalized URL."""
    return "/".join(uri.partition("?")[0].split("/", 3)[:3])


def parent(uri: str) -> str:
    """Return the parent folder of a normalized URL."""
    path = uri.partition("?")[0]
    return path.rpartition("/")[0] if path != origin(uri) else path


def join(folder: str, relative: str) -> str:
    """Resolve a relative reference against a normalized folder."""
    if relative.startswith("//"):
        return normalize(f"{urlsplit(folder).scheme}:{relative}")
    if relative.startswith("/"):
        return normalize(origin(folder) + relative)
    return normalize(f"{folder}/{relative}")


def shown(address: str) -> str:
    """Return a URL for use in messages, without user and query, which may be credentials."""
    bare, mark, _ = re.sub(r"//[^/?#]*@", "//", address).partition("?")
    return f"{bare}?..." if mark else bare


def is_file(uri: str) -> bool:
    """Return whether a web server has a file at an address."""
    try:
        _stated_size(uri)
    except SourceError:
        return False
    return True


def size(uri: str) -> int:
    """Return the size of a file on the web in bytes."""
    stated = _stated_size(uri)
    if not stated or not stated.isdecimal():
        raise StorageError(
            f"A web server must state a file's size (Content-Length). Received: none for {shown(uri)}. "
            "Copy the file to a folder or to S3."
        )
    return int(stated)


def _stated_size(uri: str) -> str | None:
    """Return the stated file size, requested with GET: some servers reject HEAD, and S3 signatures cover the method."""

    def take(response: "BaseHTTPResponse") -> str | None:
        if response.status == 200:
            return response.headers.get("Content-Length")
        response.read()
        return _content_range(response)[1]

    return _ask(uri, take, {"Range": "bytes=0-0"})


def read_bytes(uri: str, max_bytes: int = 0) -> bytes:
    """Read a whole file from the web, unless it has more than `max_bytes`, unpacked; 0 reads any size."""

    def read(response: "BaseHTTPResponse") -> bytes:
        if not max_bytes:
            return response.read(decode_content=True)
        stated = response.headers.get("Content-Length", "")
        check_size(int(stated) if stated.isdecimal() else 0, max_bytes)
        pieces, size = [], 0
        for piece in response.stream(_CHUNK_BYTES, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            check_size(size, max_bytes)
        return b"".join(pieces)

    return _ask(uri, read)


def download(uri: str, file: BinaryIO) -> None:
    """Download a file from the web into a local file, in chunks."""

    def write(response: "BaseHTTPResponse") -> None:
        file.seek(0)
        file.truncate()
        for chunk in response.stream(_CHUNK_BYTES, decode_content=True):
            file.write(chunk)

    _ask(uri, write)


def read_range(uri: str, offset: int, length: int) -> bytes:
    """Read a byte range of a file on the web; fewer bytes are returned if the file ends earlier."""

    def read(response: "BaseHTTPResponse") -> bytes:
        if response.status == 416:
            return b""
        if response.status == 206:
            start, _ = _content_range(response)
            if start != str(offset) or response.headers.get("Content-Encoding", "identity") != "identity":
                raise StorageError(
                    f"A web server must send the requested range. Received: Content-Range "
                    f"{response.headers.get('Content-Range')!r} for byte {offset} of {shown(uri)}. Copy the file to "
                    "a folder or to S3."
                )
            return response.read(length)
        if offset + length > _MAX_SKIPPED_BYTES:
            raise StorageError(
                f"A web server must send ranges of large files. Received: the whole of {shown(uri)}, where {length} "
                f"bytes from {offset} were asked for. Copy the file to a folder or to S3."
            )
        return response.read(offset + length, decode_content=True)[offset:]

    return _ask(uri, read, {"Range": f"bytes={offset}-{offset + length - 1}"})


def _content_range(response: "BaseHTTPResponse") -> tuple[str | None, str | None]:
    """Return the first byte position and the total size, each None if the response does not state it."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return (match[1], match[2]) if match else (None, None)


def _ask(uri: str, take: Callable[["BaseHTTPResponse"], Answer], headers: dict[str, str] | None = None) -> Answer:
    """Send a request, retrying transient failures, and return the result of `take` for the response."""
    import urllib3

    began = time.monotonic()
    attempt = 0
    while True:
        stated_pause = 0.0
        try:
            with _answered(uri, headers or {}) as response:
                if response.status not in _PASSING:
                    _check(uri, response)
                    return take(response)
                problem = f"status {response.status}"
                stated_pause = _retry_after(response)
        except urllib3.exceptions.HTTPError as error:
            problem = _reason(error)
            if isinstance(error, urllib3.exceptions.SSLError):  # retrying does not change the certificate
                raise _unreachable(uri, problem, attempt) from None
        pause = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
        # Jitter of up to 100 %, so that requests that failed together are not retried together.
        pause = max(stated_pause, pause * (1 + random.random()))  # noqa: S311 - no cryptography
        if attempt >= MAX_RETRIES or time.monotonic() + pause - began > RETRY_SECONDS:
            raise _unreachable(uri, problem, attempt)
        time.sleep(pause)
        attempt += 1


@contextlib.contextmanager
def _answered(uri: str, headers: dict[str, str]) -> Iterator["BaseHTTPResponse"]:
    """Yield the response to one request, following redirects; Referer and cookies are never sent.

    A token in the environment is sent only to its own host, and not to the target of a redirect to another one.
    """
    import urllib3

    sent = {"User-Agent": f"tilepipe/{VERSION}", "Accept-Encoding": "identity", **headers}
    here = uri
    for _ in range(_MAX_REDIRECTS + 1):
        response = _pool(proxy(here)).request(
            "GET",
            here,
            headers=sent | authorization(here),
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=60),
        )
        try:
            target = response.get_redirect_location()
            if not target:
                yield response
                return
        finally:
            # A fully read response is already back in the pool; any other must not be read to its end.
            response.close()
        here = _followed(here, target)
    raise StorageError(f"A web server must answer within {_MAX_REDIRECTS} redirects. Received: more for {shown(uri)}.")


def _followed(here: str, location: str) -> str:
    """Check and return a redirect target: a public server must not redirect a step into its own private network."""
    there = urljoin(here, location)
    rule = "A web server's redirect must lead to"
    if not re.match(r"(?i)https?://", there):
        raise StorageError(f"{rule} the web. Received: {shown(there)} from {shown(here)}.")
    there = normalize(there)
    if here.startswith("https://") and there.startswith("http://"):
        raise StorageError(f"{rule} https:// again. Received: {shown(there)} from {shown(here)}.")
    if origin(there) != origin(here) and _is_private(there) and not _is_private(here):
        raise StorageError(
            f"{rule} a public host. Received: {shown(there)} from {shown(here)}. If it is correct, give that address."
        )
    return there


def _is_private(uri: str) -> bool:
    """Return whether a host is this machine or in a private or link-local network, like cloud metadata services."""
    try:
        found = socket.getaddrinfo(urlsplit(uri).hostname, None, type=socket.SOCK_STREAM)
    except OSError:  # unknown host, or known only to a proxy
        return False
    addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    return any(not (getattr(address, "ipv4_mapped", None) or address).is_global for address in addresses)


def proxy(uri: str) -> str:
    """Return the proxy for an address from the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY); empty for none."""
    parts = urlsplit(uri)
    if urllib.request.proxy_bypass(parts.netloc):
        return ""
    proxies = urllib.request.getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all") or ""
    return f"http://{found}" if found and "://" not in found else found


@functools.lru_cache(maxsize=8)
def _pool(address: str) -> "PoolManager":
    import urllib3

    settings: dict[str, Any] = {"num_pools": 32, "maxsize": 64}
    if not address:
        return urllib3.PoolManager(**settings)
    parts = urlsplit(address)
    if parts.scheme not in _PORTS:  # urllib3 has SOCKS only with PySocks
        raise StorageError(
            "A proxy for web servers must be http:// or https://. "
            f"Received: {parts.scheme}://{parts.netloc.rpartition('@')[2]}. "
            "Set HTTPS_PROXY and HTTP_PROXY, or list hosts to read without a proxy in NO_PROXY."
        )
    user = ":".join(unquote(part or "") for part in (parts.username, parts.password)) if parts.username else None
    return urllib3.ProxyManager(address, proxy_headers=urllib3.make_headers(proxy_basic_auth=user), **settings)


def _check(uri: str, response: "BaseHTTPResponse") -> None:
    status = response.status
    if status in {200, 206, 416}:
        return
    if status in {404, 410}:
        raise SourceError(f"A file on the web must exist to be read. Received: {shown(uri)} (status {status}).")
    reason = without_tokens(server_reason(uri, response.read(_REASON_BYTES, decode_content=True)))
    said = f": {reason}" if reason else ""
    if status in {401, 403, 407}:
        raise StorageError(
            "A file on the web must be readable without credentials, or with a token. Received: "
            f"{shown(uri)}, which was refused with status {status}{said}. Check the address and any signature in it, "
            f"set a token for the host in {TOKENS}, or copy the data to a folder or to S3."
        )
    raise StorageError(f"A web server must send the file. Received: status {status} for {shown(uri)}{said}.")


def _unreachable(uri: str, problem: str, retries: int) -> StorageError:
    return StorageError(
        f"A web server must be reachable. Received: {shown(uri)}, which failed after {retries} retries: {problem}. "
        "Check the address, the network and the proxy settings (HTTPS_PROXY, NO_PROXY)."
    )


def _reason(error: Exception) -> str:
    """Describe an error without the address, whose query urllib3 would repeat."""
    cause = str(error.__cause__ or "").strip()
    return f"{type(error).__name__}{f' ({shown(cause)[:200]})' if cause else ''}"


def _retry_after(response: "BaseHTTPResponse") -> float:
    stated = response.headers.get("Retry-After", "").strip()
    return float(stated) if stated.isdecimal() else 0.0


def _quoted(text: str, safe: str) -> str:
    """Percent-encode reserved characters and decode unreserved ones, such as the dots of `%2e%2e`."""
    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)

    def spelt(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else match[0].upper()

    return quote(re.sub(r"%([0-9A-Fa-f]{2})", spelt, text), safe=safe + "%")


def _resolved(path: str, address: str) -> str:
    """Resolve `.` and `..` in a path; none may appear when a server decodes the result."""
    kept: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            if not kept:
                raise SourceError(f"A web address must not lead out of its host. Received: {shown(address)}.")
            kept.pop()
        elif part != ".":
            kept.append(part)
    if any(part == ".." for part in re.split(r"[/\\]", unquote("/".join(kept)))):
        raise SourceError(f"A web address must not hide `..` in its path. Received: {shown(address)}.")
    return "".join(f"/{part}" for part in kept).rstrip("/")
