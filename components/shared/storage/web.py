"""Files on web servers, read anonymously: the part of `storage` for `https://` and `http://`.

Through urllib3 and not obstore's HTTPStore, which was tried: on a redirect that sends the whole address, with the
signature that its query may hold, as Referer to the other host; it follows redirects into private networks; and it
reads nothing from a server that states no length. Unlike requests, urllib3 also looks into no `.netrc`.
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
from tilepipe.components.shared.version import VERSION

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

MAX_RETRIES = 5
RETRY_SECONDS = 60.0
"""Together they bound how long a web server that is away holds a step."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_MAX_REDIRECTS = 5
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_MAX_SKIPPED_BYTES = 64 * 1024 * 1024
"""How much of a file is read to find a range in it, where the server sends nothing less than the file."""
_CHUNK_BYTES = 1024 * 1024
_PORTS = {"http": 80, "https": 443}

Answer = TypeVar("Answer")


def normalise(address: str) -> str:
    """The one spelling of a URL: https://www.rfc-editor.org/rfc/rfc3986#section-6.2; a fragment goes, a query stays."""
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
    """Scheme, host and port of a normalised URL."""
    return "/".join(uri.partition("?")[0].split("/", 3)[:3])


def parent(uri: str) -> str:
    """The folder of a normalised URL."""
    path = uri.partition("?")[0]
    return path.rpartition("/")[0] if path != origin(uri) else path


def join(folder: str, relative: str) -> str:
    """A relative reference from a normalised folder."""
    if relative.startswith("//"):
        return normalise(f"{urlsplit(folder).scheme}:{relative}")
    if relative.startswith("/"):
        return normalise(origin(folder) + relative)
    return normalise(f"{folder}/{relative}")


def shown(address: str) -> str:
    """A URL as messages may show it: its user and its query may be credentials."""
    bare, mark, _ = re.sub(r"//[^/?#]*@", "//", address).partition("?")
    return f"{bare}?..." if mark else bare


def is_file(uri: str) -> bool:
    """Whether a web server has something at an address."""
    try:
        _stated_size(uri)
    except SourceError:
        return False
    return True


def size(uri: str) -> int:
    """How many bytes a file on the web has."""
    stated = _stated_size(uri)
    if not stated or not stated.isdecimal():
        raise StorageError(
            f"A web server must state a file's size (Content-Length). Received: none for {shown(uri)}. "
            "Copy the file to a folder or to S3."
        )
    return int(stated)


def _stated_size(uri: str) -> str | None:
    """What a server says of a file's size, asked with GET: some refuse HEAD, and signatures of S3 cover the method."""

    def take(response: "BaseHTTPResponse") -> str | None:
        if response.status == 200:
            return response.headers.get("Content-Length")
        response.read()
        return _content_range(response)[1]

    return _ask(uri, take, {"Range": "bytes=0-0"})


def read_bytes(uri: str) -> bytes:
    """All bytes of a file on the web."""
    return _ask(uri, lambda response: response.read(decode_content=True))


def download(uri: str, file: BinaryIO) -> None:
    """Write all bytes of a file on the web into a file, in pieces."""

    def write(response: "BaseHTTPResponse") -> None:
        file.seek(0)
        file.truncate()
        for chunk in response.stream(_CHUNK_BYTES, decode_content=True):
            file.write(chunk)

    _ask(uri, write)


