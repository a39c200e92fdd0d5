"""Read files by address (local path, `file://`, `s3://` or web) with one set of functions and errors.

S3 is configured by the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
`AWS_REGION` and `AWS_ENDPOINT_URL` (any S3 server, such as MinIO; plain http only if the endpoint uses it), else by the
AWS configuration files (`AWS_PROFILE`). `AWS_CA_BUNDLE` names a file with further trusted certificates. Without
credentials, requests are anonymous, as for public buckets. The web is always read anonymously. Messages never contain
credentials. Addresses inside third-party files are checked by their reader (`ingest.sources.hrefs`).
"""

import contextlib
import logging
import os
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from tilepipe.components.shared.errors import ParameterError, SourceError, StorageError
from tilepipe.components.shared.storage import s3, web
from tilepipe.components.shared.storage.sizes import check_size

logger = logging.getLogger("tilepipe.storage")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; obstore panics on other characters.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file below a folder or prefix."""

    name: str
    """Path relative to what was listed, with forward slashes."""
    uri: str
    bytes: int


def scheme(address: str) -> str:
    """Return the scheme of an address in lower case, such as `s3` or `https`; empty for a plain path."""
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""


def is_remote(uri: str) -> bool:
    """Return whether a normalized address is remote: in an object store or on the web."""
    return uri.startswith("s3://") or is_web(uri)


def is_web(uri: str) -> bool:
    """Return whether a normalized address is on the web."""
    return uri.startswith(("https://", "http://"))


def origin(uri: str) -> str:
    """Return scheme, host and port of a normalized web address."""
    return web.origin(uri)


def shown(address: str) -> str:
    """Return an address for use in messages: the user and the query of a web address may be credentials."""
    return web.shown(address) if scheme(address) in {"http", "https"} else address


def path_of(uri: str) -> str:
    """Return a normalized address without the query of a web address; name and suffix are taken from it."""
    return uri.partition("?")[0] if is_web(uri) else uri


def normalize_place(parameter: str, address: str) -> str:
    """Normalize the address of a storage location given as a parameter.

    Raises:
        ParameterError: the address is neither a local folder nor a prefix in S3.
    """
    try:
        if scheme(address) not in {"", "file", "s3"}:
            raise SourceError("The address is neither a folder nor s3://.")
        return normalize(address)
    except SourceError as error:
        raise ParameterError(
            f"`{parameter}` must be a local folder or s3://bucket/prefix. Received: {address!r}. {error}"
        ) from None


def normalize(address: str) -> str:
    """Normalize an address to an absolute path, `s3://bucket/key` or a URL, with `.` and `..` resolved.

    Args:
        address: a path (relative paths start at the working directory) or an address with `file://`, `s3://`,
            `https://` or `http://`.

    Returns:
        The normalized address, as the other functions of this module expect it.

    Raises:
        SourceError: the scheme is unsupported, the bucket name or the URL is invalid, the path leads out of its bucket
            or host, or the URL contains a user.
    """
    kind = scheme(address)
    if "\0" in address:
        raise SourceError(f"An address must not contain a null character. Received: {address!r}.")
    if kind in {"http", "https"}:
        return web.normalize(address)
    if kind == "":
        return os.path.abspath(address)  # noqa: PTH100 - resolves `..` without following links
    if kind == "file":
        parts = urlsplit(address)
        if parts.netloc not in {"", "localhost"}:
            raise SourceError(f"A file:// address must refer to this machine. Received: {address}.")
        return os.path.abspath(unquote(parts.path))  # noqa: PTH100
    if kind == "s3":
        bucket, _, key = address[5:].partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise SourceError(
                "A bucket name must be 3 to 63 lower-case letters, digits, dots and hyphens. "
                f"Received: {address}. Write it as s3://bucket/key."
            )
        key = posixpath.normpath(key)
        if key == ".." or key.startswith("../"):
            raise SourceError(f"A key must not lead out of its bucket. Received: {address}.")
        key = "" if key == "." else key.lstrip("/")
        return f"s3://{bucket}/{key}".rstrip("/")
    raise SourceError(
        f"An address must be a local path, file://, s3://, https:// or http://. Received: {address}. "
        "Copy the data there."
    )


def from_artifact(uri: str) -> str:
    """Normalize the URI of a KFP artifact; KFP writes `minio://` for its own S3 store, of any implementation.

    Raises:
        SourceError: the scheme is unsupported, or the address is invalid.
    """
    return normalize(f"s3://{uri.removeprefix('minio://')}" if uri.startswith("minio://") else uri)


def parent(uri: str) -> str:
    """Return the parent folder or prefix of a normalized address, without the query of a web address."""
    if is_web(uri):
        return web.parent(uri)
    if is_remote(uri):
        bucket, _, key = uri[5:].partition("/")
        folder = posixpath.dirname(key)
        return f"s3://{bucket}/{folder}".rstrip("/")
    return posixpath.dirname(uri)


def join(folder: str, relative: str) -> str:
    """Resolve a relative address against a normalized folder or prefix.

    On the web it may also start with `/` (root of the host) or `//` (another host), as in HTML pages.
    """
    if is_web(folder):
        return web.join(folder, relative)
    return normalize(f"{folder}/{relative}")


def is_file(uri: str) -> bool:
    """Return whether a file or an object exists at a normalized address.

    Raises:
        StorageError: the store cannot be reached or denies access.
    """
    remote = _remote(uri)
    return Path(uri).is_file() if remote is None else bool(remote.is_file(uri))


def size(uri: str) -> int:
    """Return the size of a file or an object in bytes.

    Raises:
        SourceError: nothing exists at the address.
        StorageError: the disk or the store cannot be reached, denies access, or does not state the size.
    """
    remote = _remote(uri)
    if remote is not None:
        return int(remote.size(uri))
    with _local(uri):
        return Path(uri).stat().st_size


def read_bytes(uri: str, max_bytes: int = 0) -> bytes:
    """Read a whole file or object.

    Args:
        uri: a normalized address.
        max_bytes: size above which nothing is read. Defaults to 0, any size.

    Raises:
        SourceError: nothing exists at the address.
        StorageError: the disk or the store cannot be reached or denies access.
        TileError: the file is larger than `max_bytes`.
    """
    remote = _remote(uri)
    if remote is not None:
        return bytes(remote.read_bytes(uri, max_bytes))
    with _local(uri), Path(uri).open("rb") as file:
        if max_bytes:
            check_size(os.fstat(file.fileno()).st_size, max_bytes)
        return file.read()


def requests_ahead(uri: str) -> bool:
    """Return whether `prefetch_reader` requests the files of an address' store ahead of time."""
    return _remote(uri) is s3 and s3.requests_ahead()


