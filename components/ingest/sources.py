"""What kind a source is: the one place that decides, and the one that opens it."""

from pathlib import Path

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.folder import ClassFolders
from tilepipe.components.ingest.rows import TileSource
from tilepipe.components.ingest.stac_catalog import ROOT_NAMES, StacCatalog
from tilepipe.components.ingest.stac_geoparquet import StacGeoParquet
from tilepipe.components.shared import storage
from tilepipe.components.shared.errors import ParameterError, SourceError


def open_source(config: IngestConfig) -> TileSource:
    """Open the source that the parameters name.

    Args:
        config: the step's parameters.

    Returns:
        The source; nothing but its kind has been looked at.

    Raises:
        SourceError: there is nothing at the address, or its scheme is not read.
        ParameterError: a parameter does not fit the kind of source.
    """
    if storage.scheme(config.source) in {"http", "https"}:
        raise SourceError(
            "A source must be a local path or s3://: this version reads nothing from the web. "
            f"Received: source={config.source}. Copy the data to a folder or a bucket."
        )
    uri = storage.normalise(config.source)
    if not storage.is_remote(uri) and not Path(uri).exists():
        raise SourceError(f"A source must exist. Received: source={config.source}, which is {uri}.")
    kind = detect_kind(uri) if config.options.kind == "auto" else config.options.kind
    if kind == "stac-catalog":
        return StacCatalog(_catalog_root(uri) or uri, config)
    if kind == "stac-geoparquet":
        return StacGeoParquet(uri, config)
    if config.split_property:
        raise ParameterError(
            "`split_property` is for STAC sources: a folder's files have no properties. "
            f"Received: split_property={config.split_property!r}, source={config.source}. Use split_files."
        )
    return ClassFolders(uri)


def detect_kind(uri: str) -> SourceKind:
    """Tell the kind of a source by its name, and of a folder by whether a catalogue stands in it.

    Args:
        uri: a normalised address.

    Returns:
        The kind.
    """
    name = uri.lower()
    if name.endswith(".json"):
        return "stac-catalog"
    if name.endswith((".parquet", ".geoparquet")):
        return "stac-geoparquet"
    return "stac-catalog" if _catalog_root(uri) else "folder"


def _catalog_root(folder: str) -> str:
    """The catalogue's own file in a folder; empty where there is none."""
    if folder.lower().endswith(".json"):
        return ""
    files = (storage.join(folder, name) for name in ROOT_NAMES)
    return next((file for file in files if storage.is_file(file)), "")
