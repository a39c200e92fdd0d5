"""A table with one row per tile (CSV, TSV such as EcoTaxa's exports, or Parquet) and a column of image addresses.

It is one file, or a folder of files. DuckDB reads only the columns that are used.
"""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.sources import geoparquet_geometry
from tilepipe.components.ingest.sources.duckdb_files import (
    check_names,
    is_stac_parquet,
    json_metadata,
    parquet_relation,
    readable,
)
from tilepipe.components.ingest.sources.href_columns import resolve
from tilepipe.components.ingest.sources.numbered_files import warn_of_missing_files
from tilepipe.components.ingest.sources.tables import huggingface, short_names, table_columns, table_query, text_table
from tilepipe.components.ingest.sources.tables.table_folder import folder_columns, is_folder, table_files
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

logger = logging.getLogger("tilepipe.ingest")


def is_table(uri: str) -> bool:
    """Return True if a file is a table of tiles, by its name; a Parquet file must not have the column `assets` of STAC.

    Args:
        uri: normalized address.

    Returns:
        True for a table; False for a file that is not Parquet despite its name.

    Raises:
        SourceError: if there is no such file.
        StorageError: if the store cannot be reached, or denies access.
    """
    if is_folder(uri):
        return False
    if text_table.is_text(uri):
        return True
    return storage.path_of(uri).lower().endswith(".parquet") and is_stac_parquet(uri) is False


