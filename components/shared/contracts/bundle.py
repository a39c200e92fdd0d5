"""The bundle: a trained model with all that is needed to use it, in one archive."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import whole_file

CHECKSUMS = "checksums.json"
LARGEST_BYTES = 16 * 2**30
"""Most bytes that the files of a bundle may have together."""

_PIECE_BYTES = 2**20


def as_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Encode a value as indented JSON without NaN or infinity."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def write_bundle(files: Mapping[str, bytes], path: Path) -> str:
    """Write a gzipped tar archive with the SHA-256 of each file in it.

    Times, owners and modes are constant, so that the same files give the same bytes.

    Args:
        files: Name in the archive -> content.
        path: The archive to appear, whole or not at all.

    Returns:
        SHA-256 of the archive, in hexadecimal.
    """
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    members = {**files, CHECKSUMS: as_json(dict(sorted(checksums.items())))}
    with (
        whole_file(path) as partial,
        partial.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(members):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(members[name]), 0o644
            archive.addfile(member, io.BytesIO(members[name]))
    with path.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


def read_bundle(
    path: Path, *, names: Collection[str] | None = None, largest_bytes: int = LARGEST_BYTES
) -> dict[str, bytes]:
    """Read a bundle and check every file in it.

    Nothing is unpacked to disk, so that names in the archive cannot lead anywhere.

    Args:
        path: The archive.
        names: Files to return; the others are checked in constant memory. Defaults to all.
        largest_bytes: Most bytes that the files may have together. Defaults to 16 GiB.

    Returns:
        Name in the archive -> content, without the checksums.

    Raises:
        ArtifactError: The archive is damaged or too large, holds anything but plain files, or a file has another
            checksum.
    """
    files: dict[str, bytes] = {}
    found: dict[str, str] = {}
    size = 0
    try:
        with gzip.open(path) as packed:
            for member in _members(packed, path):
                if member.name in found:
                    raise _damaged(path, f"the entry {member.name!r} is there twice")
                size += member.size
                if size > largest_bytes:
                    raise _damaged(path, f"the files have more than {largest_bytes:,} bytes together")
                is_kept = names is None or member.name in names or member.name == CHECKSUMS
                digest, kept = hashlib.sha256(), []
                for piece in _content(packed, member.size):
                    digest.update(piece)
                    if is_kept:
                        kept.append(piece)
                if is_kept:
                    files[member.name] = b"".join(kept)
                found[member.name] = digest.hexdigest()
        stated = dict(json.loads(files.pop(CHECKSUMS)))
    except ArtifactError:
        raise
    except (tarfile.TarError, EOFError, OSError, KeyError, TypeError, ValueError, RecursionError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    del found[CHECKSUMS]
    if found != stated:
        differing = sorted(name for name in {*found, *stated} if found.get(name) != stated.get(name))
        raise _damaged(path, f"{', '.join(differing)} differs from its checksum or is missing")
    return files


def _members(packed: gzip.GzipFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tar archive; the caller reads each member's content before the next header.

    `tarfile` itself would read names of any length, and the zeros of sparse files, into memory.
    """
    while (block := packed.read(tarfile.BLOCKSIZE)).strip(b"\0"):
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
            raise _damaged(path, f"the entry {member.name!r} is not a plain file")
        yield member
    # The end: zeros up to a whole record, and gzip's own checksum.
    rest = packed.read(tarfile.RECORDSIZE)
    if not block or rest.strip(b"\0") or packed.read(1):
        raise _damaged(path, "the archive has no end, or more after it")


def _content(packed: gzip.GzipFile, size: int) -> Iterator[bytes]:
    """Yield the content of a member in pieces, and skip what fills its last block."""
    left = size
    while left:
        piece = packed.read(min(left, _PIECE_BYTES))
        if not piece:
            raise EOFError("a file is cut short")
        yield piece
        left -= len(piece)
    packed.read(-size % tarfile.BLOCKSIZE)


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"A bundle must be a .tar.gz of `export` with the files and checksums that it was written with. "
        f"Received: {path.name}, in which {why}. Export the model again."
    )
