"""A local folder of class folders with JPEG, PNG and GeoTIFF files."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tilepipe.components.ingest.config import SourceKind
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.ingest")

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file below the folder of class folders, whatever it is."""

    name: str
    """Path relative to that folder, with forward slashes."""
    uri: str
    bytes: int
    checksum: str | None = None
    """Multihash in hexadecimal, where the list itself tells it."""


@dataclass(frozen=True)
class ClassFolders:
    """Class folders: the label is the first part of a file's path, the tile's id the path as a whole.

    Args:
        root: the folder, normalised.
    """

    root: str
    kind: SourceKind = "folder"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.root.rstrip("/").rpartition("/")[2]

    def rows(self) -> Iterator[TileRow]:
        """Yield a row for each image below a class folder.

        Raises:
            SourceError: there is no such folder, or no class folder with images in it.
        """
        files = (ListedFile(file.name, file.uri, file.bytes) for file in storage.list_files(self.root))
        return class_rows(self.root, files)


def class_rows(root: str, files: Iterable[ListedFile]) -> Iterator[TileRow]:
    """Tell the images in class folders from all else, which is counted and said.

    Args:
        root: where the class folders are, for messages.
        files: what is below it, in any order.

    Yields:
        A row for each image below a class folder.

    Raises:
        SourceError: there is no class folder with images in it.
    """
    images: Counter[str] = Counter()
    others: Counter[str] = Counter()
    beside = 0
    for file in files:
        label, separator, _ = file.name.partition("/")
        if not file.name.lower().endswith(SUFFIXES):
            others[label if separator else ""] += 1
        elif not separator:
            beside += 1
        else:
            images[label] += 1
            yield TileRow(tile_id=file.name, uri=file.uri, label=label, bytes=file.bytes, checksum=file.checksum)
    if not images:
        found = f"{beside} images and no class folder" if beside else f"{others.total()} files, none an image"
        raise SourceError(
            f"A folder of tiles must hold one folder a class with images in it ({', '.join(SUFFIXES)}). "
            f"Received: source={root} with {found}. Sort the images into folders named by their class."
        )
    without = sorted(set(others) - set(images) - {""})
    if without:
        logger.warning("left out %d folders without images: %s", len(without), ", ".join(without[:5]))
    if beside:
        logger.warning("left out %d images that are in no class folder", beside)
