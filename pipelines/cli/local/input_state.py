"""State of the inputs of a step, which differs whenever its result may differ; None where it cannot be determined."""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xxhash
from kfp import dsl

from tilepipe.components.ingest.sources.tfrecords.tfrecord import is_record_file
from tilepipe.components.shared.contracts.tile_table import read_tile_table_info
from tilepipe.components.shared.errors import TilepipeError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.tiles.validity import may_have_sidecar

ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "ingest": ("source", "split_files", "href_rewrite"),
    "prepare": ("weights_uri",),
}
"""Step -> its parameters with addresses that it reads."""

_HASHED_BYTES = 1 << 30
"""Largest artifact that is identified by its content; others are by the sizes and times of their files."""
_BY_CONTENT = {("pack", "tiles")}
"""Artifacts of which only the content matters, since the result of the step does not contain their path."""
_DOCUMENTS = (".json", ".geojson", ".ndjson", ".jsonl", ".geojsonl", ".geojsons")
_LINKS = frozenset({"child", "item"})
"""Relations of the links from which `ingest` reads."""


def of_value(step: str, name: str, value: Any) -> Any:  # noqa: ANN401 - any argument of a task
    """Return the state of an argument: artifacts by content, or by the sizes and times of their files."""
    if isinstance(value, dsl.Artifact):
        path = Path(value.path)
        is_small = path.is_file() and path.stat().st_size <= _HASHED_BYTES
        state: list[Any] = [value.schema_title, value.metadata, _content(path) if is_small else of_path(path)]
        return state if is_small and (step, name) in _BY_CONTENT else [*state, value.uri]
    if isinstance(value, list | tuple):
        return [of_value(step, name, one) for one in value]
    if isinstance(value, Mapping):
        return {key: of_value(step, name, one) for key, one in value.items()}
    return value


def of_data(step: str, arguments: Mapping[str, Any]) -> list[Any] | None:
    """Return the state of the data that a step reads at addresses in its parameters or in the tile table.

    Returns:
        The state; None if an address is remote and neither a snapshot nor a checksum fixes its content.
    """
    if step == "pack":
        state = of_tiles(Path(arguments["tiles"].path))
        return None if state is None else [state]
    is_fixed = bool(arguments.get("snapshot") or (arguments.get("options") or {}).get("weights_sha256"))
    states: list[Any] = []
    for address in _addresses(step, arguments):
        if not storage.is_remote(address):
            states.append([address, of_path(_root(address)), *map(of_path, _class_names(step, address, arguments))])
        elif not is_fixed:
            return None
    return states


def _addresses(step: str, arguments: Mapping[str, Any]) -> list[str]:
    """List the normalized addresses that a step reads, without those that it will refuse as not normalizable."""
    found = [arguments.get(name) or "" for name in ADDRESSES.get(step, ())]
    texts = [text for one in found for text in (one.values() if isinstance(one, Mapping) else (one,)) if text]
    normalized = []
    for text in texts:
        with contextlib.suppress(TilepipeError):
            normalized.append(storage.normalize(text))
    return normalized


def _root(address: str) -> Path:
    """Return the folder of a STAC document, whose links lead to files beside it, or the path itself."""
    path = Path(address)
    return path.parent if path.is_file() and path.suffix.lower() in _DOCUMENTS else path


def _class_names(step: str, address: str, arguments: Mapping[str, Any]) -> list[Path]:
    """List the files beside a single file of TFRecords that may hold the names of its classes."""
    path = Path(address)
    is_records = is_record_file(path.name) or (arguments.get("options") or {}).get("kind") == "tfrecord"
    return sorted(path.parent.glob("*.labels.txt")) if step == "ingest" and is_records and path.is_file() else []


def of_tiles(table: Path) -> str | None:
    """Return the state of the files of all tiles and of their masks.

    None if a file is remote, without a checksum or a snapshot.
    """
    import pyarrow.parquet as pq

    digest = xxhash.xxh3_128()
    has_snapshot = bool(read_tile_table_info(table).snapshot)
    with pq.ParquetFile(table) as file:
        for batch in file.iter_batches(columns=["uri", "band_uris", "checksum"]):
            seen: set[str] = set()
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                uri, band_uris, checksum = row
                for address in band_uris or (uri,):
                    if storage.is_remote(address):
                        if not (has_snapshot or (checksum and not band_uris)):
                            return None
                    elif address not in seen:
                        seen.add(address)
                        mask = _of_file(f"{address}.msk") if may_have_sidecar(address) else ()
                        digest.update(repr((address, _of_file(address), mask)).encode())
    return digest.hexdigest()


def is_self_contained(arguments: Mapping[str, Any]) -> bool:
    """Return whether no document of a local STAC catalog links to a document outside of the catalog's folder."""
    source = next(iter(_addresses("ingest", arguments)), "")
    root = _root(source)
    if storage.is_remote(source) or not root.is_dir():
        return True
    return all(
        _is_within(root, path, href)
        for path in root.rglob("*")
        if path.suffix.lower() in _DOCUMENTS
        for href in _linked_documents(path)
    )


def _linked_documents(path: Path) -> Iterator[str]:
    """Yield the hrefs of a STAC document from which `ingest` reads items."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(document, dict):
        return
    links, assets = document.get("links"), document.get("assets")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") in _LINKS:
            yield str(link.get("href"))
    if document.get("type") == "Collection" and isinstance(assets, dict):
        yield from (str(asset.get("href")) for asset in assets.values() if isinstance(asset, dict))


def _is_within(root: Path, document: Path, href: str) -> bool:
    if storage.scheme(href):
        return False
    return Path(os.path.abspath(document.parent / href)).is_relative_to(root)  # noqa: PTH100 - links stay


def of_path(path: Path) -> str:
    """Return a digest of the names, sizes and times of a file, or of all files of a folder."""
    digest = xxhash.xxh3_128()
    for name in sorted(_files(path)) if path.is_dir() else [str(path)]:
        digest.update(repr((name, _of_file(name))).encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            yield f"{parent}/{name}"


def _of_file(path: str) -> tuple[int, ...]:
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    # With the time of the inode's last change, since copying may keep the size and the modification time.
    return (stat.S_IFMT(found.st_mode), found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