def read_range(uri: str, offset: int, length: int) -> bytes:
    """Some bytes of a file on the web; fewer where it ends before."""

    def read(response: "BaseHTTPResponse") -> bytes:
        if response.status == 416:
            return b""
        if response.status == 206:
            start, _ = _content_range(response)
            if start != str(offset) or response.headers.get("Content-Encoding", "identity") != "identity":
                raise StorageError(
                    f"A web server must send the range that it is asked for. Received: Content-Range "
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
    """The first byte that is sent, and the size of the whole, as far as they are stated."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return (match[1], match[2]) if match else (None, None)


def _ask(uri: str, take: Callable[["BaseHTTPResponse"], Answer], headers: dict[str, str] | None = None) -> Answer:
    """Send a request, again where the failure may pass, and return what `take` makes of the answer."""
    import urllib3

    began = time.monotonic()
    attempt = 0
    while True:
        stated_pause = 0.0
        try:
            with _answered(uri, headers or {}) as response:
                if response.status not in _PASSING:
                    _check(uri, response.status)
                    return take(response)
                problem = f"status {response.status}"
                stated_pause = _retry_after(response)
        except urllib3.exceptions.HTTPError as error:
            problem = _reason(error)
            if isinstance(error, urllib3.exceptions.SSLError):  # no later try has another certificate
                raise _unreachable(uri, problem, attempt) from None
        pause = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
        # Up to twice as long, so that those that failed together do not all come back together.
        pause = max(stated_pause, pause * (1 + random.random()))  # noqa: S311 - no cryptography
        if attempt >= MAX_RETRIES or time.monotonic() + pause - began > RETRY_SECONDS:
            raise _unreachable(uri, problem, attempt)
        time.sleep(pause)
        attempt += 1


@contextlib.contextmanager
def _answered(uri: str, headers: dict[str, str]) -> Iterator["BaseHTTPResponse"]:
    """The answer to one request, redirects followed; never a Referer, a cookie or a credential with any of them."""
    sent = {"User-Agent": f"tilepipe/{VERSION}", "Accept-Encoding": "identity", **headers}
    here = uri
    for _ in range(_MAX_REDIRECTS + 1):
        response = _pool(_proxy(here)).request(
            "GET", here, headers=sent, redirect=False, retries=False, preload_content=False, timeout=_timeout()
        )
        try:
            target = response.get_redirect_location()
            if not target:
                yield response
                return
        finally:
            # What has been read to its end is back in the pool by now; what has not must not be read to its end.
            response.close()
        here = _followed(here, target)
    raise StorageError(f"A web server must answer within {_MAX_REDIRECTS} redirects. Received: more for {shown(uri)}.")


def _followed(here: str, location: str) -> str:
    """Where a redirect leads, if it may: a public server must not lead a step into the network that it runs in."""
    there = urljoin(here, location)
    rule = "A web server's redirect must lead to"
    if not re.match(r"(?i)https?://", there):
        raise StorageError(f"{rule} the web. Received: {shown(there)} from {shown(here)}.")
    there = normalise(there)
    if here.startswith("https://") and there.startswith("http://"):
        raise StorageError(f"{rule} https:// again. Received: {shown(there)} from {shown(here)}.")
    if origin(there) != origin(here) and _is_private(there) and not _is_private(here):
        raise StorageError(
            f"{rule} a public host. Received: {shown(there)} from {shown(here)}. If it is right, give that address."
        )
    return there


def _is_private(uri: str) -> bool:
    """Whether a host is this machine, or in a private or link-local network, as cloud metadata services are."""
    try:
        found = socket.getaddrinfo(urlsplit(uri).hostname, None, type=socket.SOCK_STREAM)
    except OSError:  # nobody knows it, or only a proxy does
        return False
    addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    return any(not (getattr(address, "ipv4_mapped", None) or address).is_global for address in addresses)


def _proxy(uri: str) -> str:
    """The proxy that the environment names for an address, such as in HTTPS_PROXY; empty for none."""
    parts = urlsplit(uri)
    if urllib.request.proxy_bypass(parts.netloc):
        return ""
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


@functools.lru_cache(maxsize=8)
def _pool(proxy: str) -> "PoolManager":
    import urllib3

    settings: dict[str, Any] = {"num_pools": 32, "maxsize": 64}
    if not proxy:
        return urllib3.PoolManager(**settings)
    parts = urlsplit(proxy)
    user = ":".join(unquote(part or "") for part in (parts.username, parts.password)) if parts.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=user), **settings)


def _timeout() -> Any:  # noqa: ANN401 - urllib3.Timeout, which is imported late
    import urllib3

    return urllib3.Timeout(connect=5, read=60)


def _check(uri: str, status: int) -> None:
    if status in {404, 410}:
        raise SourceError(f"A file on the web must exist to be read. Received: {shown(uri)} (status {status}).")
    if status in {401, 403, 407}:
        raise StorageError(
            f"A file on the web must be readable without credentials. Received: {shown(uri)}, which is refused with "
            f"status {status}. Check the address and any signature in it, or copy the data to a folder or to S3."
        )
    if status not in {200, 206, 416}:
        raise StorageError(f"A web server must send the file. Received: status {status} for {shown(uri)}.")


def _unreachable(uri: str, problem: str, retries: int) -> StorageError:
    return StorageError(
        f"A web server must be reachable. Received: {shown(uri)}, which gives after {retries} retries: {problem}. "
        "Check the address, the network and the proxy's settings (HTTPS_PROXY, NO_PROXY)."
    )


def _reason(error: Exception) -> str:
    """What went wrong, without the address, whose query urllib3 repeats."""
    cause = str(error.__cause__ or "").strip()
    return f"{type(error).__name__}{f' ({shown(cause)[:200]})' if cause else ''}"


def _retry_after(response: "BaseHTTPResponse") -> float:
    stated = response.headers.get("Retry-After", "").strip()
    return float(stated) if stated.isdecimal() else 0.0


def _quoted(text: str, safe: str) -> str:
    """Percent-encode what must be, and decode what need not be, such as the dots of `%2e%2e`."""
    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)

    def spelt(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else match[0].upper()

    return quote(re.sub(r"%([0-9A-Fa-f]{2})", spelt, text), safe=safe + "%")


def _resolved(path: str, address: str) -> str:
    """A path without `.` and `..`; a server must not find more of them once it has decoded it."""
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
