"""A zip or tar with class folders, or with split folders above these, which is read without unpacking it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tilepipe.components.ingest.config import split_named
from tilepipe.components.ingest.sources.folder import SUFFIXES, ClassFolders, ListedFile, class_rows, split_folders
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.sizes import MEBIBYTE
from tilepipe.components.shared.storage.tar_members import tar_members
from tilepipe.components.shared.storage.zip_members import check_member, member_sizes, read_member
from tilepipe.components.shared.tiles.packed_records import is_packed, read_packed_record

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ARCHIVES = (".zip", *_TARS)
_TABLES = (".csv", ".tsv", ".parquet")
_TEXTS = (".tsv", ".txt")
_ECOTAXA_IMAGE = b"img_file_name"
_HEADER_BYTES = 65_536
_LARGEST_TABLE = 64 * MEBIBYTE
_MACOS = "__MACOSX"
"""Folder that the Finder adds to zips, with a file of attributes for each file; in tars these are hidden files."""


@dataclass(frozen=True)
class ArchiveClassFolders(ClassFolders):
    """Class folders in a zip or a tar, with the rows of the unpacked archive; `root` is its path, s3:// or https://."""

    @property
    def name(self) -> str:
        """The file's own name without its suffix."""
        name = storage.path_of(self.root).rpartition("/")[2]
        suffix = max((end for end in _ARCHIVES if name.lower().endswith(end)), key=len)
        return name[: -len(suffix)]

    def rows(self) -> Iterator[TileRow]:
        """Yield one row per image below a class folder.

        Raises:
            SourceError: if there is no such archive, it is damaged, or has no class folder with images.
            StorageError: if the disk or the store cannot be read.
        """
        shown = storage.shown(self.root)
        files = self._files(shown)
        top = _top_folder(files)
        if self.needs_labels and (table := self._table_of_images(files)):
            raise SourceError(
                "An archive must hold class folders with images; tables of images are read only unpacked. Received: "
                f"data_source={shown} with {table}. Unpack it, and give the address of the folder."
            )
        names = {name.removeprefix(top): file for name, file in files.items()}
        children = {name.partition("/")[0] for name in names if "/" in name}
        nested = {name.partition("/")[0] for name in names if name.count("/") > 1}
        splits = split_folders(shown, children, {name for name in nested if split_named(name)})
        return class_rows(
            shown,
            (replace(file, name=name, split=splits.get(name.partition("/")[0])) for name, file in names.items()),
            needs_labels=self.needs_labels,
        )

    def _table_of_images(self, files: Mapping[str, ListedFile]) -> str:
        """Return the name of a table that states the labels of the images; empty if the folders are the classes.

        It is EcoTaxa's; or any table where all images are in one folder.
        """
        tables = [name for name in files if name.lower().endswith(_TABLES)]
        folders = {name.rpartition("/")[0] for name in files if name.lower().endswith(SUFFIXES)}
        if tables and len(folders) <= 1:
            return tables[0]
        tables = [name for name in files if name.lower().endswith(_TEXTS)]
        return next((name for name in tables if _ECOTAXA_IMAGE in self._first_bytes(files[name])), "")

    def _first_bytes(self, file: ListedFile) -> bytes:
        size = min(file.bytes, _HEADER_BYTES)
        if file.member is not None:
            return read_member(file.uri, file.member)[:size] if file.bytes <= _LARGEST_TABLE else b""
        if is_packed(file.uri):
            return read_packed_record(file.uri, file.offset or 0, size)
        return storage.read_range(file.uri, file.offset or 0, size)

    def _files(self, shown: str) -> Mapping[str, ListedFile]:
        if storage.path_of(self.root).lower().endswith(_TARS):
            places = tar_members(self.root, SUFFIXES)
            return {
                name: ListedFile(name, self.root, place.bytes, offset=place.offset)
                for name, place in places.items()
                if _is_visible(name)
            }
        return {
            check_member(name, shown): ListedFile(name, self.root, size, member=name)
            for name, size in member_sizes(self.root).items()
            if _is_visible(name)
        }


def is_archive(uri: str) -> bool:
    """Return True if an address has the suffix of a zip or a tar, and is not a folder on this machine."""
    return storage.path_of(uri).lower().endswith(_ARCHIVES) and (storage.is_remote(uri) or not Path(uri).is_dir())


def _is_visible(name: str) -> bool:
    parts = name.split("/")
    return parts[0] != _MACOS and not any(part.startswith(".") for part in parts)


def _top_folder(names: Iterable[str]) -> str:
    """Return the folders around all class folders, which archives of a whole folder have, with a slash at the end."""
    top = ""
    while True:
        below = [name.removeprefix(top).split("/") for name in names if name.startswith(top)]
        images = [parts for parts in below if parts[-1].lower().endswith(SUFFIXES)]
        folders = {parts[0] for parts in images}
        if len(folders) != 1 or any(len(parts) < 3 for parts in images) or split_named(folder := folders.pop()):
            return top
        top += f"{folder}/"
