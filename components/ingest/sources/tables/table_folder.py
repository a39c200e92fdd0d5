"""A folder of tables: EcoTaxa's exports as they are unzipped, tables beside their images, or Parquet in parts."""

import itertools
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from tilepipe.components.ingest.config import IngestConfig, split_named
from tilepipe.components.ingest.sources.duckdb_files import is_stac_parquet
from tilepipe.components.ingest.sources.folder import SUFFIXES
from tilepipe.components.ingest.sources.tables.table_columns import USUAL_NAMES, splits_of_files
from tilepipe.components.ingest.sources.tables.text_table import TEXT_SUFFIXES, TextFile, first_row, is_text
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.ingest")

_PARQUET = (".parquet", ".geoparquet")
_ECOTAXA_IMAGE = "img_file_name"
_LOOKED_AT = 1000
"""Objects of a prefix among which tables are detected: one page of a listing."""
_OF_TILES = {suffix[-3:] for suffix in (*SUFFIXES, ".parquet")}
_ENDS = {suffix[-3:] for suffix in TEXT_SUFFIXES}
_SHOWN = 5
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def is_folder(uri: str) -> bool:
    """Return True if a normalized address is that of a folder or prefix rather than of a file."""
    if not storage.is_remote(uri):
        return Path(uri).is_dir()
    if storage.is_web(uri) or is_text(uri) or uri.lower().endswith(".geoparquet") or storage.is_file(uri):
        return False
    # A missing file is not a folder; `items.parquet/part-0.parquet`, as Spark writes it, makes one.
    return not uri.lower().endswith(_PARQUET) or any(True for _ in _objects(uri, 1))


def holds_tables(root: str) -> bool:
    """Return True if a folder holds tables of its own images, so that its folders are not classes.

    Tables are searched for in the folder and the folders directly below it; on S3, among the first 1,000 objects. They
    are EcoTaxa's; or have a column of images and one of labels with usual names, and lie beside the first image. Tables
    of images that lie in class folders are no reason to ignore the classes. Parquet files count where there are no
    folders at all, or where they lie in the folders below, up to two levels deep, without images beside them.

    Args:
        root: normalized address of the folder.
    """
    if any(_is_of_its_images(root, name) for name in _text_names(root, most=_LOOKED_AT)):
        return True
    names = _parquet_names(root, _LOOKED_AT)
    if names:
        return not _has_folders(root) and not is_stac_parquet(f"{root}/{names[0]}")
    names = _nested_parquet_names(root, _LOOKED_AT)
    return bool(names) and not is_stac_parquet(f"{root}/{names[0]}")


def holds_geoparquet(root: str) -> bool:
    """Return True if a folder or prefix directly holds STAC-GeoParquet files."""
    names = _parquet_names(root, _LOOKED_AT)
    return bool(names) and (names[0].lower().endswith(".geoparquet") or bool(is_stac_parquet(f"{root}/{names[0]}")))


def table_files(uri: str, config: IngestConfig) -> list[TextFile]:
    """Return the files of a table: the file itself, or those in a folder and the folders directly below it.

    Args:
        uri: normalized address of a file or a folder.
        config: parameters of the step.

    Raises:
        SourceError: if a folder holds no table.
    """
    if not is_folder(uri):
        return [TextFile(uri)]
    stated = [config.columns.image] if config.columns.image else config.options.band_assets.values()
    images = {name.strip().lower() for name in stated} or set(USUAL_NAMES["image"])
    names = list(_text_names(uri))
    found = [name for name in names if images & _first_row(f"{uri}/{name}").keys()]
    if others := sorted(set(names) - set(found)):
        logger.info("skipped %d text files without a column of images: %s", len(others), ", ".join(others[:_SHOWN]))
    if found:
        logger.info("read %d tables: %s%s", len(found), ", ".join(found[:_SHOWN]), ", ..." * (len(found) > _SHOWN))
        return _text_files(uri, sorted(found))
    parquet = _all_parquet_names(uri)
    tables = [name for name in names if not name.lower().endswith((".txt", ".txt.gz"))]
    if tables and not parquet:
        return _text_files(uri, sorted(tables))  # whose columns the error of a missing one states
    return [TextFile(part) for part in _parts(uri, parquet)]


def _text_files(root: str, names: Sequence[str]) -> list[TextFile]:
    """Return the text files of a folder, with the splits that all their folders, or else all their names, stand for."""
    folders = [name[: name.rfind("/") + 1] for name in names]
    splits: Sequence[str | None] = [split_named(folder.rstrip("/")) for folder in folders]
    if not all(splits):
        splits = splits_of_files(names) or [None] * len(names)
    located = zip(names, folders, splits, strict=True)
    return [TextFile(f"{root}/{name}", folder, split) for name, folder, split in located]


