"""The kinds of sources, and detection of the kind from an address.

To add a kind, write a module with a `RowSource` or a `ColumnSource`, name the kind in `config.SourceKind`, and add an
entry to `SOURCES`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.parameter_names import PIPELINE_NAMES, argument
from tilepipe.components.ingest.sources.archive_folders import ArchiveClassFolders, is_archive
from tilepipe.components.ingest.sources.folder import ARRAYS, SUFFIXES, WITHOUT_ARRAYS, ClassFolders
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.s3_prefix import S3ClassFolders
from tilepipe.components.ingest.sources.source_view import ColumnSource
from tilepipe.components.ingest.sources.stac.api import StacApi
from tilepipe.components.ingest.sources.stac.catalog import StacCatalog, catalog_file
from tilepipe.components.ingest.sources.stac.documents import is_document, mirror_of, read_document
from tilepipe.components.ingest.sources.stac.geoparquet import StacGeoParquet, is_geoparquet
from tilepipe.components.ingest.sources.tables.annotation_file import check_no_annotations
from tilepipe.components.ingest.sources.tables.table import TableSource, is_table
from tilepipe.components.ingest.sources.tables.table_folder import holds_geoparquet, holds_tables
from tilepipe.components.ingest.sources.tfrecords.tfrecord import TfrecordSource, holds_records, is_record_file
from tilepipe.components.ingest.sources.tile_row import RowSource
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.storage import storage

_ARCHIVE = re.compile(r"\.(7z|rar|tzst|tar\.[a-z0-9]+)$", re.IGNORECASE)

_OF_STAC = frozenset({"columns", "options.asset_key", "options.band_assets", "split_property"})


@dataclass(frozen=True)
class Source:
    """One kind of source."""

    open: Callable[[str, IngestConfig, frozenset[str]], RowSource | ColumnSource]
    """Opens the source at a normalized address; the last argument is `wanted` of `open_source`."""
    is_address: Callable[[str], bool] = lambda _: False
    """Returns True if a normalized address is that of such a source."""
    is_folder: Callable[[str], bool] = lambda _: False
    """Returns True if the folder or prefix at a normalized address contains such a source."""
    accepts: frozenset[str] = _OF_STAC
    """Parameters in `_REMEDIES` that apply to the source."""


def _class_folders(uri: str, config: IngestConfig) -> RowSource:
    if is_archive(uri):
        return ArchiveClassFolders(uri, needs_labels=config.needs_labels)
    if storage.is_web(uri):
        raise ParameterError(
            "A folder must be local or in S3: web servers do not list folders. "
            f"Received: data_source={storage.shown(uri)}. Copy it to a bucket, or give a table of its files."
        )
    folders = S3ClassFolders if storage.is_remote(uri) else ClassFolders
    return folders(uri, needs_labels=config.needs_labels)


def _stac_catalog(uri: str, config: IngestConfig, wanted: frozenset[str]) -> RowSource | ColumnSource:
    """Open a catalog; a collection whose items are only in its GeoParquet asset is read from that."""
    root = catalog_file(uri) or uri
    if storage.path_of(root).lower().endswith(".json"):
        document = read_document(root, "source")
        check_no_annotations(document, root)
        href = mirror_of(document, root)
        if href is not None:
            folder = storage.parent(root)
            resolver = HrefResolver(folder, config.href_rewrite)
            file = resolver.resolve(href, folder, f"the GeoParquet asset of {root}")
            return StacGeoParquet(file, config, document)
        return StacCatalog(root, config, wanted, document)
    return StacCatalog(root, config, wanted)


SOURCES: dict[SourceKind, Source] = {
    "stac-catalog": Source(
        open=_stac_catalog,
        is_address=is_document,
        is_folder=lambda uri: bool(catalog_file(uri)),
    ),
    "table": Source(
        open=TableSource,
        is_address=is_table,
        is_folder=holds_tables,
        accepts=frozenset({"columns", "columns.id", "columns.image", "options.band_assets", "split_property"}),
    ),
    "stac-geoparquet": Source(
        open=lambda uri, config, _: StacGeoParquet(uri, config), is_address=is_geoparquet, is_folder=holds_geoparquet
    ),
    "tfrecord": Source(
        open=TfrecordSource,
        is_address=lambda uri: is_record_file(storage.path_of(uri)),
        is_folder=holds_records,
        accepts=frozenset({"columns", "columns.id", "options.record_dtype", "options.record_shape", "split_property"}),
    ),
    "stac-api": Source(
        open=StacApi,
        is_address=lambda uri: storage.is_web(uri) and not is_archive(uri),
        accepts=_OF_STAC | {"query"},
    ),
    "folder": Source(
        open=lambda uri, config, _: _class_folders(uri, config),
        is_address=is_archive,
        is_folder=lambda _: True,
        accepts=frozenset(),
    ),
}
"""Kind -> source; the first source that matches an address, or else a folder, is used."""

_REMEDIES = {
    "columns": "Remove it: the class of a file is the name of its folder. Or give a table of the files.",
    "columns.id": "Leave it out: STAC items have an id.",
    "columns.image": "Leave it out, or name the asset of STAC items with data_options.asset_key.",
    "options.asset_key": "Leave it out: only STAC items have assets.",
    "options.band_assets": "Give a table with a column of images for each band.",
    "options.record_dtype": "Leave it out: files of images state their dtype.",
    "options.record_shape": "Leave it out: files of images state their shape.",
    "query": "Select tiles with data_where, or give the address of a STAC API.",
    "split_property": "Use split_files: files have no properties.",
}
"""Parameter, or field of one -> remedy, for those that only some kinds accept."""


def open_source(config: IngestConfig, wanted: frozenset[str] = frozenset()) -> RowSource | ColumnSource:
    """Open the source that the parameters name.

    Args:
        config: parameters of the step.
        wanted: names of the source's own columns or properties that its rows must include.

    Returns:
        The source; only its kind has been inspected.

    Raises:
        SourceError: if there is nothing at the address, it is an archive, or its scheme is not supported.
        ParameterError: if a parameter does not fit the kind of source.
    """
    uri = storage.normalize(config.source)
    if not storage.is_remote(uri) and not Path(uri).exists():
        raise SourceError(
            f"A source must exist. Received: data_source={config.source}, which is {uri}. Check the address."
        )
    archive = _ARCHIVE.search(storage.path_of(uri))
    if archive and not is_archive(uri) and storage.is_file(uri):
        raise SourceError(
            "An archive must be a zip, or a tar that is plain or compressed with gzip, bzip2 or xz. "
            f"Received: data_source={storage.shown(config.source)}, a file with the suffix {archive[0].lower()}. "
            "Unpack it, and give the address of the folder or of the table in it."
        )
    kind = detect_kind(uri) if config.options.kind == "auto" else config.options.kind
    _check_parameters(config, kind)
    return SOURCES[kind].open(uri, config, wanted)


def detect_kind(uri: str) -> SourceKind:
    """Detect the kind of a source by its normalized address, and of a folder by its content."""
    by_address = (kind for kind, source in SOURCES.items() if source.is_address(uri))
    if kind := next(by_address, None):
        return kind
    _check_not_a_file(uri)
    return next(kind for kind, source in SOURCES.items() if source.is_folder(uri))


def _check_not_a_file(uri: str) -> None:
    """Check that an address with a suffix of no kind of source is not that of a file."""
    suffix = PurePosixPath(storage.path_of(uri)).suffix.lower()
    if not suffix or not storage.is_file(uri):
        return
    remedy = ""
    if suffix in SUFFIXES:
        remedy = " Give the address of the folder of class folders that holds it."
    elif suffix in ARRAYS:
        remedy = f" {WITHOUT_ARRAYS}"
    raise SourceError(
        "A source that is one file must be a table (CSV, TSV, Parquet), a STAC catalog (.json), a file of TFRecords, a "
        f"zip or a tar. Received: data_source={storage.shown(uri)}, a file with the suffix {suffix}.{remedy}"
    )


def _check_parameters(config: IngestConfig, kind: SourceKind) -> None:
    """Check that the parameters that only some kinds accept are not set for other kinds."""
    for name, remedy in _REMEDIES.items():
        parent, _, field = name.rpartition(".")
        owner = getattr(config, parent) if parent else config
        value = getattr(owner, field)
        if name in SOURCES[kind].accepts or value == type(owner).model_fields[field].get_default():
            continue
        kinds = [other for other, source in SOURCES.items() if name in source.accepts]
        given = value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value
        first = parent or field
        shown = argument(first, {field: given} if parent else given)
        raise ParameterError(
            f"`{PIPELINE_NAMES.get(first, first)}{f'.{field}' if parent else ''}` is for sources of the kinds "
            f"{', '.join(kinds)}. Received: {shown}, and data_source={storage.shown(config.source)}, a source of the "
            f"kind {kind}. {remedy} If the kind is wrong, set it with {argument('options', {'kind': kinds[0]})}."
        )
