"""Read and write objects in S3 with obstore: the `s3://` backend of `storage`, for normalized addresses."""

import contextlib
import functools
import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import s3_session
from tilepipe.components.shared.storage.sizes import check_size

if TYPE_CHECKING:
    import boto3
    from botocore.credentials import Credentials
    from obstore.store import S3Store

    from tilepipe.components.shared.storage.object_server import Answer, ObjectServer

MAX_RETRIES = 5
RETRY_TIMEOUT = timedelta(seconds=60)
"""The two limits bound how long an unreachable object store blocks a step; obstore adds jitter to its retries."""

_CHUNK_BYTES = 8 * 1024 * 1024
logger = logging.getLogger("tilepipe.storage")

_ROLES = frozenset({"assume-role-with-web-identity", "container-role"})
"""Names that boto3 gives to the sources of credentials which obstore knows as well."""
_CREDENTIALS_KEPT = timedelta(minutes=10)
"""Time for which obstore keeps credentials of boto3, which renews them at least 10 minutes before they expire."""
_REQUESTS_AHEAD = 8
"""Smallest number of open requests, and therefore of connections, per reader."""


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


def read_bytes(uri: str, max_bytes: int = 0) -> bytes:
    """Read a whole object, unless it has more than `max_bytes`; 0 reads any size."""
    import obstore

    store, key = _locate(uri)
    with translate_errors(uri):
        answer = obstore.get(store, key)
        check_size(answer.meta["size"], max_bytes)
        return answer.bytes().to_bytes()


def requests_ahead() -> bool:
    """Return whether `PrefetchingReader` requests objects ahead of time."""
    return _present_server() is not None


class PrefetchingReader:
    """Reader that requests the next objects ahead of time.

    `pack` and `predict_tiles` read this way; DECISIONS.md has the reasons and the measurements.

    Args:
        uris: normalized addresses, in reading order.
        max_bytes: largest size of an object; 0 reads any size.
        ahead: number of objects that are requested ahead of time; at least 8 are.
    """

    def __init__(self, uris: Iterable[str], max_bytes: int = 0, ahead: int = 0) -> None:
        self._max_bytes, self._ahead = max_bytes, max(ahead, _REQUESTS_AHEAD)
        self._waiting = iter(uris)
        self._answers: dict[str, Answer | None] = {}
        self._fill()

    @functools.cached_property
    def _server(self) -> "ObjectServer | None":
        return _present_server()  # not before there is an object: credentials may have to be requested

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
        return read_bytes(uri, self._max_bytes) if data is None else data

    def _fill(self) -> None:
        for uri in itertools.islice(self._waiting, self._ahead - len(self._answers)):
            if uri not in self._answers:
                self._answers[uri] = self._request(uri)

    def _request(self, uri: str) -> "Answer | None":
        bucket, _, key = uri[5:].partition("/")
        return None if self._server is None else self._server.ask(bucket, key, self._max_bytes)


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
    return _open_store(bucket, _settings(), _profile()), key


def _settings() -> tuple[str, ...]:
    return tuple(os.environ.get(name, "") for name in (*s3_session.SETTINGS, *s3_session.OTHER_CREDENTIALS))


def _present_server() -> "ObjectServer | None":
    """Return the server with the present credentials; None if only obstore can read from it."""
    values, profile = _settings(), _profile()
    region, key = s3_session.region(), values[2:5]
    if profile is not None or _has_role(values):
        if not _same_as_obstores(values, profile):
            return None
        session = _session(values, profile)
        region = s3_session.region(None if profile is None else session.region_name)
        with translate_errors(_endpoint(region)):
            key = _key_of(session.get_credentials())
    return _open_server(_endpoint(region), region, *key, s3_session.ca_file())


# A former server keeps its connections: there is one more whenever temporary credentials are renewed.
@functools.lru_cache(maxsize=2)
def _open_server(
    endpoint: str, region: str, key_id: str, secret: str, token: str, ca_file: str
) -> "ObjectServer | None":
    from tilepipe.components.shared.storage.object_server import ObjectServer

    try:
        return ObjectServer.at(endpoint, region, key_id, secret, token, ca_file)
    except ImportError as error:
        # TensorFlow exports the symbols of an older libcurl to every library that is loaded after it.
        logger.warning("objects are not read ahead, since libcurl cannot be loaded: %s", error)
        return None


