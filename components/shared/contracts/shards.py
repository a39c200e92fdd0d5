"""Check the shards of a split against the manifest."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import xxhash

from tilepipe.components.shared.contracts.manifest import Shard, SplitSummary
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage import storage

File = TypeVar("File", Path, str)

ADVICE = "The manifest and the shards must come from the same `pack`: run it again, or give this step its outputs."


def check_shards(folders: Sequence[Path], split: SplitSummary) -> list[Path]:
    """Find the shards of a split, and check their sizes; `read_tiles` compares their checksums.

    Args:
        folders: the artifacts of the split, one per packed part; each shard is in one of them.
        split: the manifest's summary of that split.

    Returns:
        The paths of the shards, in the manifest's order; none for an empty split.

    Raises:
        ArtifactError: a shard is missing or found twice, or its size differs from the manifest.
    """
    paths = []
    for shard in split.shards:
        found = [path for folder in folders if (path := folder / shard.name).is_file()]
        paths.append(check_shard(_only(found, shard, folders), shard, verify=False))
    return paths


def locate_shards(folders: Sequence[str], split: SplitSummary) -> list[str]:
    """Find the shards of a split in storage, and check their sizes.

    Args:
        folders: addresses of the artifacts of the split, one per packed part, as KFP states them.
        split: the manifest's summary of that split.

    Returns:
        The address of each shard, in the manifest's order.

    Raises:
        ArtifactError: a shard is missing, duplicated, or of another size than when it was packed.
        SourceError: an address is invalid or does not exist.
        StorageError: a store cannot be reached or denies access.
    """
    names = {shard.name for shard in split.shards}
    places = [storage.from_artifact(folder) for folder in folders] if names else []
    found = [file for place in places for file in storage.list_files(place) if file.name in names]
    sizes = {file.uri: file.bytes for file in found}
    uris = []
    for shard in split.shards:
        uri = _only([file.uri for file in found if file.name == shard.name], shard, places)
        _check_size(sizes[uri], shard, uri)
        uris.append(uri)
    return uris


def check_shard(path: Path, shard: Shard, *, verify: bool = True, shown: str = "") -> Path:
    """Check one file against the manifest.

    Args:
        path: the file.
        shard: its entry in the manifest.
        verify: whether to compute the checksum too, which reads the file. Defaults to True.
        shown: name of the file in error messages, such as its original address. Defaults to the path.

    Returns:
        The path.

    Raises:
        ArtifactError: its size or checksum differs from the manifest.
    """
    _check_size(path.stat().st_size, shard, shown or path)
    if verify:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
        if checksum != shard.checksum:
            raise ArtifactError(
                f"Shard {shown or path} must have the checksum {shard.checksum}. Received: {checksum}, so it was "
                f"changed or damaged after packing. {ADVICE}"
            )
    return path


def _only(found: Sequence[File], shard: Shard, folders: Sequence[object]) -> File:
    if len(found) == 1:
        return found[0]
    where = ", ".join(map(str, found or folders))
    received = f"{len(found)} files" if found else "no file"
    raise ArtifactError(
        f"Every shard of the manifest must exist exactly once. Received: {received} {shard.name} in {where}. {ADVICE}"
    )


def _check_size(size: int, shard: Shard, shown: object) -> None:
    if size != shard.bytes:
        raise ArtifactError(f"Shard {shown} must have {shard.bytes:,} bytes. Received: {size:,} bytes. {ADVICE}")