def prefetch_reader(uris: Iterable[str], max_bytes: int = 0, ahead: int = 0) -> Callable[[str], bytes]:
    """Return a reader that requests the next few objects ahead of time, where their store supports it.

    While one thread processes an answer, the next ones arrive.

    Args:
        uris: normalized addresses that will be read soon, in this order, once each.
        max_bytes: largest size of a file, as in `read_bytes`. Defaults to 0, any size.
        ahead: number of objects that are requested ahead of time; at least 8 are. Defaults to 0.

    Returns:
        A function that reads one of them, or any other address, as `read_bytes` does.
    """
    reader = s3.PrefetchingReader((uri for uri in uris if _remote(uri) is s3), max_bytes, ahead)
    return lambda uri: reader.read(uri) if _remote(uri) is s3 else read_bytes(uri, max_bytes)


def read_range(uri: str, offset: int, length: int) -> bytes:
    """Read exactly `length` bytes, from `offset` on, of a file or an object at a normalized address.

    Raises:
        SourceError: nothing exists at the address, or the file ends before the range does.
        StorageError: the disk or the store cannot be reached, denies access, or does not support ranges.
    """
    if offset < 0 or length < 0:
        raise SourceError(
            f"A range must have a non-negative offset and length. Received: offset={offset}, length={length} "
            f"of {shown(uri)}."
        )
    if length == 0:
        return b""
    remote = _remote(uri)
    if remote is not None:
        data = bytes(remote.read_range(uri, offset, length))
    else:
        with _local(uri), Path(uri).open("rb") as file:
            file.seek(offset)
            data = file.read(length)
    if len(data) != length:
        raise SourceError(
            f"A range must lie within its file. Received: {length} bytes from {offset} of {shown(uri)}, which has only "
            f"{len(data)} there. The file is truncated or has changed: read the source again."
        )
    return data


