"""A local folder with one folder of images per class, or with train, val and test folders above the class folders."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tilepipe.components.ingest.config import SourceKind, split_named
from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.contracts.manifest import Split
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.ingest")

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".jp2")
"""Suffixes of the images that are read, in lower case."""

_TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet")
_ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"}
ARRAYS = {".h5", ".hdf5", ".mat", ".npy", ".npz", ".pkl", ".nc", ".zarr"}
"""Suffixes of files with the images of many tiles, in lower case, which are not read."""
WITHOUT_ARRAYS = (
    "Write each image of them to a GeoTIFF or PNG file in a folder named after its class, or all of them to TFRecords."
)
"""Remedy for such files."""
_SUFFIX_LENGTH = 12
_SUFFIXES_COUNTED = 100
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file below the root folder, an image or not."""

    name: str
    """Path relative to the root, with forward slashes."""
    uri: str
    bytes: int
    checksum: str | None = None
    """Multihash in hexadecimal; None where the listing does not state it."""
    split: Split | None = None
    """Split that the first folder of `name` stands for; None where that folder is the class."""
    member: str | None = None
    """Path within the zip at `uri`; None for a file of its own."""
    offset: int | None = None
    """Offset of the file within the tar at `uri`; None for a file of its own."""


@dataclass(frozen=True)
class ClassFolders:
    """A local folder of class folders.

    The label is the first folder of a file's path, or the second one below split folders. The id of a tile is the whole
    path relative to the root.

    Args:
        root: normalized address of the folder.
        needs_labels: False if images outside class folders are tiles without a label. Defaults to True.
    """

    root: str
    kind: SourceKind = "folder"
    needs_labels: bool = True

    @property
    def name(self) -> str:
        """The folder's own name, or the bucket's."""
        return self.root.rstrip("/").rpartition("/")[2]

    def rows(self) -> Iterator[TileRow]:
        """Yield one row per image below a class folder.

        Raises:
            SourceError: if the folder does not exist, or has no class folder with images.
        """
        children = _folders_in(self.root)
        holds_folders = {name for name in children if split_named(name) and _folders_in(f"{self.root}/{name}")}
        splits = split_folders(self.root, children, holds_folders)
        files = (
            ListedFile(file.name, file.uri, file.bytes, split=splits.get(file.name.partition("/")[0]))
            for file in storage.list_files(self.root)
        )
        return class_rows(self.root, files, needs_labels=self.needs_labels)


