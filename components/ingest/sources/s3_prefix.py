"""An S3 prefix with class folders, or with split folders above the class folders, listed through boto3.

Several class folders are listed in parallel, and the next page of each is requested while the last one is processed.
Memory holds a few pages, independent of the number of objects.
"""

import logging
import re
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Literal, overload
from urllib.parse import unquote_plus

from tilepipe.components.ingest.config import split_named
from tilepipe.components.ingest.sources.folder import ClassFolders, ListedFile, class_rows, split_folders
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.contracts.manifest import Split
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.storage import s3_session

logger = logging.getLogger("tilepipe.ingest")

THREADS = 8
_ATTEMPTS = 4
_MD5 = "d50110"
"""Code and length of the multihash, which precede the digest."""
_PLAIN_ETAG = re.compile(r"[0-9a-f]{32}")
# Of the encryptions only SSE-S3 leaves an ETag the MD5 of the content, and directory buckets' ETags are random:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
_ENCRYPTIONS_WITH_MD5 = {None, "AES256"}
_DIRECTORY_BUCKET = "--x-s3"
_SHOWN = 10
_NAMES_HELD = 1000


@dataclass(frozen=True, slots=True)
class _Request:
    """Request for one page of a listing."""

    prefix: str
    is_folder: bool
    """True lists a class folder with all levels below it; False only the level directly below the prefix."""
    token: str = ""
    has_md5: bool = False
    """True where the ETags of this folder are MD5 digests."""


@dataclass(frozen=True, slots=True)
class _Page:
    prefix: str
    entries: list[tuple[str, int, str]]
    """Key, size and ETag."""
    folders: list[str]
    following: _Request | None
    has_md5: bool


@dataclass(frozen=True)
class S3ClassFolders(ClassFolders):
    """Class folders in a bucket, with the same rows as those on a disk; `root` is the address of the prefix."""

    def rows(self) -> Iterator[TileRow]:
        """Yield one row per image below a class folder, in no particular order.

        Raises:
            SourceError: if the bucket does not exist, or has no class folder with images.
            StorageError: if the store cannot be reached, or denies access.
        """
        return class_rows(self.root, self._files(), needs_labels=self.needs_labels)

    def _files(self) -> Iterator[ListedFile]:
        bucket, _, key = self.root[5:].partition("/")
        base = f"{key}/" if key else ""
        listing = _Listing(_connect(self.root), bucket, self.root)
        progress = Progress(logger, "listed", None, "objects")
        waiting, active = deque([_Request(base, is_folder=False)]), set[Future[_Page]]()
        held: list[str] = []  # folders named like splits, until all folders at the root are known
        children: set[str] = set()
        without_suffix: set[str] = set()
        splits: Mapping[str, Split] = {}
        is_root_listed = False
        with ThreadPoolExecutor(THREADS, thread_name_prefix="tilepipe") as pool:
            try:
                while waiting or active or held:
                    if is_root_listed and held:
                        splits = self._splits(listing, base, children, held)
                        waiting.extend(_Request(folder, is_folder=not splits) for folder in held)
                        held.clear()
                    while waiting and len(active) < THREADS:
                        active.add(pool.submit(listing.page, waiting.popleft()))
                    done, active = wait(active, return_when=FIRST_COMPLETED)
                    for page in (future.result() for future in done):
                        if page.following:  # at once, so that it arrives while this page is processed
                            active.add(pool.submit(listing.page, page.following))
                        for folder in page.folders:
                            name = folder.removeprefix(base).rstrip("/")
                            if is_root_listed or not split_named(name):
                                waiting.append(_Request(folder, is_folder=True))
                            else:
                                held.append(folder)
                            if page.prefix == base and not name.startswith("."):
                                children.add(name)
                        is_root_listed = is_root_listed or (page.prefix == base and not page.following)
                        names = (entry[0].removeprefix(base) for entry in page.entries if page.prefix == base)
                        if len(without_suffix) < _NAMES_HELD:
                            without_suffix.update(name for name in names if name and "." not in name)
                        progress.advance(len(page.entries))
                        yield from _listed_files(page, f"s3://{bucket}/{base}", base, splits)
            finally:
                for future in active:
                    future.cancel()
        progress.finish()
        _check_hidden(listing, key if not progress.done else "", without_suffix - children)

    def _splits(self, listing: "_Listing", base: str, children: set[str], named: list[str]) -> Mapping[str, Split]:
        """Decide if folders with names of splits are splits, by the first page of each."""
        pages = {folder: listing.page(_Request(folder, is_folder=False)) for folder in named}
        nested = {folder.removeprefix(base).rstrip("/") for folder, page in pages.items() if _has_folders(page, folder)}
        return split_folders(self.root, children, nested)