class _BoundedFile:
    """File that accepts a limited number of bytes, whatever size a server states."""

    def __init__(self, file: BinaryIO, largest_bytes: int, uri: str) -> None:
        self._file, self._largest_bytes, self._uri = file, largest_bytes, uri
        self.seek, self.truncate = file.seek, file.truncate

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._largest_bytes:
            raise _too_large(self._uri, self._largest_bytes)
        return self._file.write(data)


def _too_large(uri: str, largest_bytes: int) -> SourceError:
    return SourceError(
        f"A file must have at most {largest_bytes:,} bytes here. Received: more in {shown(uri)}. Check the address."
    )


@contextlib.contextmanager
def staged(uri: str, *, largest_bytes: int | None = None) -> Iterator[Path]:
    """Yield a local path to a file: the file itself if it is local, else a temporary copy.

    Args:
        uri: a normalized address.
        largest_bytes: largest size that is accepted. Defaults to None: any size.

    Yields:
        The path; a copy is deleted when the context exits.

    Raises:
        SourceError: nothing exists at the address, or the file is too large.
        StorageError: the store cannot be reached or denies access.
    """
    remote = _remote(uri)
    if remote is None:
        if not Path(uri).is_file():
            raise SourceError(f"A file must exist to be read. Received: {uri}.")
        if largest_bytes is not None and size(uri) > largest_bytes:
            raise _too_large(uri, largest_bytes)
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        copy = Path(folder) / (unquote(posixpath.basename(urlsplit(uri).path)).replace("/", "_") or "file")
        with copy.open("wb") as file:
            remote.download(uri, file if largest_bytes is None else _BoundedFile(file, largest_bytes, uri))
        yield copy


def list_files(uri: str) -> Iterator[StoredFile]:
    """Yield every file below a folder or prefix, in no particular order; names that start with a dot are skipped.

    Args:
        uri: a normalized address.

    Yields:
        One entry per file.

    Raises:
        SourceError: the folder or bucket does not exist.
        StorageError: the disk or the store cannot be reached or denies access.
    """
    if is_web(uri):
        raise SourceError(
            f"A folder must be local or in S3 to be listed; web servers list nothing. Received: {shown(uri)}. "
            "Give a catalog or a table of the files."
        )
    if not is_remote(uri):
        yield from _list_folder(Path(uri))
        return
    bucket, _, prefix = uri[5:].partition("/")
    base = f"{prefix}/" if prefix else ""
    for key, size_bytes in s3.list_objects(uri):
        name = key.removeprefix(base)
        if not any(part.startswith(".") for part in name.split("/")):
            yield StoredFile(name, f"s3://{bucket}/{key}", size_bytes)


def _remote(uri: str) -> ModuleType | None:
    """Return the module that reads a normalized address; None for a local path."""
    if is_web(uri):
        return web
    return s3 if is_remote(uri) else None


@contextlib.contextmanager
def _local(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"A file must exist to be read. Received: {path}.") from None
    except OSError as error:
        raise StorageError(f"A file must be readable. Received: {path}: {error.strerror}.") from error


def _list_folder(root: Path) -> Iterator[StoredFile]:
    if not root.is_dir():
        raise SourceError(f"A folder must exist to be listed. Received: {root}.")
    waiting: list[tuple[Path, str, tuple[tuple[int, int], ...]]] = [(root, "", ())]
    dangling, example = 0, ""
    while waiting:
        folder, prefix, above = waiting.pop()
        status = folder.stat()
        place = (status.st_dev, status.st_ino)
        if place in above:  # a link to a folder above
            continue
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append((Path(entry.path), f"{prefix}{entry.name}/", (*above, place)))
                    elif entry.is_file():
                        yield StoredFile(prefix + entry.name, entry.path, entry.stat().st_size)
                    elif entry.is_symlink():  # as git-annex and DVC leave files that were not fetched
                        dangling, example = dangling + 1, example or prefix + entry.name
        except PermissionError as error:
            raise StorageError(f"A folder must be readable. Received: {folder}: {error.strerror}.") from error
    if dangling:
        logger.warning("skipped %d links to files that do not exist, such as %s", dangling, example)