def parquet_parts(uri: str) -> list[str]:
    """Return the Parquet files of a source: the file itself, or those in a folder or the folders below, sorted by name.

    Args:
        uri: normalized address of a file or a folder.

    Raises:
        SourceError: if a folder holds none.
    """
    return _parts(uri, _all_parquet_names(uri)) if is_folder(uri) else [uri]


def _parts(root: str, names: Sequence[str]) -> list[str]:
    if names:
        return [f"{root}/{name}" for name in names]
    raise SourceError(
        f"A folder of tables must hold CSV, TSV, TXT or Parquet files. Received: {storage.shown(root)} without one. "
        "Check the address."
    )


def folder_columns(names: Sequence[str]) -> dict[str, list[str | None]]:
    """Return the columns that folders state, as in `label=Forest/part-0.parquet` of Spark, Dask and pyarrow.

    Args:
        names: paths of Parquet files relative to the source.

    Returns:
        Column -> its value in each file, None for no value; empty unless the files have the same columns.
    """
    folders = [[part.partition("=") for part in name.split("/")[:-1] if "=" in part] for name in names]
    columns = [[column for column, _, _ in each] for each in folders]
    if any(each != columns[0] for each in columns):
        return {}
    values = [[None if value == _NO_VALUE else unquote(value) for _, _, value in each] for each in folders]
    return {column: list(of_files) for column, of_files in zip(columns[0], zip(*values, strict=True), strict=True)}


def _all_parquet_names(root: str) -> list[str]:
    """Return the Parquet files directly in a folder or prefix, or else those one or two folders below."""
    return _parquet_names(root) or _nested_parquet_names(root)


def _parquet_names(root: str, most: int | None = None) -> list[str]:
    """Return the Parquet files directly in a folder; of a prefix, those among the first objects, None for all."""
    names = _names(root) if not storage.is_remote(root) else (file.name for file in _objects(root, most))
    return sorted(
        name for name in names if name.lower().endswith(_PARQUET) and "/" not in name and not name.startswith("_")
    )


def _nested_parquet_names(root: str, most: int | None = None) -> list[str]:
    """Return the Parquet files one or two folders below a root, such as `data/train-0.parquet` of Hugging Face's hub.

    Of a prefix, those among the first objects, None for all; empty if images lie beside them.
    """
    if storage.is_remote(root):
        names = [file.name for file in _objects(root, most)]
    else:
        names, folders = [], [name for name in _names(root) if Path(root, name).is_dir()]
        for folder in folders:
            below = [f"{folder}/{name}" for name in _names(f"{root}/{folder}", _OF_TILES)]
            names += below or [
                f"{folder}/{child}/{name}"
                for child in _names(f"{root}/{folder}")
                if Path(root, folder, child).is_dir()
                for name in _names(f"{root}/{folder}/{child}", _OF_TILES)
            ]
    if any(name.lower().endswith(SUFFIXES) for name in names):
        return []
    return sorted(name for name in names if name.lower().endswith(".parquet") and 1 <= name.count("/") <= 2)


def _has_folders(root: str) -> bool:
    if storage.is_remote(root):
        return any("/" in file.name for file in _objects(root, _LOOKED_AT))
    return any(Path(root, name).is_dir() for name in _names(root))


def _text_names(root: str, most: int | None = None) -> Iterator[str]:
    """Yield the names of the text files in a folder and the folders directly below it.

    Args:
        root: normalized address.
        most: maximum number of objects of a prefix that are listed; None lists all.
    """
    if storage.is_remote(root):
        yield from (file.name for file in _objects(root, most) if is_text(file.name) and file.name.count("/") <= 1)
        return
    for name in sorted(_names(root)):
        if is_text(name):
            yield name
        elif "." not in name or Path(root, name).is_dir():
            yield from (f"{name}/{below}" for below in sorted(filter(is_text, _names(f"{root}/{name}", _ENDS))))


def _objects(root: str, most: int | None) -> Iterator[storage.StoredFile]:
    return itertools.islice(storage.list_files(root), most)


def _names(folder: str, ends: Collection[str] = ()) -> list[str]:
    """Return the names in a local folder, which may be a million; empty where it cannot be listed.

    Args:
        folder: path of the folder.
        ends: last three characters of the names, in lower case; empty for all names.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - half the time
    except OSError:
        return []
    if ends:
        names = [name for name in names if name[-3:].lower() in ends]
    return [name for name in names if not name.startswith(".")]


def _is_of_its_images(root: str, name: str) -> bool:
    row = _first_row(f"{root}/{name}")
    if _ECOTAXA_IMAGE in row:
        return True
    images = [row[column] for column in USUAL_NAMES["image"] if column in row]
    if len(images) != 1 or not images[0] or "/" in images[0] or not row.keys() & set(USUAL_NAMES["label"]):
        return False
    return storage.is_file(f"{root}/{name[: name.rfind('/') + 1]}{images[0]}")


def _first_row(uri: str) -> dict[str, str]:
    """Return the first row of a text file; empty if it is not a table."""
    try:
        return first_row(uri)
    except SourceError:
        return {}
