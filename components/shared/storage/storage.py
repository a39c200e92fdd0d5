"""Bytes by address: local paths, `file://`, `s3://` and the web, behind one set of functions with one set of errors.

S3 is read with what the environment says: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
`AWS_REGION` and `AWS_ENDPOINT_URL` (any S3, such as MinIO; plain http only where the endpoint says so), else with what
AWS' own files hold (`AWS_PROFILE`). Without credentials the requests are anonymous, as public buckets want them. The
web is always read anonymously. No message holds a credential. Which addresses a file of somebody else's may name is for
its reader to say (`ingest.hrefs`).
"""

import contextlib
import os
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

from tilepipe.components.shared.errors import ParameterError, SourceError, StorageError
from tilepipe.components.shared.storage import s3, web

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
    """The scheme of an address in lower case, such as `s3` or `https`; empty for a plain path."""
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""


def is_remote(uri: str) -> bool:
    """Whether a normalised address is on another machine: in an object store or on the web."""
    return uri.startswith("s3://") or is_web(uri)


def is_web(uri: str) -> bool:
    """Whether a normalised address is on the web."""
    return uri.startswith(("https://", "http://"))


def origin(uri: str) -> str:
    """Scheme, host and port of a normalised address on the web."""
    return web.origin(uri)


def shown(address: str) -> str:
    """An address as messages may show it: without what may be a credential, a web address's user and its query."""
    return web.shown(address) if scheme(address) in {"http", "https"} else address


def path_of(uri: str) -> str:
    """A normalised address without a web address's query: what its name and suffix are told by."""
    return uri.partition("?")[0] if is_web(uri) else uri


def normalise_place(parameter: str, address: str) -> str:
    """The one spelling of an address that a parameter names to keep things at.

    Args:
        parameter: its name, for the error.
        address: what the user gave.

    Returns:
        As `normalise` gives it.

    Raises:
        ParameterError: it is neither a local folder nor a prefix in S3.
    """
    try:
        if scheme(address) not in {"", "file", "s3"}:
            raise SourceError("It is neither a folder nor s3://.")
        return normalise(address)
    except SourceError as error:
        raise ParameterError(
            f"`{parameter}` must be a local folder or s3://bucket/prefix. Received: {address!r}. {error}"
        ) from None


