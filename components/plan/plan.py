"""Decide which tiles to predict with which model, once for all workers.

Workers that each resolved an alias could load different versions, and workers that each listed earlier predictions
could divide the tiles differently.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tilepipe.components.plan.config import PlanConfig
from tilepipe.components.plan.reference_table import write_reference
from tilepipe.components.shared.contracts.tile_table import (
    SCHEMA,
    TileTableInfo,
    damaged,
    read_tile_table_info,
    write_tile_table,
)
from tilepipe.components.shared.inference.bundle_model import BundleModel, load_model
from tilepipe.components.shared.inference.drift import check_comparable, evaluation_reference
from tilepipe.components.shared.inference.model_address import resolve
from tilepipe.components.shared.inference.prediction_plan import DriftKind, PredictionPlan
from tilepipe.components.shared.inference.prediction_store import PredictionStore
from tilepipe.components.shared.runtime.database import open_database, plainly_named
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.atomic import whole_file

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.plan")

_FEWEST_TILES = 64
"""Tiles per worker below which fewer workers are started: a pod takes longer to start than to predict these."""

_BATCH_ROWS = 65_536
_KINDS_OF_FILES = frozenset({"folder", "table", "tfrecord"})
"""Kinds of sources whose ids are, by default, paths of files below the source."""
_TABLE = re.compile(r"\.(csv|tsv|txt|parquet)(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class PlanOutputs:
    """Paths of the outputs."""

    bundle: Path
    reference: Path
    new_tiles: Path
    plan: Path


def plan(config: PlanConfig, tiles: Path, outputs: PlanOutputs) -> PredictionPlan:
    """Fetch the model, and write the table of the tiles that are still to predict.

    Args:
        config: Parameters of the step.
        tiles: Tile table of `ingest`; it may have no rows, and its tiles no labels.
        outputs: Paths of the outputs.

    Returns:
        The plan, as written; it has at least one part, since KFP cannot collect from a loop without iterations.

    Raises:
        ParameterError: The model's address or its alias is of another form, or `output_uri` holds predictions of other
            classes.
        SourceError: There is no such model.
        ArtifactError: The bundle or the tile table is damaged, or `output_uri` holds other files.
        DriftError: There is nothing to compare with for a limit of the drift.
        StorageError: The model or the earlier predictions cannot be read.
        TrackingError: The model registry cannot be reached.
    """
    model = _fetch_model(config, outputs)
    info = read_tile_table_info(tiles)
    counts = _write_new_tiles(config, model, tiles, info, outputs.new_tiles)
    planned = PredictionPlan(
        model_name=model.name,
        model_version=model.version,
        model_digest=model.digest,
        model_uri=model.address,
        class_names=model.class_names,
        tiles=counts.new,
        known=counts.total - counts.new,
        source=storage.normalize(info.source),
        other_source=counts.other_source,
        known_of_others=counts.of_others,
        parts=max(1, min(config.workers, -(-counts.new // _FEWEST_TILES))),
        created=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        output_uri=config.output_uri,
        experiment=config.experiment,
        options=config.options,
    )
    planned.write(outputs.plan)
    version = f" version {model.version}" if model.version else ""
    logger.info(
        "%s tiles to predict with %s%s, %s predicted before",
        f"{planned.tiles:,}",
        model.name,
        version,
        f"{planned.known:,}",
    )
    if planned.other_source:
        logger.warning(planned.remark())
    return planned


def _fetch_model(config: PlanConfig, outputs: PlanOutputs) -> BundleModel:
    """Fetch the bundle and the predictions of its evaluation into the artifacts, and check that it can be used."""
    with TemporaryDirectory(prefix="tilepipe-") as folder:
        file = resolve(config.model_uri, Path(folder))
        model = load_model(file, threads=1)
        with whole_file(outputs.bundle) as partial:
            shutil.copyfile(file.path, partial)
        rows = write_reference(config.options.drift_reference, file, outputs.reference)
    kinds: set[DriftKind] = {"bands"}
    if rows:
        kinds |= {"classes", "confidence"}
    elif evaluation_reference(model):
        kinds.add("classes")
    check_comparable(kinds, config.options.max_drift)
    return model


@dataclass(frozen=True)
class _Counts:
    """Numbers of rows of a tile table."""

    total: int
    new: int
    of_others: int
    """Rows whose id is that of a predicted tile of another source."""
    other_source: str
    """One of these sources; empty for none."""


def _write_new_tiles(
    config: PlanConfig, model: BundleModel, tiles: Path, info: TileTableInfo, new_tiles: Path
) -> _Counts:
    """Write the rows of the tile table whose ids are in no partition."""
    others = [""]
    with open_database() as connection:
        connection.execute("CREATE TABLE known (tile_id VARCHAR, other SMALLINT)")
        folder = _folder_of(storage.normalize(info.source))
        if config.output_uri:
            for known in PredictionStore(config.output_uri, model.class_names).known_tiles():
                # Ids of items are unique; those of files are paths below the source, the same every day perhaps.
                is_other = bool(known.source) and _folder_of(known.source) != folder
                is_other = is_other and info.source_kind in _KINDS_OF_FILES
                others += [known.source] if is_other and known.source not in others else []
                connection.register("partition_ids", pa.Table.from_arrays([known.ids], ["tile_id"]))
                other = others.index(known.source if is_other else "")
                connection.execute("INSERT INTO known SELECT tile_id, ? FROM partition_ids", [other])
                connection.unregister("partition_ids")
        try:
            file = pq.ParquetFile(tiles)
        except (pa.ArrowException, OSError) as error:
            raise damaged(tiles, str(error)) from error
        with file, plainly_named(tiles) as name:
            query = "SELECT count(*) FROM read_parquet(?) ANTI JOIN known USING (tile_id)"
            new = int(connection.execute(query, [name]).fetchall()[0][0])
            query = """SELECT count(*), max(other) FROM (SELECT max(other) AS other FROM known SEMI JOIN
                read_parquet(?) USING (tile_id) GROUP BY tile_id HAVING min(other) > 0)"""
            of_others, other = connection.execute(query, [name]).fetchall()[0]
            batches = _new_rows(connection, file)
            write_tile_table(pa.RecordBatchReader.from_batches(SCHEMA, batches), info, new_tiles)
            return _Counts(file.metadata.num_rows, new, int(of_others), others[other or 0])


def _folder_of(source: str) -> str:
    """Return the folder that the ids of files are relative to: that of a table, else the source itself."""
    return storage.parent(source) if _TABLE.search(source) else source


def _new_rows(connection: "DuckDBPyConnection", file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield the new rows in the order of the table."""
    for batch in file.iter_batches(_BATCH_ROWS, columns=SCHEMA.names):
        connection.register("batch_ids", pa.table({"tile_id": batch["tile_id"]}))
        known = connection.sql("SELECT DISTINCT tile_id FROM known SEMI JOIN batch_ids USING (tile_id)")
        is_known = pc.is_in(batch["tile_id"], value_set=known.to_arrow_table()["tile_id"].combine_chunks())
        connection.unregister("batch_ids")
        yield from pa.Table.from_batches([batch]).filter(pc.invert(is_known)).cast(SCHEMA).to_batches()
