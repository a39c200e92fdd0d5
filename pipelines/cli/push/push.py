"""Upload of a local folder to a bucket; files that are already there are skipped."""

import functools
import hashlib
import mimetypes
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tilepipe.components.shared.errors import ParameterError, SourceError, StorageError
from tilepipe.components.shared.runtime.parallel import map_in_order
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.s3_session import S3Client
from tilepipe.pipelines.cli.push.bucket import connect, exists, find_or_make, translate_errors
from tilepipe.pipelines.cli.push.local_folder import MAX_KEY_BYTES, LocalFile, walk

THREADS = 16
ATTEMPTS = 6
FIRST_ATTEMPTS = 2
"""Attempts of the first request; few, so that an unreachable server is reported within seconds."""

_MULTIPART_BYTES = 16 * 1024 * 1024
_PART_BYTES = 16 * 1024 * 1024
_PART_THREADS = 4
_PAGE_KEYS = 1000
_CHECKSUM = "sha256"
"""Metadata key of a file's checksum; an ETag is an MD5 only of single-part objects without KMS encryption."""


@dataclass(frozen=True, slots=True)
class Total:
    """Number and size of the files to push."""

    files: int
    bytes: int
    left_out: tuple[str, ...]
    """Hidden files and folders, and entries that are neither a file nor a folder."""


@dataclass
class Pushed:
    """Result of a push."""

    uri: str
    """Value for `data_source`."""
    is_new_bucket: bool
    uploaded: int = 0
    uploaded_bytes: int = 0
    skipped: int = 0
    """Files that were there already, with the same content."""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Object:
    key: str
    bytes: int
    etag: str


def survey(folder: Path) -> Total:
    """Count the files in a folder.

    Raises:
        SourceError: the folder does not exist or has no files, or a link or a name in it cannot be pushed.
    """
    left_out: list[str] = []
    files = total_bytes = 0
    for file in walk(folder, left_out.append):
        files += 1
        total_bytes += file.bytes
    if not files:
        hidden = f" but {len(left_out)} that are left out" if left_out else ""
        raise SourceError(
            f"A folder must have files to be pushed. Received: {folder}, which has none{hidden}. Name another folder."
        )
    return Total(files, total_bytes, tuple(left_out))


def target(address: str) -> tuple[str, str, str]:
    """Check and split an address to push to.

    Returns:
        The normalized address, the bucket and the prefix (empty, or ending in a slash).

    Raises:
        ParameterError: the address is not one of S3.
    """
    if storage.scheme(address) != "s3":
        raise ParameterError(
            f"A folder is pushed to s3://BUCKET/PREFIX. Received: {storage.shown(address)}. Give such an address."
        )
    try:
        uri = storage.normalize(address)
    except SourceError as error:
        raise ParameterError(str(error)) from None
    bucket, _, prefix = uri[5:].partition("/")
    return uri, bucket, f"{prefix}/" if prefix else ""


def push(folder: Path, address: str, progress: Callable[[int, int], None]) -> Pushed:
    """Upload the files of a folder in parallel, and skip those that are already there with the same content.

    Memory does not grow with the number of files: folder and bucket are listed in the same order and compared.

    Args:
        folder: the folder to upload.
        address: `s3://BUCKET/PREFIX`; the bucket is created if it does not exist.
        progress: called with the number of files and bytes that were completed since the last call.

    Raises:
        ParameterError: the address is not one of S3.
        SourceError: the folder cannot be pushed, or a file changed during the upload.
        StorageError: the server cannot be reached, refuses, or does not list what was uploaded.
    """
    uri, bucket, prefix = target(address)
    began = time.monotonic()
    notes: list[str] = []
    is_new = find_or_make(connect(uri, attempts=FIRST_ATTEMPTS), bucket, notes.append)
    done = Pushed(uri, is_new, notes=notes)
    client = connect(uri, attempts=ATTEMPTS)

    def send(pair: tuple[LocalFile, _Object | None]) -> tuple[LocalFile, bool]:
        file, there = pair
        return file, _send(client, bucket, prefix + file.name, file, there)

    pairs = _paired(walk(folder, lambda name: None), prefix, _objects(client, bucket, prefix))  # noqa: ARG005
    for file, is_uploaded in map_in_order(send, pairs, threads=THREADS):
        if is_uploaded:
            if not done.uploaded and next(_objects(client, bucket, prefix), None) is None:
                _check_listed(client, bucket, prefix, iter([file]))  # early: the whole prefix may be hidden
            done.uploaded += 1
            done.uploaded_bytes += file.bytes
        else:
            done.skipped += 1
        progress(1, file.bytes)
    if done.uploaded:
        _check_listed(client, bucket, prefix, walk(folder, lambda name: None))  # noqa: ARG005
    done.seconds = time.monotonic() - began
    return done


