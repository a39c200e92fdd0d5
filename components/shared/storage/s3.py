"""Read and write objects in S3 with obstore: the `s3://` backend of `storage`, for normalized addresses."""

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tilepipe.components.shared.errors import SourceError, StorageError, TilepipeError
from tilepipe.components.shared.storage.plain_get import Answer, PlainServer

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

MAX_RETRIES = 5
RETRY_TIMEOUT = timedelta(seconds=60)
"""The two limits bound how long an unreachable object store blocks a step; obstore adds jitter to its retries."""

SETTINGS = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
OTHER_CREDENTIALS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_CHUNK_BYTES = 8 * 1024 * 1024
_REQUESTS_AHEAD = 8
"""Open requests, and therefore connections, per thread."""


def is_file(uri: str) -> bool:
    """Return whether an object exists at an address."""
    if not uri[5:].partition("/")[2]:
        return False
    try:
        size(uri)
    except SourceError:
        return False
    return True


def size(uri: str) -> int:
    """Return the size of an object in bytes."""
    import obstore

    store, key = _locate(uri)
    with translate_errors(uri):
        return obstore.head(store, key)["size"]


def read_bytes(uri: str) -> bytes:
    """Read a whole object."""
    return PrefetchingReader([uri]).read(uri)


class PrefetchingReader:
    """Reader that requests the next objects ahead of time, where the server supports plain GET requests.

    Args:
        uris: normalized addresses, in reading order.
    """

    def __init__(self, uris: Iterable[str]) -> None:
        self._server = _plain_server(_settings())
        self._waiting = iter(uris)
        self._answers: dict[str, Answer | None] = {}
        self._fill()

    def read(self, uri: str) -> bytes:
        """Read one of the objects, or any other."""
        if uri in self._answers:
            while next(iter(self._answers)) != uri:  # skipped by the caller
                self._answers.pop(next(iter(self._answers)))
            answer = self._answers.pop(uri)
        else:
            answer = self._request(uri)
        data = answer.read() if answer else None
        self._fill()
        return _fetch(uri) if data is None else data

    def _fill(self) -> None:
        if self._server is not None:
            for uri in itertools.islice(self._waiting, _REQUESTS_AHEAD - len(self._answers)):
                if uri not in self._answers:
                    self._answers[uri] = self._request(uri)

    def _request(self, uri: str) -> Answer | None:
        bucket, _, key = uri[5:].partition("/")
        return None if self._server is None else self._server.ask(bucket, key)


def _fetch(uri: str) -> bytes:
    import obstore

    store, key = _locate(uri)
    with translate_errors(uri):
        return obstore.get(store, key).bytes().to_bytes()


def read_range(uri: str, offset: int, length: int) -> bytes:
    """Read a byte range of an object; fewer bytes are returned if the object ends earlier."""
    import obstore

    store, key = _locate(uri)
    with translate_errors(uri):
        return obstore.get_range(store, key, start=offset, length=length).to_bytes()


def write_bytes(uri: str, content: bytes) -> None:
    """Write an object in one request: an interrupted multipart upload would leave parts behind."""
    import obstore

    store, key = _locate(uri)
    with translate_errors(uri):
        obstore.put(store, key, content, use_multipart=False)


def delete(uri: str) -> None:
    """Delete an object if it exists."""
    import obstore

    store, key = _locate(uri)
    with translate_errors(uri):
        obstore.delete(store, key)


def download(uri: str, file: BinaryIO) -> None:
    """Download an object into a file, in chunks."""
    import obstore

    store, key = _locate(uri)
    with translate_errors(uri):
        for chunk in obstore.get(store, key).stream(min_chunk_size=_CHUNK_BYTES):
            file.write(chunk)


def list_objects(uri: str) -> Iterator[tuple[str, int]]:
    """Yield the key and the size in bytes of every object below a prefix."""
    import obstore

    store, prefix = _locate(uri)
    with translate_errors(uri):
        for page in obstore.list(store, prefix or None):
            for entry in page:
                yield entry["path"], entry["size"]


def _locate(uri: str) -> tuple["S3Store", str]:
    bucket, _, key = uri[5:].partition("/")
    values = _settings()
    if values[2] or any(os.environ.get(name) for name in OTHER_CREDENTIALS):
        return _open_store(bucket, values, anonymous=False), key
    profile = _profile()
    return _open_store(bucket, values, anonymous=profile is None, profile=profile), key