@dataclass
class TableSource:
    """A table.

    Args:
        file: normalized address of the file, or of a folder of files.
        config: parameters of the step.
        wanted: names that `where` uses.
    """

    file: str
    config: IngestConfig
    wanted: frozenset[str] = frozenset()
    kind: SourceKind = "table"
    _holds_images: bool = False

    @property
    def name(self) -> str:
        """Name of the file without its suffix, or of the folder."""
        name = PurePosixPath(storage.path_of(self.file)).name
        return re.sub(r"\.(csv|tsv|txt|parquet)(\.gz)?$", "", name, flags=re.IGNORECASE)

    @property
    def _shown(self) -> str:
        return storage.shown(self.file)

    @contextlib.contextmanager
    def found(self, connection: "DuckDBPyConnection") -> Iterator[tuple[str, ...]]:
        """Create the view `found`, whose `uri` holds the images' addresses as written in the table.

        Yields:
            The files that DuckDB must be able to read.

        Raises:
            SourceError: if the file is missing, empty or malformed, or a column cannot be identified.
        """
        import duckdb

        files = table_files(self.file, self.config)
        is_text = text_table.is_text(files[0].uri)
        with contextlib.ExitStack() as stack:
            paths: list[str] = []
            parquet = None
            try:
                if is_text:
                    relation = text_table.load(connection, files, self.config, self.wanted)
                    own = f"{table_columns.FOLDER}, {table_columns.FILE_SPLIT}"
                    described = connection.sql(f"SELECT * EXCLUDE ({own}) FROM {relation}")  # noqa: S608
                    types = dict(zip(described.columns, described.types, strict=True))
                    chosen = table_columns.choose(
                        types, self.config, self.file, first=lambda: text_table.first_row(files[0].uri)
                    )
                else:
                    paths = stack.enter_context(readable(connection, [file.uri for file in files]))
                    relative = self._names(files)
                    by_file = folder_columns(relative)
                    relation, types = parquet_relation(connection, paths, by_file=by_file)
                    check_names(types, [file.uri for file in files])
                    metadata = json_metadata(connection, paths, ("geo", "huggingface"))
                    features = huggingface.features(metadata.get("huggingface", ()))
                    geometry, kept = self._geometry(metadata.get("geo", ()), types)
                    chosen = table_columns.choose(kept, self.config, self.file, features)
                    parquet = self._parquet_files(
                        connection, files, relative, relation, types[chosen.image], chosen, features, geometry
                    )
                    if parquet.hold_images or parquet.splits:
                        relation, _ = parquet_relation(connection, paths, by_file=by_file, is_located=True)
                query = table_query.query(
                    connection,
                    relation,
                    types,
                    chosen,
                    self.wanted,
                    parquet=parquet,
                    is_nested=any(file.folder for file in files),
                )
                connection.execute(f"CREATE VIEW found AS {query}")
                if not connection.execute("SELECT 1 FROM found LIMIT 1").fetchall():
                    raise SourceError(f"A table must have one row per tile. Received: {self._shown} without rows.")
                table_query.check_times(connection, relation, types, chosen, self.config, self._shown)
            except duckdb.Error as error:
                names = {path: file.uri for path, file in zip(paths, files, strict=False)}
                raise text_table.malformed(error, names, self.file) from None
            yield tuple(paths)

    def _names(self, files: list[text_table.TextFile]) -> list[str]:
        """Return the paths of the files relative to the source."""
        folder = self.file if is_folder(self.file) else storage.parent(self.file)
        return [storage.path_of(file.uri).removeprefix(f"{storage.path_of(folder)}/") for file in files]

    def _geometry(
        self, metadata: Sequence[Any], types: "dict[str, DuckDBPyType]"
    ) -> "tuple[str, dict[str, DuckDBPyType]]":
        """Return an expression for the geometry of GeoParquet, and the columns without boxes that are no degrees."""
        projected = geoparquet_geometry.projected_crs(metadata)
        if not projected:
            return geoparquet_geometry.as_wkb(types, metadata, self._shown) if metadata else "NULL", types
        logger.warning(
            "ignored the geometries of %s, which are in %s, not in longitude and latitude (OGC:CRS84). %s",
            *(self._shown, projected, geoparquet_geometry.TO_DEGREES),
        )
        return "NULL", {name: kind for name, kind in types.items() if name.lower() != "bbox"}

    def _parquet_files(
        self,
        connection: "DuckDBPyConnection",
        files: list[text_table.TextFile],
        names: list[str],
        relation: str,
        kind: "DuckDBPyType",
        chosen: table_columns.Chosen,
        features: dict[str, dict[str, Any]],
        geometry: str,
    ) -> table_columns.ParquetFiles:
        if is_folder(self.file):
            warn_of_missing_files([name.rpartition("/")[2] for name in names])
        self._holds_images = huggingface.is_image(kind) and huggingface.holds_images(
            connection, relation, chosen.image, kind
        )
        return table_columns.ParquetFiles([file.uri for file in files], names, features, self._holds_images, geometry)

    def resolve_addresses(self, connection: "DuckDBPyConnection") -> None:
        """Replace the addresses in `chosen` by normalized ones.

        Raises:
            SourceError: if a tile has no address or no id, or an address is outside the allowed locations.
        """
        band_assets = self.config.options.band_assets
        images = "data_options.band_assets" if band_assets else "data_columns.image"
        no_image = "uri IS NULL OR list_contains(list_transform(band_uris, lambda file: file IS NULL), true)"
        for is_missing, what in ((no_image, images), ("tile_id IS NULL", "data_columns.id")):
            query = f"SELECT count(*), min(tile_id) FROM chosen WHERE {is_missing}"  # noqa: S608
            without, example = connection.execute(query).fetchall()[0]
            if without:
                raise SourceError(
                    f"Each row must have the address of an image and an id. Received: {without:,} rows of "
                    f"{self._shown} with nothing in the column of {what}{f', such as {example}' if example else ''}. "
                    "Complete the table, or exclude such rows with `data_where`."
                )
        geoparquet_geometry.add_boxes(connection)
        if self._holds_images:
            return
        folder = self.file if is_folder(self.file) else storage.parent(self.file)
        if not band_assets:
            short_names.complete(connection, folder, self.config.href_rewrite, self._shown)
        resolve(connection, folder, self.config.href_rewrite, self._shown)
