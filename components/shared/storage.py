"""Bytes by address: local paths, `file://` and `s3://` behind one small set of functions, with one set of errors.

S3 is read through obstore, with what the environment says: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_REGION` and `AWS_ENDPOINT_URL` (any S3, such as MinIO; plain http only where the endpoint says
so). Without credentials the requests are anonymous, as public buckets want them. No message holds a credential.
"""

import contextlib
import functools
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tilepipe.components.shared.errors import SourceError, StorageError, TilepipeError

if TYPE_CHECKING:
    from obstore.store import S3Store

MAX_RETRIES = 5
RETRY_TIMEOUT = timedelta(seconds=60)
"""Together they bound how long an object store that is away holds a step; obstore spreads its retries with jitter."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; obstore panics on other characters.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SETTINGS = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
_OTHER_CREDENTIALS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_CHUNK_BYTES = 8 * 1024 * 1024


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
    """Whether a normalised address is in an object store."""
    return uri.startswith("s3://")


def normalise(address: str) -> str:
    """The one spelling of an address: an absolute path, or `s3://bucket/key`; `.` and `..` are resolved.

    Args:
        address: a path, relative ones to the working directory, or an address with `file://` or `s3://`.

    Returns:
        What the other functions of this module take.

    Raises:
        SourceError: another scheme, a bucket's name that no bucket has, or a key above its bucket.
    """
    kind = scheme(address)
    if "\0" in address:
        raise SourceError(f"An address must not hold a null character. Received: {address!r}.")
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
    raise SourceError(f"An address must be a local path, file:// or s3://. Received: {address}. Copy the data there.")


def parent(uri: str) -> str:
    """The folder or prefix that holds a normalised address."""
    if is_remote(uri):
        bucket, _, key = uri[5:].partition("/")
        folder = posixpath.dirname(key)
        return f"s3://{bucket}/{folder}".rstrip("/")
    return posixpath.dirname(uri)


def join(folder: str, relative: str) -> str:
    """A relative address below (or, with `..`, beside) a normalised folder or prefix."""
    return normalise(f"{folder}/{relative}")


def is_file(uri: str) -> bool:
    """Whether there is a file or an object at a normalised address.

    Raises:
        StorageError: the store cannot be reached, or refuses.
    """
    if not is_remote(uri):
        return Path(uri).is_file()
    import obstore

    store, key = _locate(uri)
    if not key:
        return False
    try:
        with _explained(uri):
            obstore.head(store, key)
    except SourceError:
        return False
    return True


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
    if not is_remote(uri):
        try:
            return Path(uri).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise SourceError(f"A file must exist to be read. Received: {uri}.") from None
        except OSError as error:
            raise StorageError(f"A file must be readable. Received: {uri}, which gives: {error.strerror}.") from error
    import obstore

    store, key = _locate(uri)
    with _explained(uri):
        return obstore.get(store, key).bytes().to_bytes()


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
    if not is_remote(uri):
        if not Path(uri).is_file():
            raise SourceError(f"A file must exist to be read. Received: {uri}.")
        yield Path(uri)
        return
    import obstore

    store, key = _locate(uri)
    with tempfile.TemporaryDirectory(prefix="tilepipe-") as folder:
        copy = Path(folder) / posixpath.basename(key)
        with copy.open("wb") as file, _explained(uri):
            for chunk in obstore.get(store, key).stream(min_chunk_size=_CHUNK_BYTES):
                file.write(chunk)
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
    if not is_remote(uri):
        yield from _list_folder(Path(uri))
        return
    import obstore

    store, prefix = _locate(uri)
    base = f"{prefix}/" if prefix else ""
    bucket = uri[5:].partition("/")[0]
    with _explained(uri):
        for page in obstore.list(store, prefix or None):
            for entry in page:
                name = entry["path"].removeprefix(base)
                if not any(part.startswith(".") for part in name.split("/")):
                    yield StoredFile(name, f"s3://{bucket}/{entry['path']}", entry["size"])


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


def _locate(uri: str) -> tuple["S3Store", str]:
    bucket, _, key = uri[5:].partition("/")
    values = tuple(os.environ.get(name, "") for name in _SETTINGS)
    anonymous = not values[2] and not any(os.environ.get(name) for name in _OTHER_CREDENTIALS)
    return _open_store(bucket, values, anonymous), key


@functools.lru_cache(maxsize=32)
def _open_store(bucket: str, values: tuple[str, ...], anonymous: bool) -> "S3Store":
    from obstore.store import S3Store

    s3_endpoint, any_endpoint, key_id, secret, token, region, default_region = values
    region = region or default_region or "us-east-1"
    # Always given: obstore reads the environment too, and panics where a variable is set to nothing.
    endpoint = s3_endpoint or any_endpoint or f"https://s3.{region}.amazonaws.com"
    if not re.match(r"https?://[^/]", endpoint):
        shown = re.sub(r"\S*@", "", endpoint)
        raise StorageError(f"AWS_ENDPOINT_URL must be http://<host> or https://<host>. Received: {shown!r}.")
    given = {"access_key_id": key_id, "secret_access_key": secret, "session_token": token}
    with _explained(f"s3://{bucket}"):
        return S3Store(
            bucket,
            region=region,
            endpoint=endpoint,
            aws_endpoint_url_s3=endpoint,
            virtual_hosted_style_request=False,  # path style: what MinIO and its like answer to
            skip_signature=anonymous,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": "5s",
                "timeout": "120s",
                "pool_max_idle_per_host": "64",
            },
            retry_config={
                "max_retries": MAX_RETRIES,
                "retry_timeout": RETRY_TIMEOUT,
                "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
            },
            **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
        )


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except OSError as error:
        if error.errno is not None:  # the local disk's, such as a full one
            raise
        raise _translate(uri, error) from None
    except BaseError as error:
        raise _translate(uri, error) from None


def _translate(uri: str, error: Exception) -> TilepipeError:
    """An error of obstore in our words: what the server said, without the request that holds who asked."""
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    answer = code[1] if code else _first_line(error)
    if isinstance(error, FileNotFoundError) or (code and code[1] in {"NoSuchBucket", "NoSuchKey"}):
        return SourceError(f"An object must exist to be read. Received: {uri} ({answer}).")
    if re.search(r"status code: 40[13]|Missing (AccessKeyId|SecretAccessKey)", text):
        return StorageError(
            f"An object must be readable with the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "
            f"Received: {uri}, which is refused with {answer}. Check the two variables, and the bucket's policy."
        )
    return StorageError(
        f"An object store must be reachable. Received: {uri}, which gives after {MAX_RETRIES} retries: {answer}. "
        "Check AWS_ENDPOINT_URL and AWS_REGION, and that the server runs."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"//[^/@\s]+@", "//", lines[0])[:300].rstrip(". ")
