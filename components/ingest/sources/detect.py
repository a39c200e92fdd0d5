"""Detection of the kind of a source, and its opening."""

from pathlib import Path

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.sources.source_view import ColumnSource
from tilepipe.components.ingest.sources.tile_row import RowSource
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.storage import storage


def open_source(  # noqa: PLR0911 - one a kind
    config: IngestConfig, wanted: frozenset[str] = frozenset()
) -> RowSource | ColumnSource:
    """Open the source that the parameters name.

    Args:
        config: parameters of the step.
        wanted: names of the source's own columns or properties that its rows must include.

    Returns:
        The source; only its kind has been inspected.

    Raises:
        SourceError: if there is nothing at the address, or its scheme is not supported.
        ParameterError: if a parameter does not fit the kind of source.
    """
    uri = storage.normalise(config.source)
    if not storage.is_remote(uri) and not Path(uri).exists():
        raise SourceError(f"A source must exist. Received: source={config.source}, which is {uri}.")
    kind = detect_kind(uri) if config.options.kind == "auto" else config.options.kind
    _check_parameters(config, kind)
    match kind:  # each has its own client, so only the one that is used is imported
        case "stac-api":
            from tilepipe.components.ingest.sources.stac.api import StacApi

            return StacApi(uri, config, wanted)
        case "stac-catalog":
            from tilepipe.components.ingest.sources.stac.catalog import StacCatalog

            return StacCatalog(_catalog_root(uri) or uri, config, wanted)
        case "stac-geoparquet":
            from tilepipe.components.ingest.sources.stac.geoparquet import StacGeoParquet

            return StacGeoParquet(uri, config)
        case "table":
            from tilepipe.components.ingest.sources.table import TableSource

            return TableSource(uri, config, wanted)
        case "tfrecord":
            from tilepipe.components.ingest.sources.tfrecord import TfrecordSource

            return TfrecordSource(uri, config, wanted)
        case "folder":
            if storage.is_remote(uri):
                from tilepipe.components.ingest.sources.s3_prefix import S3ClassFolders

                return S3ClassFolders(uri)
            from tilepipe.components.ingest.sources.folder import ClassFolders

            return ClassFolders(uri)


def detect_kind(uri: str) -> SourceKind:  # noqa: PLR0911 - one a rule
    """Detect the kind of a source by its name, and of a folder by its content.

    Args:
        uri: normalized address.

    Returns:
        The kind.
    """
    from tilepipe.components.ingest.sources.table import is_table
    from tilepipe.components.ingest.sources.tfrecord import holds_records, is_record_file

    name = storage.path_of(uri).lower()
    if name.endswith(".json"):
        return "stac-catalog"
    if is_table(uri):
        return "table"
    if name.endswith((".parquet", ".geoparquet")):
        return "stac-geoparquet"
    if is_record_file(name.rpartition("/")[2]):
        return "tfrecord"
    if storage.is_web(uri):
        return "stac-api"
    if _catalog_root(uri):
        return "stac-catalog"
    return "tfrecord" if holds_records(uri) else "folder"


def _check_parameters(config: IngestConfig, kind: SourceKind) -> None:
    if kind == "folder" and config.split_property:
        raise ParameterError(
            "`split_property` is for STAC sources, tables and TFRecords: a folder's files have no properties. "
            f"Received: split_property={config.split_property!r}, source={config.source}. Use split_files."
        )
    if kind == "folder" and storage.is_web(storage.normalise(config.source)):
        raise ParameterError(
            "A folder must be local or in S3: web servers do not list folders. "
            f"Received: source={storage.shown(config.source)}. Copy it to a bucket, or give a table of its files."
        )
    if kind == "folder" and config.columns != type(config.columns)():
        raise ParameterError(
            "`columns` is for STAC sources, tables and TFRecords: the class of a file in a folder is the name of the "
            f"folder. Received: columns={config.columns.model_dump(exclude_defaults=True)}, source={config.source}. "
            "Remove it, or give a table of the files."
        )
    if kind != "stac-api" and config.query != type(config.query)():
        raise ParameterError(
            f"`query` is for a STAC API. Received: query={config.query.model_dump(exclude_defaults=True)}, and "
            f"source={config.source}, a {kind}. Select tiles with where, or give the API's address."
        )


def _catalog_root(folder: str) -> str:
    """Return the address of the catalog file in a folder; empty if there is none."""
    from tilepipe.components.ingest.sources.stac.catalog import ROOT_NAMES

    if folder.lower().endswith(".json"):
        return ""
    files = (storage.join(folder, name) for name in ROOT_NAMES)
    return next((file for file in files if storage.is_file(file)), "")