def _folders_in(folder: str) -> list[str]:
    """Names of the folders directly below a local folder; empty where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:  # `storage.list_files` raises it with its reason
        return []


def split_folders(root: str, children: Iterable[str], holds_folders: Iterable[str]) -> Mapping[str, Split]:
    """Decide if the folders directly below the root are splits rather than classes.

    They are splits if all have the name of a split and hold folders, or if train and another split do. In the second
    case, images directly in a split are in no class, and `class_rows` refuses images in other folders.

    Args:
        root: address of the root, for messages.
        children: names of the folders directly below the root.
        holds_folders: names of those of them that have the name of a split and hold folders.

    Returns:
        Name of the folder -> split; empty if the folders are classes.

    Raises:
        SourceError: if two folders stand for the same split.
    """
    children, nested = set(children), sorted(set(holds_folders))
    splits = {name: split for name in nested if (split := split_named(name))}
    if not splits:
        return {}
    if children - splits.keys() and not ("train" in splits.values() and len(set(splits.values())) > 1):
        return {}
    if len(set(splits.values())) < len(splits):
        raise SourceError(
            "Each split must have one folder. "
            f"Received: data_source={root} with {', '.join(f'{name} ({split})' for name, split in splits.items())}. "
            "Move the class folders of the same split into one folder."
        )
    logger.info(
        "the folders %s are splits, and the folders below them are the classes",
        ", ".join(f"{name} ({split})" if name != split else name for name, split in splits.items()),
    )
    return splits | {name: split for name in children if (split := split_named(name))}


def class_rows(root: str, files: Iterable[ListedFile], *, needs_labels: bool = True) -> Iterator[TileRow]:
    """Select the images in class folders; count and log all other files.

    Args:
        root: address of the root, for messages.
        files: the files below it, in any order.
        needs_labels: False if images outside class folders are tiles without a label. Defaults to True.

    Yields:
        One row per image below a class folder.

    Raises:
        SourceError: if labels are needed, and there is no class folder with images, only one, or some folders are
            splits and others hold images.
    """
    structure = _Structure()
    images: Counter[str] = Counter()
    others: Counter[str] = Counter()
    suffixes: Counter[str] = Counter()
    beside = 0
    for file in files:
        label, separator, rest = file.name.partition("/")
        if file.split:
            label, separator, _ = rest.partition("/")
        if not file.name.lower().endswith(SUFFIXES):
            others[label if separator else ""] += 1
            structure.tables += [file.name] if not separator and file.name.lower().endswith(_TABLES) else []
            suffix = _suffix(file.name)
            suffixes[suffix if suffix in suffixes or len(suffixes) < _SUFFIXES_COUNTED else "others"] += 1
        elif not separator and needs_labels:
            beside += 1
        else:
            images[label if separator else ""] += 1
            structure.add(file)
            yield TileRow(
                tile_id=file.name,
                uri=file.uri,
                label=label if separator else None,
                split=file.split,
                bytes=file.bytes,
                checksum=file.checksum,
                member=file.member,
                offset=file.offset,
            )
    counts = ", ".join(
        f"{suffix} {count:,}" for suffix, count in sorted(suffixes.items(), key=lambda one: (-one[1], one[0]))
    )
    if not images and needs_labels:
        unread = f" ({counts})" if counts else ""
        found = f"{beside} images and no class folder" if beside else f"{others.total()} files, no images{unread}"
        found = found if beside or others else "no files"
        remedy = "Sort the images into folders named after their class." if beside else _remedy(suffixes)
        raise SourceError(
            f"A folder of tiles must hold one folder per class with images in it ({', '.join(SUFFIXES)}). "
            f"Received: data_source={root} with {found}. {remedy}"
        )
    if needs_labels:
        structure.check(root, images)
    if counts:
        logger.warning("skipped %s files with an unsupported suffix: %s", f"{suffixes.total():,}", counts)
    without = sorted(set(others) - set(images) - {""})
    if without:
        logger.warning("skipped %d folders without images: %s", len(without), ", ".join(without[:_SHOWN]))
    if beside:
        logger.warning("skipped %d images outside class folders", beside)


@dataclass
class _Structure:
    """Location of the images and tables of a folder, which shows if its subfolders are classes."""

    in_splits: int = 0
    """Images below folders of splits."""
    beside_splits: Counter[str] = field(default_factory=Counter)
    """Images below other folders, by folder."""
    second: Counter[str] = field(default_factory=Counter)
    """Images below class folders that are not splits, by the folder below the class folder; empty for none."""
    tables: list[str] = field(default_factory=list)
    """Tables at the root."""

    def add(self, file: ListedFile) -> None:
        first, *between, _ = file.name.split("/")[:3] if "/" in file.name else ("", "")
        if file.split:
            self.in_splits += 1
        else:
            self.beside_splits[first] += 1
            second = between[0] if between else ""
            self.second[second if split_named(second) or not second else "*"] += 1

    def check(self, root: str, images: Mapping[str, int]) -> None:
        """Refuse a folder whose classes are elsewhere; warn of splits below classes."""
        if self.in_splits and self.beside_splits:
            each = (f"{name} with {count:,} images" for name, count in list(self.beside_splits.items())[:_SHOWN])
            raise SourceError(
                "Beside folders of splits, with class folders in them, there must be no other folders of images. "
                f"Received: data_source={root} with {', '.join(each)}. Move these out of the source; or if all folders "
                "are classes, move the images of each class directly into its folder."
            )
        place = root.rstrip("/")
        if not set(self.second) - {""} and images and all(_split_of(name, exact=not self.tables) for name in images):
            names = sorted(images)
            remedy = f" Sort the images into folders of their classes below, such as {names[0]}/<class>/."
            raise SourceError(
                "Folders of classes must have other names than splits. Received: "
                f"data_source={root} with images directly in {', '.join(names)}.{self._table(place) or remedy}"
            )
        advice = f" If the class folders are below it, give {argument('source', f'{place}/{next(iter(images))}')}."
        advice = advice if set(self.second) - {""} and not place.lower().endswith(tuple(_ARCHIVES)) else ""
        advice += self._table(place)
        if len(images) == 1 and not self.in_splits and advice:
            raise SourceError(
                "A classifier needs at least two classes, each in a folder of its own. Received: "
                f"data_source={root}, where only the folder {next(iter(images))} holds images.{advice}"
            )
        self._warn_of_splits_below(images)

    def _table(self, place: str) -> str:
        """Return advice to use a table at the root, rather that of the training tiles; empty without one."""
        if not self.tables:
            return ""
        if place.lower().endswith(tuple(_ARCHIVES)):
            return " If a table in it states the classes, unpack it, and give the address of the table."
        likely = min(
            self.tables,
            key=lambda name: (
                "submission" in name.lower(),
                "train" not in name.lower(),
                "label" not in name.lower(),
                name,
            ),
        )
        splits = {split for name in self.tables if (split := _split_of(name, exact=False))}
        advice = f" If a table states the classes, give {argument('source', f'{place}/{likely}')}."
        if "train" in splits and len(splits) > 1:
            kind = argument("options", {"kind": "table"})
            advice += f" If tables do, one for each split, give {argument('source', place)} {kind}."
        return advice

    def _warn_of_splits_below(self, images: Mapping[str, int]) -> None:
        if len(self.second) > 1 and not self.second[""] and not self.second["*"]:
            names = sorted(set(self.second) - {"", "*"})
            logger.warning(
                "the folders %s below the class folders are not used as splits; put them above, as in %s/%s/, or "
                "list their files in split_files",
                ", ".join(names),
                names[0],
                next(iter(images)),
            )


def _remedy(suffixes: Mapping[str, int]) -> str:
    """Return the remedy for a folder without images, by the suffixes of its files."""
    if not suffixes:
        return "Check the address."
    if suffixes.keys() & _ARCHIVES:
        return "Unpack the archives, or give the address of one of them."
    return WITHOUT_ARRAYS if suffixes.keys() & ARRAYS else "Sort the images into folders named after their class."


def _split_of(name: str, *, exact: bool) -> Split | None:
    """Return the split that a folder stands for, unless `exact` by its first word, as in `train_images`."""
    return split_named(name if exact else re.split(r"[-_. ]", name, maxsplit=1)[0])


def _suffix(name: str) -> str:
    """Return a file's suffix in lower case; `none` if there is none or it is too long."""
    stem, dot, suffix = name.rpartition("/")[2].lower().rpartition(".")
    return dot + suffix if stem and 0 < len(suffix) < _SUFFIX_LENGTH else "none"