def normalise(address: str) -> str:
    """The one spelling of an address: an absolute path, `s3://bucket/key` or a URL; `.` and `..` are resolved.

    Args:
        address: a path, relative ones to the working directory, or an address with `file://`, `s3://`, `https://` or
            `http://`.

    Returns:
        What the other functions of this module take.

    Raises:
        SourceError: another scheme, a bucket's name that no bucket has, a key above its bucket, a path above its host,
            or a URL that is none or holds a user.
    """
    kind = scheme(address)
    if "\0" in address:
        raise SourceError(f"An address must not hold a null character. Received: {address!r}.")
    if kind in {"http", "https"}:
        return web.normalise(address)
    if kind == "":
        return os.path.abspath(address)  # noqa: PTH100 - resolves `..` without following links
    if kind == "file":
        parts = urlsplit(address)
        if parts.netloc not in {"", "localhost"}:
            raise SourceError(f"A file:// address must be of this machine. Received: {address}.")
        return os.path.abspath(unquote(parts.path))  # noqa: PTH100
    if kind == "s3":
        bucket, _, key = address[5:].partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise SourceError(
                "A bucket's name must be 3 to 63 lower-case letters, digits, dots and hyphens. "
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


def parent(uri: str) -> str:
    """The folder or prefix that holds a normalised address; of one on the web, without its query."""
    if is_web(uri):
        return web.parent(uri)
    if is_remote(uri):
        bucket, _, key = uri[5:].partition("/")
        folder = posixpath.dirname(key)
        return f"s3://{bucket}/{folder}".rstrip("/")
    return posixpath.dirname(uri)


def join(folder: str, relative: str) -> str:
    """A relative address below (or, with `..`, beside) a normalised folder or prefix.

    On the web it may also start with `/`, for the host's root, or with `//`, for another host, as in any page.
    """
    if is_web(folder):
        return web.join(folder, relative)
    return normalise(f"{folder}/{relative}")


def is_file(uri: str) -> bool:
    """Whether there is a file or an object at a normalised address.

    Raises:
        StorageError: the store cannot be reached, or refuses.
    """
    remote = _remote(uri)
    return Path(uri).is_file() if remote is None else bool(remote.is_file(uri))


def size(uri: str) -> int:
    """How many bytes a file or an object has.

    Raises:
        SourceError: there is nothing at the address.
        StorageError: the disk or the store cannot be reached, refuses, or does not say.
    """
    remote = _remote(uri)
    if remote is not None:
        return int(remote.size(uri))
    with _local(uri):
        return Path(uri).stat().st_size


def read_bytes(uri: str) -> bytes:
    """All bytes of a file or an object.

    Args:
        uri: a normalised address.

    Returns:
        The content.

    Raises:
        SourceError: there is nothing at the address.
        StorageError: the disk or the store cannot be reached, or refuses.
    """
    remote = _remote(uri)
    if remote is not None:
        return bytes(remote.read_bytes(uri))
    with _local(uri):
        return Path(uri).read_bytes()


def asked(uris: Iterable[str]) -> Callable[[str], bytes]:
    """Ask for a few files or objects before the first is read, where their store can be asked so.

    One thread then keeps a store busy, and while it works on one answer, the next ones arrive.

    Args:
        uris: normalised addresses of what will be read, each once, in this order and soon.

    Returns:
        Reads one of them, or anything else, as `read_bytes` does.
    """
    ahead = s3.Asked(uri for uri in uris if _remote(uri) is s3)
    return lambda uri: ahead.read(uri) if _remote(uri) is s3 else read_bytes(uri)


def read_range(uri: str, offset: int, length: int) -> bytes:
    """Some bytes of a file or an object, without reading the rest.

    Args:
        uri: a normalised address.
        offset: the first of them.
        length: how many.

    Returns:
        `length` bytes, never fewer.

    Raises:
        SourceError: there is nothing at the address, or it ends before.
        StorageError: the disk or the store cannot be reached, refuses, or reads no ranges.
    """
    if offset < 0 or length < 0:
        raise SourceError(
            f"A range must begin at 0 or more and have 0 bytes or more. Received: offset={offset}, length={length} "
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
            f"A range must lie within its file. Received: {length} bytes from {offset} of {shown(uri)}, which has "
            f"{len(data)} there. Read the source again: the file is truncated, or has changed."
        )
    return data


@contextlib.contextmanager
def staged(uri: str) -> Iterator[Path]:
    """Yield a local path to a file: itself where it is local, else a temporary copy, written in chunks.

    Args:
        uri: a normalised address.

    Yields:
        The path; a copy goes away with the context.

    Raises:
        SourceError: there is nothing at the address.
        StorageError: the store cannot be reached, or refuses.
    """
    remote = _remote(uri)
    if remote is None:
        if not Path(uri).is_file():
            raise SourceError(f"A file must exist to be read. Received: {uri}.")
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        copy = Path(folder) / (unquote(posixpath.basename(urlsplit(uri).path)).replace("/", "_") or "file")
        with copy.open("wb") as file:
            remote.download(uri, file)
        yield copy


def list_files(uri: str) -> Iterator[StoredFile]:
    """Every file below a folder or prefix, in no particular order; names that start with a dot are left out.

    Args:
        uri: a normalised address.

    Yields:
        One entry a file.

    Raises:
        SourceError: there is no such folder or bucket.
        StorageError: the disk or the store cannot be reached, or refuses.
    """
    if is_web(uri):
        raise SourceError(
            f"A folder must be local or in S3 to be listed: web servers list nothing. Received: {shown(uri)}. "
            "Give a catalogue or a table of what is there."
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
    """The module that reads what is at a normalised address; None for a local path."""
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
        raise StorageError(f"A file must be readable. Received: {path}, which gives: {error.strerror}.") from error


def _list_folder(root: Path) -> Iterator[StoredFile]:
    if not root.is_dir():
        raise SourceError(f"A folder must exist to be listed. Received: {root}.")
    waiting, seen = [(root, "")], set()
    while waiting:
        folder, prefix = waiting.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above
            continue
        seen.add((status.st_dev, status.st_ino))
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))
                    elif entry.is_file():  # not a dangling link, which has no size
                        yield StoredFile(prefix + entry.name, entry.path, entry.stat().st_size)
        except PermissionError as error:
            raise StorageError(f"A folder must be readable. Received: {folder}: {error.strerror}.") from error