def _check_listed(client: S3Client, bucket: str, prefix: str, files: Iterator[LocalFile]) -> None:
    """Check that no object hides uploaded ones from listings, which are how `ingest` finds them.

    MinIO accepts the keys `a` and `a/b`, but then lists nothing directly below `a/`. Other servers reject the second
    key or list both. A file without an entry is no error in itself: it may be new, or the server may not sort its list.
    """

    @functools.lru_cache(maxsize=1024)
    def is_object(key: str) -> bool:
        with translate_errors(f"s3://{bucket}/{key}"):
            return exists(client, bucket, key)

    for file, there in _paired(files, prefix, _objects(client, bucket, prefix)):
        parts = (prefix + file.name).split("/")
        parents = ["/".join(parts[:depth]) for depth in range(1, len(parts))] if there is None else []
        if hiding := next(filter(is_object, parents), None):
            raise StorageError(
                f"Uploaded objects must appear in listings. Received: s3://{bucket}/{prefix}{file.name}, which the "
                f"server hides because of the object s3://{bucket}/{hiding}, which has the name of a folder. Delete "
                "that object, or push to another prefix."
            )


def _objects(client: S3Client, bucket: str, prefix: str) -> Iterator[_Object]:
    with translate_errors(f"s3://{bucket}/{prefix}"):
        pages = client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": _PAGE_KEYS}):
            for entry in page.get("Contents", ()):
                yield _Object(entry["Key"], entry["Size"], entry["ETag"].strip('"'))


def _paired(
    files: Iterator[LocalFile], prefix: str, objects: Iterator[_Object]
) -> Iterator[tuple[LocalFile, _Object | None]]:
    """Pair each file with the object of its key; if the server lists in another order, files are uploaded again."""
    there = next(objects, None)
    for file in files:
        key = prefix + file.name
        if len(key.encode()) > MAX_KEY_BYTES:
            raise SourceError(f"A key in S3 must have {MAX_KEY_BYTES} bytes at most. Received: {key}. Rename the file.")
        while there is not None and there.key.encode() < key.encode():
            there = next(objects, None)
        yield file, there if there is not None and there.key == key else None


def _send(client: S3Client, bucket: str, key: str, file: LocalFile, there: _Object | None) -> bool:
    """Upload a file unless it is already there; returns whether it was uploaded."""
    from boto3.s3.transfer import TransferConfig

    try:
        before = Path(file.path).stat()
        content = Path(file.path).read_bytes() if before.st_size < _MULTIPART_BYTES else None
        md5, checksum = _digests(file.path, content)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        extra: dict[str, Any] = {"ContentType": kind, "Metadata": {_CHECKSUM: checksum}}
        with translate_errors(f"s3://{bucket}/{key}"):
            if there and there.bytes == before.st_size and _is_same(client, bucket, there, md5, checksum):
                return False
            if content is not None:
                client.put_object(Bucket=bucket, Key=key, Body=content, **extra)
                return True
            config = TransferConfig(_MULTIPART_BYTES, _PART_THREADS, _PART_BYTES)
            client.upload_file(file.path, bucket, key, ExtraArgs=extra, Config=config)
        after = Path(file.path).stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise SourceError(f"A file must not change while it is pushed. Received: {file.path}. Push again.")
    except OSError as error:
        if error.errno is None:  # a StorageError or SourceError
            raise
        raise SourceError(
            f"A file must be readable. Received: {file.path}: {error.strerror}. Change its permissions."
        ) from None
    return True


def _is_same(client: S3Client, bucket: str, there: _Object, md5: str, checksum: str) -> bool:
    if there.etag == md5:
        return True
    stored = client.head_object(Bucket=bucket, Key=there.key).get("Metadata", {})
    return bool(stored.get(_CHECKSUM) == checksum)


def _digests(path: str, content: bytes | None) -> tuple[str, str]:
    """Compute MD5, for comparison with an ETag, and SHA-256."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    if content is not None:
        md5.update(content)
        sha256.update(content)
    else:
        with Path(path).open("rb") as file:
            while chunk := file.read(1024 * 1024):
                md5.update(chunk)
                sha256.update(chunk)
    return md5.hexdigest(), sha256.hexdigest()
