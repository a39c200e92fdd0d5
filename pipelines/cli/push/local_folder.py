"""Files of the folder to push, in the order in which S3 lists their keys."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.shared.errors import SourceError

MAX_KEY_BYTES = 1024

_LINK_RULE = "A link must lead to a file or folder within the pushed folder"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file to push."""

    path: str
    name: str
    """Path below the folder, with forward slashes."""
    bytes: int


def walk(root: Path, leave_out: Callable[[str], None]) -> Iterator[LocalFile]:
    """Yield every file below a folder, sorted by the bytes of its name as S3 sorts keys.

    Only the entries of one folder per level are in memory.

    Args:
        root: the folder to push.
        leave_out: called with the name of each entry that is hidden (starts with a dot) or is not a file.

    Yields:
        The files; links within the folder are followed.

    Raises:
        SourceError: the folder does not exist, a link leads out of it, nowhere or in a circle, or a name is not UTF-8.
    """
    if not root.is_dir():
        what = "a file" if root.exists() else "missing"
        raise SourceError(f"Only a folder can be pushed. Received: {root}, which is {what}. Name a folder.")
    yield from _walk(os.path.abspath(root), "", os.path.realpath(root), frozenset(), leave_out)  # noqa: PTH100


def _walk(
    folder: str, prefix: str, real_root: str, above: frozenset[tuple[int, int]], leave_out: Callable[[str], None]
) -> Iterator[LocalFile]:
    status = os.stat(folder)  # noqa: PTH116
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise SourceError(
            f"{_LINK_RULE}, and not to one that contains it. Received: {folder}, which leads in a circle. Remove it."
        )
    try:
        with os.scandir(folder) as entries:
            found = []
            for entry in entries:
                if entry.name.startswith("."):
                    leave_out(prefix + entry.name)
                    continue
                if entry.is_symlink():
                    _check_link(entry.path, real_root)
                # The slash after a folder's name is part of the sort key: `a.tif` is before `a/b.tif`, `a0` after it.
                found.append((os.fsencode(entry.name) + (b"/" if entry.is_dir() else b""), entry.is_file()))
    except PermissionError as error:
        raise SourceError(
            f"A folder must be readable. Received: {folder}: {error.strerror}. Change its permissions."
        ) from None
    found.sort()
    for raw_name, is_file in found:
        name = prefix + _text(raw_name, folder)
        path = os.path.join(folder, os.fsdecode(raw_name))  # noqa: PTH118 - millions of them
        if raw_name.endswith(b"/"):
            yield from _walk(path.rstrip("/"), name, real_root, above | {here}, leave_out)
        elif is_file:
            yield LocalFile(path, name, os.stat(path).st_size)  # noqa: PTH116
        else:
            leave_out(name)


def _text(raw_name: bytes, folder: str) -> str:
    try:
        return raw_name.decode()
    except UnicodeDecodeError:
        raise SourceError(
            f"A file's name must be UTF-8 to be a key in S3. Received: {raw_name!r} in {folder}. Rename it."
        ) from None


def _check_link(path: str, real_root: str) -> None:
    target = os.path.realpath(path)
    if not os.path.exists(target):  # noqa: PTH110
        raise SourceError(f"{_LINK_RULE}. Received: {path}, which leads to {target}, which is missing. Remove it.")
    if target != real_root and not target.startswith(real_root.rstrip("/") + "/"):
        raise SourceError(
            f"{_LINK_RULE}. Received: {path}, which leads to {target}. Replace it by a copy, or remove it."
        )
