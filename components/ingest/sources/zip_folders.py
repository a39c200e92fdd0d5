"""A zip with class folders, or with split folders above the class folders, which is read without unpacking it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.ingest.config import SourceKind, split_named
from tilepipe.components.ingest.sources.folder import SUFFIXES, ListedFile, class_rows, split_folders
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.zip_members import check_member, member_sizes

_TABLES = (".csv", ".tsv", ".parquet")
_MACOS = "__MACOSX"
"""Folder that the Finder adds, with a file of attributes for each file."""


@dataclass(frozen=True)
class ZipClassFolders:
    """Class folders in a zip, with the rows of `folder.ClassFolders` on the unpacked zip.

    Args:
        root: normalized address of the zip: a path, s3:// or https://.
        needs_labels: False if images outside class folders are tiles without a label. Defaults to True.
    """

    root: str
    kind: SourceKind = "folder"
    needs_labels: bool = True

    @property
    def name(self) -> str:
        """The file's own name without its suffix."""
        return storage.path_of(self.root).rpartition("/")[2].rpartition(".")[0]

    def rows(self) -> Iterator[TileRow]:
        """Yield one row per image below a class folder.

        Raises:
            SourceError: if there is no such zip, it is damaged, or has no class folder with images.
            StorageError: if the disk or the store cannot be read.
        """
        shown = storage.shown(self.root)
        sizes = {check_member(name, shown): size for name, size in member_sizes(self.root).items() if _is_visible(name)}
        has_class_folders = any(name.lower().endswith(SUFFIXES) and "/" in name for name in sizes)
        if self.needs_labels and not has_class_folders and any(name.lower().endswith(_TABLES) for name in sizes):
            raise SourceError(
                "A zip must hold class folders with images; tables are read only unpacked. Received: "
                f"data_source={shown}. Unpack it, and give the address of the folder."
            )
        top = _top_folder(sizes)
        names = {name.removeprefix(top): name for name in sizes}
        children = {name.partition("/")[0] for name in names if "/" in name}
        nested = {name.partition("/")[0] for name in names if name.count("/") > 1}
        splits = split_folders(shown, children, {name for name in nested if split_named(name)})
        return class_rows(
            shown,
            (
                ListedFile(name, self.root, sizes[member], None, splits.get(name.partition("/")[0]), member)
                for name, member in names.items()
            ),
            needs_labels=self.needs_labels,
        )


def is_zip(uri: str) -> bool:
    """Return True if an address has the suffix of a zip, and is no folder on this machine."""
    return storage.path_of(uri).lower().endswith(".zip") and (storage.is_remote(uri) or not Path(uri).is_dir())


def _is_visible(name: str) -> bool:
    parts = name.split("/")
    return parts[0] != _MACOS and not any(part.startswith(".") for part in parts)


def _top_folder(names: dict[str, int]) -> str:
    """Return the folders around all class folders, which archives of a whole folder have, with a slash at the end."""
    top = ""
    while True:
        below = [name.removeprefix(top).split("/") for name in names if name.startswith(top)]
        images = [parts for parts in below if parts[-1].lower().endswith(SUFFIXES)]
        folders = {parts[0] for parts in images}
        if len(folders) != 1 or any(len(parts) < 3 for parts in images) or split_named(folder := folders.pop()):
            return top
        top += f"{folder}/"
