"""Predict the classes of the tiles of one part."""

import contextlib
import itertools
import logging
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tilepipe.components.predict_tiles.band_moments import BandMoments
from tilepipe.components.predict_tiles.config import PredictTilesConfig
from tilepipe.components.predict_tiles.prediction_rows import PredictionWriter, prediction_table, write_predictions
from tilepipe.components.predict_tiles.tile_rows import read_rows, sample_tiles, to_tiles
from tilepipe.components.shared.contracts.tile_table import read_tile_table_info
from tilepipe.components.shared.errors import ArtifactError, BandError, ParameterError
from tilepipe.components.shared.inference.bundle_model import BundleModel, load_model
from tilepipe.components.shared.inference.model_address import ModelFile
from tilepipe.components.shared.inference.prediction_plan import PredictionOptions, PredictionPlan, read_plan
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.tiles.bands.order import MissingBandError
from tilepipe.components.shared.tiles.cache.cache import TileCache, open_cache
from tilepipe.components.shared.tiles.layout.concurrency import map_batches
from tilepipe.components.shared.tiles.layout.layout_inference import NoUsableTileError, infer_layout
from tilepipe.components.shared.tiles.quarantine import Rejection, allowed_tiles, too_many, write_quarantine
from tilepipe.components.shared.tiles.reader import Layout, Record, Rejected, read_records

logger = logging.getLogger("tilepipe.predict_tiles")

_ROWS_AT_ONCE = 512
"""Rows that are converted together."""
_MEASURED_TILES = 1000
"""Approximate number of tiles per part whose pixels are compared with the training data."""
_MORE_REJECTED = 100
"""Number of unusable tiles beyond the limit after which the worker stops."""


@dataclass(frozen=True)
class Inputs:
    """Outputs of `plan`."""

    plan: Path
    bundle: Path
    tiles: Path


@dataclass(frozen=True)
class Outputs:
    """Paths of the outputs of one part."""

    predictions: Path
    quarantine: Path
    moments: Path


def predict_tiles(config: PredictTilesConfig, inputs: Inputs, outputs: Outputs) -> int:
    """Read the tiles of a part as `pack` does, and predict their classes.

    The outputs are written completely or not at all; a worker that is started again gives the same rows.

    Returns:
        Number of predicted tiles.

    Raises:
        ArtifactError: An input is damaged or of another run.
        BandError: The tiles lack a band of the model, or their bands have no names.
        ParameterError: The tiles have another shape or dtype than those of the model.
        TileError: More tiles are unusable than are allowed.
        StorageError: The tiles cannot be reached.
    """
    plan, part = read_plan(inputs.plan), config.part
    if part >= plan.parts:
        raise ArtifactError(f"`part` must be one of the plan's {plan.parts} parts. Received: part={part}.")
    model = load_model(ModelFile(inputs.bundle, plan.model_uri, plan.model_digest, plan.model_name, plan.model_version))
    rejected: list[Rejection] = []
    moments = BandMoments.empty([one.mean for one in model.statistics])
    info = read_tile_table_info(inputs.tiles)
    with (
        open_cache(plan.options.cache, info.snapshot) as cache,
        write_predictions(outputs.predictions, plan, part=part, known=plan.known) as writer,
    ):
        if plan.part_range(part):
            try:
                layout = _find_layout(plan, inputs.tiles, model, cache)
            except NoUsableTileError as error:
                # Beside earlier predictions, these may be tiles that were left out before.
                allowed = allowed_tiles(plan.options.max_quarantine_percent, plan.source_tiles)
                if not plan.known or len(error.rejected) < plan.tiles or len(error.rejected) > allowed:
                    raise
                rejected += map(_rejection, error.rejected)
            else:
                worker = _Worker(plan, part, layout, model, cache, moments, rejected)
                worker.predict(inputs.tiles, writer)
        write_quarantine(rejected, outputs.quarantine)
        moments.write(outputs.moments)
    logger.info("%s tiles predicted, %s left out", f"{writer.rows:,}", f"{len(rejected):,}")
    return writer.rows