def _settings() -> tuple[str, ...]:
    return tuple(os.environ.get(name, "") for name in SETTINGS)


@functools.lru_cache(maxsize=32)
def _plain_server(values: tuple[str, ...]) -> PlainServer | None:
    _, _, key_id, secret, token, _, _ = values
    return PlainServer.at(*_place(values), key_id, secret, token)


def _place(values: tuple[str, ...]) -> tuple[str, str]:
    """Return the endpoint and the region."""
    s3_endpoint, any_endpoint, _, _, _, region, default_region = values
    region = region or default_region or "us-east-1"
    # Always passed explicitly: obstore also reads the environment and panics if a variable is empty.
    return s3_endpoint or any_endpoint or f"https://s3.{region}.amazonaws.com", region


def _profile() -> str | None:
    """Return the AWS profile to take credentials from: empty for the default profile, None without AWS files."""
    home = Path.home() / ".aws"
    files = [
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"),
        Path(os.environ.get("AWS_CONFIG_FILE") or home / "config"),
    ]
    return os.environ.get("AWS_PROFILE", "") if any(file.is_file() for file in files) else None


@functools.lru_cache(maxsize=32)
def _open_store(bucket: str, values: tuple[str, ...], anonymous: bool, profile: str | None = None) -> "S3Store":
    from obstore.store import S3Store

    endpoint, region = _place(values)
    key_id, secret, token = values[2:5]
    if not re.match(r"https?://[^/]", endpoint):
        shown = re.sub(r"\S*@", "", endpoint)
        raise StorageError(f"AWS_ENDPOINT_URL must be http://<host> or https://<host>. Received: {shown!r}.")
    given = {"access_key_id": key_id, "secret_access_key": secret, "session_token": token}
    provider = None if profile is None else _provider(profile)
    with translate_errors(f"s3://{bucket}"):
        return S3Store(
            bucket,
            region=region,
            endpoint=endpoint,
            aws_endpoint_url_s3=endpoint,
            virtual_hosted_style_request=False,  # path style, as MinIO and similar servers expect
            skip_signature=anonymous or (profile is not None and provider is None),
            credential_provider=provider,
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


def _provider(profile: str) -> "Boto3CredentialProvider | None":
    """Return boto3's credential provider for the AWS files, so that obstore and boto3 act as the same user."""
    import boto3
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        session = boto3.Session(profile_name=profile or None)
        return Boto3CredentialProvider(session) if session.get_credentials() else None
    except BotoCoreError as error:
        raise StorageError(
            f"The AWS profile must provide credentials. Received: {error}. Correct AWS_PROFILE."
        ) from None


@contextlib.contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Translate errors of obstore into errors of tilepipe."""
    from obstore.exceptions import BaseError

    try:
        yield
    except OSError as error:
        if error.errno is not None:  # from the local disk, such as a full one
            raise
        raise _translate(uri, error) from None
    except BaseError as error:
        raise _translate(uri, error) from None


def _translate(uri: str, error: Exception) -> TilepipeError:
    """Translate an error of obstore; the message has the server's answer but not the request with its credentials."""
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    answer = code[1] if code else _first_line(error)
    if (code and code[1] == "InvalidRange") or "status code: 416" in text:
        return SourceError(f"A range must lie within its object. Received: {uri}, which is shorter ({answer}).")
    if isinstance(error, FileNotFoundError) or (code and code[1] in {"NoSuchBucket", "NoSuchKey"}):
        return SourceError(f"An object must exist to be read. Received: {uri} ({answer}).")
    if re.search(r"status code: 40[13]|Missing (AccessKeyId|SecretAccessKey)", text):
        return StorageError(
            f"An object must be readable with the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "
            f"Received: {uri}, which was refused with {answer}. Check both variables and the bucket policy."
        )
    return StorageError(
        f"An object store must be reachable. Received: {uri}, which failed after {MAX_RETRIES} retries: {answer}. "
        "Check AWS_ENDPOINT_URL and AWS_REGION, and that the server is running."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"//[^/@\s]+@", "//", lines[0])[:300].rstrip(". ")
