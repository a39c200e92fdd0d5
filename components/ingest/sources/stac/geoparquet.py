"""A STAC-GeoParquet file: one row per item, with its properties as columns and its assets as a struct.

DuckDB fetches only the columns and asset fields that are used, and only the row groups in which a condition may be
true, for local and remote files; conditions on floating-point numbers skip none, see `duckdb_files.parquet_relation`.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources import geoparquet_geometry
from tilepipe.components.ingest.sources.duckdb_files import (
    check_names,
    fields,
    hide_statistics,
    json_metadata,
    parquet_relation,
    readable,
)
from tilepipe.components.ingest.sources.href_columns import resolve
from tilepipe.components.ingest.sources.source_view import COLUMNS
from tilepipe.components.ingest.sources.stac import item_columns
from tilepipe.components.ingest.sources.stac.assets import choice_of_asset, common_names, stated_bands
from tilepipe.components.ingest.sources.stac.multihash import hexadecimal
from tilepipe.components.ingest.sources.stac.raster import raster_columns
from tilepipe.components.ingest.sources.tables.table_folder import is_folder, parquet_parts
from tilepipe.components.ingest.sources.unused_split import check_unused_split
from tilepipe.components.shared.contracts.geometry_column import CORNERS
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, quoted, reason
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.zip_members import check_member

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType


_HEXADECIMAL = "([0-9A-Fa-f][0-9A-Fa-f])+"


def is_geoparquet(uri: str) -> bool:
    """Return True if a file has the suffix of Parquet; `table.is_table` must have excluded tables."""
    return storage.path_of(uri).lower().endswith((".parquet", ".geoparquet")) and not is_folder(uri)


@dataclass
class StacGeoParquet:
    """A STAC-GeoParquet file, or a folder of its parts: https://github.com/radiantearth/stac-geoparquet-spec.

    Args:
        file: normalized address of the file, or of a folder of part files.
        config: parameters of the step.
        collection: the collection of the items, if it is known, for bands that the items do not state.
    """

    file: str
    config: IngestConfig
    collection: dict[str, Any] = field(default_factory=dict)
    kind: SourceKind = "stac-geoparquet"
    _collection_ids: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Id of the only collection, or the name of the file if there are several or none."""
        one = self._collection_ids[0] if len(self._collection_ids) == 1 else ""
        return one or PurePosixPath(storage.path_of(self.file)).stem

    @property
    def _shown(self) -> str:
        return storage.shown(self.file)

    @contextlib.contextmanager
    def found(self, connection: "DuckDBPyConnection") -> Iterator[tuple[str, ...]]:
        """Create the view `found`, whose `uri` holds the items' hrefs as written in the file.

        Yields:
            The files that DuckDB must be able to read.

        Raises:
            SourceError: if the file is missing, or is not STAC-GeoParquet.
        """
        import duckdb

        parts = parquet_parts(self.file)
        with readable(connection, parts) as paths:
            try:
                relation, types = parquet_relation(connection, paths, raw=("assets",))
                check_names(types, parts)
                query = f"{self._query(connection, relation, paths, types)} FROM {relation}"
                connection.execute(f"CREATE VIEW found AS {query}")
                if "collection" in types:
                    query = f"SELECT DISTINCT collection FROM {relation} WHERE collection IS NOT NULL"  # noqa: S608
                    self._collection_ids = [str(name) for (name,) in connection.execute(query).fetchall()]
            except duckdb.Error as error:
                raise SourceError(
                    f"A STAC-GeoParquet file must be a Parquet file. Received: {self._shown}, which reads as: "
                    f"{_reason(error, paths, self._shown)}."
                ) from None
            yield tuple(paths)

    def resolve_addresses(self, connection: "DuckDBPyConnection") -> None:
        """Replace the hrefs in `chosen` by normalized addresses.

        Raises:
            SourceError: if an item is malformed, or an href is outside the allowed locations.
        """
        query = "SELECT count(*), min(tile_id) FROM chosen WHERE uri IS NULL"
        without, example = connection.execute(query).fetchall()[0]
        if without:
            raise SourceError(
                "An item must have an asset with the tile's pixels (role data and an image type). "
                f"Received: {without:,} items without one, such as {example} in {self._shown}. "
                f"Name the asset with {argument('options', {'asset_key': '...'})}."
            )
        escaping = r"(^|/)\.\.(/|$)|^[A-Za-z]:|\\|^$"
        odd = "SELECT tile_id, member FROM chosen WHERE regexp_matches(member, ?) LIMIT 1"
        for tile, member in connection.execute(odd, [escaping]).fetchall():
            check_member(member, f"item {tile} ({self._shown})")
        _spell_checksums(connection)
        # A folder that is called as a file, as Spark writes it, takes the place of that file.
        is_file = self.file.lower().endswith(".parquet") or not is_folder(self.file)
        folder = storage.parent(self.file) if is_file else self.file
        resolve(connection, folder, self.config.href_rewrite, self._shown)

    def _query(
        self, connection: "DuckDBPyConnection", relation: str, paths: list[str], types: "dict[str, DuckDBPyType]"
    ) -> str:
        missing = [name for name in ("id", "assets") if name not in types]
        if missing or types["assets"].id != "struct":
            raise SourceError(
                "A STAC-GeoParquet file must have a column id, and a column assets with a struct for each asset. "
                f"Received: {self._shown} with the columns {joined(types)}."
            )
        check_unused_split(types, self.config)
        config, assets = self.config, fields(types["assets"])
        keys = self._assets(connection, relation, assets)
        metadata = json_metadata(connection, paths, ("geo", "stac-geoparquet"))
        geo = metadata.get("geo", ())
        if projected := geoparquet_geometry.projected_crs(geo):
            raise SourceError(
                "The geometries of a STAC-GeoParquet file must be longitude and latitude (OGC:CRS84). Received: "
                f"{self._shown} in {projected}. {geoparquet_geometry.TO_DEGREES}"
            )
        documents = self._collections(metadata.get("stac-geoparquet", ()))
        collections = _bands_of(documents, keys[0] if len(keys) == 1 else "")
        bands = item_columns.band_names(keys, assets, types, collections)
        common = item_columns.band_common_names(keys, assets, types, collections)
        uris, several = item_columns.of_assets(keys, "href", assets, "VARCHAR"), "NULL::VARCHAR[]"
        if config.options.band_assets:
            hrefs = [item_columns.of_assets([key], "href", assets, "VARCHAR") for key in keys]
            uris, several = hrefs[0], f"[{', '.join(hrefs)}]"
            bands = f"{list(config.options.band_assets)}"
            common = item_columns.only_common_names(keys, assets)
        times = [f"{quoted(name)}::TIMESTAMPTZ" for name in ("datetime", "start_datetime") if name in types]
        if config.columns.datetime:
            item_columns.column_text(config.columns.datetime, types, "data_columns.datetime", self._shown)
            times = [f"{quoted(config.columns.datetime)}::TIMESTAMPTZ"]
        expressions = {
            "tile_id": "id",  # without conversion where possible, so that conditions can skip row groups
            "uri": uris,
            "member": item_columns.of_assets(keys, "archive:href", assets, "VARCHAR"),
            "band_uris": several,
            "label": item_columns.label(config, types, self._shown),
            "split": item_columns.column_text(config.split_property, types, "split_property", self._shown),
            "group": item_columns.column_text(config.columns.group, types, "data_columns.group", self._shown),
            "datetime": item_columns.first_of(times, "NULL"),
            "bbox": _bbox(types),
            "geometry": geoparquet_geometry.as_wkb(types, geo, self._shown),
            "bytes": item_columns.of_assets(keys, "file:size", assets, "BIGINT"),
            "checksum": item_columns.of_assets(keys, "file:checksum", assets, "VARCHAR"),
            "bands": bands,
            "stated_raster": raster_columns(
                keys, assets, types, one_per_band=bool(config.options.band_assets), collections=documents
            ),
            "stated_sensor": item_columns.sensor(common, types),
        }
        member = expressions["member"]
        if not member.startswith(
            "NULL"
        ):  # size and checksum are those of the archive, and paths are relative to its root
            expressions["member"] = f"regexp_replace(regexp_replace({member}, '^/+', ''), '^[.]/', '')"
            for name in ("bytes", "checksum"):
                expressions[name] = f"CASE WHEN {member} IS NULL THEN {expressions[name]} END"
        if config.options.band_assets:  # size and checksum are those of one file, not of the tile
            expressions |= {"bytes": "NULL", "checksum": "NULL", "member": "NULL"}
        columns = [f"({expressions.get(name, 'NULL')})::{kind} AS {quoted(name)}" for name, kind in COLUMNS.items()]
        own = {name: quoted(name) for name in types if name.lower() not in COLUMNS}
        own["assets"] = hide_statistics("assets", types["assets"])
        columns += [f"{column} AS {quoted(name)}" for name, column in own.items()]
        return f"SELECT {', '.join(columns)}"

    def _assets(self, connection: "DuckDBPyConnection", relation: str, assets: "dict[str, DuckDBPyType]") -> list[str]:
        options = self.config.options
        named = list(options.band_assets.values()) or ([options.asset_key] if options.asset_key else [])
        unknown = [key for key in named if key not in assets]
        if unknown:
            raise SourceError(
                "The assets of data_options.asset_key and data_options.band_assets must be in every item. "
                f"Received: {joined(unknown)}, and {self._shown} has {joined(assets)}."
            )
        keys = named or item_columns.pixel_assets(connection, relation, assets)
        if not named and len(keys) > 1:
            present = " + ".join(f"(assets.{quoted(key)}.href IS NOT NULL)::INTEGER" for key in keys)
            chosen = f"{{{', '.join(f'{literal(key)}: assets.{quoted(key)}' for key in keys)}}}"
            query = f"SELECT min_by((id, to_json({chosen})), id) FROM {relation} WHERE {present} > 1"  # noqa: S608
            found = connection.execute(query).fetchall()[0][0]
            if found is not None:
                example, text = found
                of_item = {key: asset for key, asset in json.loads(text).items() if asset}
                raise SourceError(
                    "An item must have one asset with the tile's pixels (role data and an image type). Received: "
                    f"{joined(keys)} in item {example} ({self._shown}). {choice_of_asset(of_item, {})}"
                )
        return keys

    def _collections(self, metadata: Sequence[Any]) -> dict[str, dict[str, Any]]:
        """Return the collections of the items by id: the given one, or those in the file's metadata (version 1.1)."""
        if self.collection:
            return {str(self.collection.get("id")): self.collection}
        stated = metadata[0] if metadata else {}
        found = stated.get("collections") if isinstance(stated, dict) else None
        documents = found.items() if isinstance(found, dict) else ()
        return {str(name): document for name, document in documents if isinstance(document, dict)}


