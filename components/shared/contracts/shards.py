"""Check the shards of a split against the manifest."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import xxhash

from tilepipe.components.shared.contracts.manifest import Shard, SplitSummary
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage import storage

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
    return [check_shard(_found(folders, shard), shard, verify=False) for shard in split.shards]


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
    uris = []
    for shard in split.shards:
        files = [file for file in found if file.name == shard.name]
        if len(files) != 1:
            received = f"{len(files)} files" if files else "no file"
            raise ArtifactError(
                f"Every shard of the manifest must exist exactly once. Received: {received} {shard.name} in "
                f"{', '.join(file.uri for file in files) or ', '.join(places)}. {ADVICE}"
            )
        if files[0].bytes != shard.bytes:
            raise ArtifactError(
                f"Shard {files[0].uri} must have {shard.bytes:,} bytes. Received: {files[0].bytes:,} bytes. {ADVICE}"
            )
        uris.append(files[0].uri)
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
    size = path.stat().st_size
    if size != shard.bytes:
        raise ArtifactError(
            f"Shard {shown or path} must have {shard.bytes:,} bytes. Received: {size:,} bytes. {ADVICE}"
        )
    if verify:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
        if checksum != shard.checksum:
            raise ArtifactError(
                f"Shard {shown or path} must have the checksum {shard.checksum}. Received: {checksum}, so it was "
                f"changed or damaged after packing. {ADVICE}"
            )
    return path


def _found(folders: Sequence[Path], shard: Shard) -> Path:
    paths = [path for folder in folders if (path := folder / shard.name).is_file()]
    if len(paths) == 1:
        return paths[0]
    where = ", ".join(map(str, paths or folders))
    received = f"{len(paths)} files" if paths else "no file"
    raise ArtifactError(
        f"Every shard of the manifest must exist exactly once. Received: {received} {shard.name} in {where}. {ADVICE}"
    )