@dataclass(frozen=True)
class _Worker:
    """State of the prediction of one part."""

    plan: PredictionPlan
    part: int
    layout: Layout
    model: BundleModel
    cache: TileCache | None
    moments: BandMoments
    rejected: list[Rejection]

    def predict(self, tiles: Path, writer: PredictionWriter) -> None:
        """Predict all tiles of the part, batch by batch, while threads read the next ones."""
        rows = self.plan.part_range(self.part)
        seen, every = 0, max(1, len(rows) // _MEASURED_TILES)
        # New memory for each batch would double the time of the copy.
        memory = np.empty((self.plan.options.batch_tiles, *self.model.tile_shape), self.model.dtype)
        progress = Progress(logger, "predicted", len(rows), "tiles")
        with contextlib.closing(self._read(tiles, rows)) as batches:
            for table, records in batches:
                usable = [place for place, record in enumerate(records) if isinstance(record, Record)]
                images = [record.image for record in records if isinstance(record, Record)]
                self._reject(records)
                if images:
                    probabilities = self.model.predict(np.stack(images, out=memory[: len(images)]))
                    predicted = table if len(usable) == table.num_rows else table.take(usable)
                    writer.write(prediction_table(predicted, probabilities, self.plan))
                for record in records:
                    if isinstance(record, Record) and seen % every == 0:
                        self.moments.add(record.image, record.mask)
                    seen += 1
                    progress.advance(left_out=isinstance(record, Rejected))
        progress.finish()

    def _reject(self, records: "list[Record | Rejected]") -> None:
        self.rejected.extend(_rejection(record) for record in records if isinstance(record, Rejected))
        total = self.plan.source_tiles
        allowed = allowed_tiles(self.plan.options.max_quarantine_percent, total)
        if len(self.rejected) > allowed + _MORE_REJECTED:
            raise too_many(allowed, total, self.rejected, so_far=True, parameter="predict_options")

    def _read(self, tiles: Path, rows: range) -> "Generator[tuple[pa.Table, list[Record | Rejected]], None, None]":
        """Yield batches of rows with their tiles, in the order of the table."""
        options = self.plan.options
        unread = itertools.chain.from_iterable(map(to_tiles, read_rows(tiles, rows, _ROWS_AT_ONCE)))
        read = map_batches(
            lambda some: read_records(some, layout=self.layout, labels=None, cache=self.cache),
            unread,
            lambda tile: tile,
            readers=options.readers,
            tile_bytes=self.layout.tile_bytes,
            has_cache=self.cache is not None,
        )
        with contextlib.closing(read):
            waiting: list[Record | Rejected] = []
            for table in read_rows(tiles, rows, options.batch_tiles):
                while len(waiting) < table.num_rows:
                    waiting += next(read)
                yield table, waiting[: table.num_rows]
                del waiting[: table.num_rows]


def _rejection(record: Rejected) -> Rejection:
    return record.tile.tile_id, storage.shown(record.tile.uri), record.reason


def _find_layout(plan: PredictionPlan, tiles: Path, model: BundleModel, cache: TileCache | None) -> Layout:
    """Infer the layout of the tiles, and check that the model takes it."""
    info = read_tile_table_info(tiles)
    options = _with_nodata(plan.options, model)
    try:
        layout = infer_layout(sample_tiles(tiles, plan.tiles), info, model.bands, options, cache)
    except BandError as error:
        received = f"tiles with {error.found}." if isinstance(error, MissingBandError) else str(error)
        raise BandError(
            f"The tiles must have the bands of the model {model.name}: {', '.join(model.bands)}. Received: {received} "
            "If the files have them under other names, name all bands of the files with source_bands."
        ) from None
    if layout.dtype != model.dtype:
        raise ParameterError(
            f"The tiles must have the dtype of the training tiles of the model {model.name}, {model.dtype}. Received: "
            f"{layout.dtype} from {info.source}. Convert the tiles to the same digital numbers, or give another "
            "model_uri."
        )
    if layout.shape[:2] != (model.height, model.width):
        size = f"{model.height}, {model.width}"
        raise ParameterError(
            f"The tiles must have the height and width of the training tiles of the model {model.name}, "
            f"{model.height}x{model.width}. Received: {layout.shape[0]}x{layout.shape[1]} from {info.source}. If they "
            f"show the same area on the ground, set predict_options='{{\"tile_size\": [{size}]}}' to resize them."
        )
    return layout


def _with_nodata(options: PredictionOptions, model: BundleModel) -> PredictionOptions:
    """Fill nodata with the number that it has in the training tiles."""
    if options.nodata_fill is not None or model.nodata is None:
        return options
    return options.model_copy(update={"nodata_fill": model.nodata})