def _key_of(source: "Credentials | None") -> tuple[str, str, str]:
    """Return key id, secret and session token; empty without credentials, for requests that are not signed."""
    if source is None:
        return "", "", ""
    current = source.get_frozen_credentials()  # boto3 renews temporary ones
    return current.access_key or "", current.secret_key or "", current.token or ""


@functools.lru_cache(maxsize=32)
def _session(values: tuple[str, ...], profile: str | None) -> "boto3.Session":  # noqa: ARG001 - part of the key
    """Return the session of boto3 from which obstore and the connections of tilepipe's own take their credentials."""
    import boto3

    return boto3.Session(profile_name=profile or None)


@functools.lru_cache(maxsize=32)
def _same_as_obstores(values: tuple[str, ...], profile: str | None) -> bool:
    """Return whether boto3 finds what obstore uses for a profile or a role: the same credentials, or none."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        source = _session(values, profile).get_credentials()
        _key_of(source)
    except (BotoCoreError, ClientError):  # obstore states the error when it reads
        return False
    return profile is not None or (source is not None and source.method in _ROLES)


def _has_role(values: tuple[str, ...]) -> bool:
    """Return whether the environment names a role, as that of a Kubernetes service account, and no key."""
    return not values[2] and any(values[len(s3_session.SETTINGS) :])


def _endpoint(region: str) -> str:
    return s3_session.endpoint() or f"https://s3.{region}.amazonaws.com"


def _profile() -> str | None:
    """Return the AWS profile to take credentials from: empty for the default profile, None if none is needed."""
    if any(os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", *s3_session.OTHER_CREDENTIALS)):
        return None
    home = Path.home() / ".aws"
    files = [
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"),
        Path(os.environ.get("AWS_CONFIG_FILE") or home / "config"),
    ]
    return os.environ.get("AWS_PROFILE", "") if any(file.is_file() for file in files) else None


@functools.lru_cache(maxsize=32)
def _open_store(bucket: str, values: tuple[str, ...], profile: str | None) -> "S3Store":
    from obstore.store import S3Store

    key_id, secret, token = values[2:5]
    given: dict[str, object] = {"access_key_id": key_id, "secret_access_key": secret, "session_token": token}
    is_anonymous, configured = not (key_id or _has_role(values)), None
    with translate_errors(f"s3://{bucket}"):
        if profile is not None:
            given["credential_provider"], configured = _provider(_session(values, profile))
            is_anonymous = given["credential_provider"] is None
        region = s3_session.region(configured)
        # Always passed explicitly: obstore also reads the environment and panics if a variable is empty.
        endpoint = _endpoint(region)
        client_options: dict[str, object] = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": "5s",
            "read_timeout": "30s",  # without any byte
            "timeout": "120s",
            "pool_max_idle_per_host": "64",
        }
        if s3_session.ca_file():
            client_options["root_certificate"] = Path(s3_session.ca_file()).read_bytes()
        return S3Store(
            bucket,
            region=region,
            endpoint=endpoint,
            aws_endpoint_url_s3=endpoint,
            virtual_hosted_style_request=False,  # path style, as MinIO and similar servers expect
            skip_signature=is_anonymous,
            client_options=client_options,  # type: ignore[arg-type]
            retry_config={
                "max_retries": MAX_RETRIES,
                "retry_timeout": RETRY_TIMEOUT,
                "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
            },
            **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
        )


def _provider(session: "boto3.Session") -> tuple[object, str | None]:
    """Return the credential provider and the region of a session: obstore and boto3 act as the same user."""
    from obstore.auth.boto3 import Boto3CredentialProvider

    if not session.get_credentials():
        return None, session.region_name
    return Boto3CredentialProvider(session, ttl=_CREDENTIALS_KEPT), session.region_name


@contextlib.contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Translate errors of obstore and boto3 into errors of tilepipe."""
    from obstore.exceptions import BaseError

    try:
        yield
    except Exception as error:
        is_boto = type(error).__module__.startswith("botocore.")  # loaded only with AWS configuration files
        is_local = isinstance(error, OSError) and error.errno is not None  # the local disk, such as a full one
        if is_local or not (is_boto or isinstance(error, OSError | BaseError)):
            raise
        raise s3_session.translate(error, uri, attempts=MAX_RETRIES + 1) from None