def _check_hidden(listing: "_Listing", empty: str, names: set[str]) -> None:
    """Check for objects with the names of folders, below which MinIO lists nothing.

    Args:
        listing: the listing.
        empty: key of the prefix if nothing was listed, else empty.
        names: objects beside the class folders with names like theirs.
    """
    if empty and listing.is_object(empty):
        raise SourceError(
            "A prefix must not have the name of an object. "
            f"Received: data_source={listing.root}, which is an object, and the server lists nothing below it. "
            "Delete or rename the object: some servers, such as MinIO, hide everything below it."
        )
    if names:
        shown = ", ".join(sorted(names)[:_SHOWN])
        logger.warning("objects have the names of class folders: %s; MinIO hides everything below them", shown)


def _listed_files(page: _Page, root: str, base: str, splits: Mapping[str, Split]) -> Iterator[ListedFile]:
    for key, size, etag in page.entries:
        name = key.removeprefix(base)
        if key.endswith("/") or name.startswith(".") or "/." in name:
            continue  # placeholders of folders, and hidden files as on a disk
        checksum = _MD5 + etag if page.has_md5 and _PLAIN_ETAG.fullmatch(etag) else None
        yield ListedFile(name, root + name, size, checksum, splits.get(name.partition("/")[0]))


def _has_folders(page: _Page, prefix: str) -> bool:
    return any(not folder.removeprefix(prefix).startswith(".") for folder in page.folders)


@dataclass(frozen=True, slots=True)
class _Listing:
    client: s3_session.S3Client
    bucket: str
    root: str

    def page(self, request: _Request) -> _Page:
        """Fetch one page."""
        asked = {"Bucket": self.bucket, "Prefix": request.prefix}
        if not request.is_folder:
            asked["Delimiter"] = "/"
        if request.token:
            asked["ContinuationToken"] = request.token
        answer = self._ask("list_objects_v2", asked)
        entries: list[tuple[str, int, str]] = answer["Entries"]
        folders = [found["Prefix"] for found in answer.get("CommonPrefixes", ())]
        has_md5 = request.has_md5 or bool(not request.token and entries and self._has_md5(*entries[0]))
        following = None
        if answer.get("IsTruncated"):
            following = replace(request, token=answer["NextContinuationToken"], has_md5=has_md5)
        return _Page(request.prefix, entries, folders, following, has_md5)

    def _has_md5(self, key: str, _: int, etag: str) -> bool:
        """Return True if the ETags of a folder are MD5 digests, judged by its first object; False if unreadable."""
        if not _PLAIN_ETAG.fullmatch(etag) or self.bucket.endswith(_DIRECTORY_BUCKET):
            return False
        found = self._head(key)
        if found is None:
            return False
        return (
            found.get("ServerSideEncryption") in _ENCRYPTIONS_WITH_MD5
            and "SSECustomerAlgorithm" not in found
            and found["ETag"].strip('"') == etag
        )

    def is_object(self, key: str) -> bool:
        """Return True if there is an object; False as well where the credentials do not permit the question."""
        return self._head(key) is not None

    def _head(self, key: str) -> dict[str, Any] | None:
        return self._ask("head_object", {"Bucket": self.bucket, "Key": key}, is_optional=True)

    @overload
    def _ask(self, operation: str, arguments: dict[str, str]) -> dict[str, Any]: ...

    @overload
    def _ask(
        self, operation: str, arguments: dict[str, str], *, is_optional: Literal[True]
    ) -> dict[str, Any] | None: ...

    def _ask(self, operation: str, arguments: dict[str, str], *, is_optional: bool = False) -> dict[str, Any] | None:
        """Send a request; an optional one may be refused (None), but a store that fails is an error in any case."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self.client, operation)(**arguments)
        except (ClientError, BotoCoreError) as error:
            status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if is_optional and 400 <= status < 500 and status not in {408, 429}:
                return None
            raise s3_session.translate(error, self.root, action="s3:ListBucket", attempts=_ATTEMPTS) from None
        return answer


def _connect(root: str) -> s3_session.S3Client:
    client = s3_session.connect(root, attempts=_ATTEMPTS, connections=THREADS, anonymous=True)
    client.meta.events.register("before-parse.s3.ListObjectsV2", _take_entries)
    return client


def _take_entries(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Parse the objects of a page before botocore does, whose parser takes five times as long as all other work.

    Handler of an event that botocore sends before it parses a response; the entries of `customized_response_dict` are
    added to the parsed response.
    """
    if response_dict["status_code"] != 200:
        return
    try:
        document = ET.fromstring(response_dict["body"])  # noqa: S314 - as botocore itself would
    except ET.ParseError:
        return  # botocore reports it
    encoded = document.findtext("{*}EncodingType") == "url"
    entries = []
    for element in document.findall("{*}Contents"):
        values = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
        key = unquote_plus(values["Key"]) if encoded else values["Key"]
        entries.append((key, int(values["Size"]), values.get("ETag", "").strip('"')))
        document.remove(element)
    customized_response_dict["Entries"] = entries
    response_dict["body"] = ET.tostring(document)