def _bands_of(collections: dict[str, dict[str, Any]], key: str) -> dict[str, item_columns.Bands]:
    """Return names and common names of the bands that collections state for an asset, or, without a key, for all."""
    bands = {}
    for name, document in collections.items():
        names = stated_bands(key, {}, {}, document)
        if names:
            bands[name] = names, common_names(names, key, {}, {}, document)
    return bands


def _spell_checksums(connection: "DuckDBPyConnection") -> None:
    """Write the checksums in `chosen` in lower-case hexadecimal; others are left as they are."""
    connection.execute(
        f"UPDATE chosen SET checksum = lower(checksum) WHERE regexp_full_match(checksum, '{_HEXADECIMAL}') "  # noqa: S608
        "AND checksum <> lower(checksum)"
    )
    query = f"SELECT DISTINCT checksum FROM chosen WHERE NOT regexp_full_match(checksum, '{_HEXADECIMAL}')"  # noqa: S608
    others = [text for (text,) in connection.execute(query).fetchall()]
    spelled = {text: found for text in others if (found := hexadecimal(text)) is not None}
    if spelled:
        given = pa.table({"text": list(spelled), "spelled": list(spelled.values())})
        connection.register("checksums", given)
        connection.execute(
            "UPDATE chosen SET checksum = checksums.spelled FROM checksums WHERE checksum = checksums.text"
        )
        connection.unregister("checksums")


def _bbox(types: "dict[str, DuckDBPyType]") -> str:
    kind = types.get("bbox")
    if kind is None:
        return "NULL"
    names = fields(kind)
    if list(names) == list(CORNERS):
        return "bbox"
    if set(CORNERS) <= set(names):  # with heights
        packed = ", ".join(f"{name} := bbox.{name}" for name in CORNERS)
        return f"CASE WHEN bbox.xmin IS NOT NULL THEN struct_pack({packed}) END"
    if kind.id == "list":  # 4 numbers, or 6 with heights
        corners = "xmin := bbox[1], ymin := bbox[2], xmax := bbox[len(bbox) // 2 + 1], ymax := bbox[len(bbox) // 2 + 2]"
        return f"CASE WHEN len(bbox) IN (4, 6) THEN struct_pack({corners}) END"
    return "NULL"


def _reason(error: Exception, paths: list[str], shown: str) -> str:
    text = reason(error)
    for path in paths:
        text = text.replace(path, shown)
    return text
