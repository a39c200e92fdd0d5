"""The files of a folder that is pushed, in the order in which S3 lists their keys."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.shared.errors import SourceError

MAX_KEY_BYTES = 1024

_LINK_RULE = "A link must lead to a file or a folder within the folder that is pushed"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file that is to be in the bucket."""

    path: str
    name: str
    """Path below the folder, with forward slashes."""
    bytes: int


def walk(root: Path, leave_out: Callable[[str], None]) -> Iterator[LocalFile]:
    """Yield every file below a folder, sorted by the bytes of its name as S3 sorts keys; in memory that a folder takes.

    Args:
        root: the folder.
        leave_out: told the name of what is hidden (it starts with a dot) or is no file.

    Yields:
        The files; links to what is in the folder count as what they lead to.

    Raises:
        SourceError: there is no folder, a link leads out of it, nowhere or in a circle, or a name cannot be a key.
    """
    if not root.is_dir():
        what = "a file" if root.exists() else "nothing there"
        raise SourceError(f"What is pushed must be a folder. Received: {root}, which is {what}.")
    yield from _walk(os.path.abspath(root), "", os.path.realpath(root), frozenset(), leave_out)  # noqa: PTH100


def _walk(
    folder: str, prefix: str, real_root: str, above: frozenset[tuple[int, int]], leave_out: Callable[[str], None]
) -> Iterator[LocalFile]:
    status = os.stat(folder)  # noqa: PTH116
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise SourceError(
            f"{_LINK_RULE}, and not to one that holds it. Received: {folder}, which leads in a circle. Remove it."
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
                # A folder's slash counts in the order: `a.tif` comes before `a/b.tif`, `a0` after.
                found.append((os.fsencode(entry.name) + (b"/" if entry.is_dir() else b""), entry.is_file()))
    except PermissionError as error:
        raise SourceError(f"A folder must be readable. Received: {folder}: {error.strerror}.") from None
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
        raise SourceError(f"{_LINK_RULE}. Received: {path}, which leads to {target}, where nothing is.")
    if target != real_root and not target.startswith(real_root.rstrip("/") + "/"):
        raise SourceError(
            f"{_LINK_RULE}. Received: {path}, which leads to {target}. Copy what it leads to, or remove it."
        )
