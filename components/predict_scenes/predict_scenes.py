"""Classify the windows of a scene, and write a class map with its confidence, STAC item and preview."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from tilepipe.components.predict_scenes.blending import MAX_CLASSES
from tilepipe.components.predict_scenes.classification import classify
from tilepipe.components.predict_scenes.config import PredictScenesConfig
from tilepipe.components.predict_scenes.output.class_colors import class_colors
from tilepipe.components.predict_scenes.output.class_map import CLASSES, CONFIDENCE, MapGrid, open_maps, read_preview
from tilepipe.components.predict_scenes.output.prediction_item import PREVIEW, Provenance, prediction_item
from tilepipe.components.predict_scenes.output.preview import PreviewFacts, preview_page, preview_png
from tilepipe.components.predict_scenes.scene.affine_maps import rescale
from tilepipe.components.predict_scenes.scene.gdal_access import gdal_environment
from tilepipe.components.predict_scenes.scene.product_checks import Sample, check_product, choose_conversion
from tilepipe.components.predict_scenes.scene.scene_grid import Conversion, SceneGrid, TileFormat, open_grid
from tilepipe.components.predict_scenes.scene.scene_source import Scene, open_scene
from tilepipe.components.predict_scenes.scene_drift import compare_scene, track_scene
from tilepipe.components.predict_scenes.windows import WindowPlan, plan_windows
from tilepipe.components.shared.contracts.bundle import as_json
from tilepipe.components.shared.errors import ArtifactError, SourceError
from tilepipe.components.shared.inference.bundle_model import BundleModel, open_model
from tilepipe.components.shared.inference.drift import check_drift
from tilepipe.components.shared.inference.prediction_plan import DriftKind
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.atomic import whole_folder, write_whole
from tilepipe.components.shared.storage.item_hrefs import is_item
from tilepipe.components.shared.storage.place import Place
from tilepipe.components.shared.tracking import tracking

logger = logging.getLogger("tilepipe.predict_scenes")

ITEM = "item.json"


@dataclass(frozen=True)
class Outputs:
    """What the step writes."""

    prediction: Path
    """Folder with the maps, the item and the picture."""
    page: Path


def predict_scenes(config: PredictScenesConfig, outputs: Outputs) -> dict[str, Any]:
    """Classify a scene.

    Args:
        config: Parameters of the step.
        outputs: What to write; nothing appears unless the whole scene was classified.

    Returns:
        Facts for the metadata of the artifact.

    Raises:
        ArtifactError: The model cannot be used.
        BandError: The scene lacks a band of the model.
        SourceError: The scene does not exist, differs from the training tiles, is too small, or has no valid pixels.
        DriftError: The drift exceeds a limit; then nothing but the page is kept.
        TrackingError: The tracking server does not accept the results.
        StorageError: The scene cannot be read, or the results cannot be copied.
    """
    model = open_model(config.model_uri, parameter="model_uri")
    if len(model.class_names) > MAX_CLASSES:
        raise ArtifactError(
            f"A class map holds at most {MAX_CLASSES} classes. Received: {model.name} with {len(model.class_names)}."
        )
    colors = class_colors(model.class_names, config.options.class_colors)
    with gdal_environment():
        scene = open_scene(config, model.bands)
        conversion = choose_conversion(scene, model.statistics, config.options, model.product)
        with open_grid(scene, _tile_format(model), config.options, conversion) as grid:
            plan = plan_windows(
                (grid.height, grid.width),
                (model.height, model.width),
                config.stride_pixels,
                config.options.resolution,
                grid.name,
            )
            sample = check_product(scene, grid, model.statistics, config.options, model.product)
            provenance = _provenance(scene, model, conversion, plan)
            with whole_folder(outputs.prediction) as folder:
                facts, run_id = _predict(config, grid, plan, model, provenance, colors, folder, outputs.page, sample)
    facts["uri"] = _copy(config, outputs, provenance.name)
    tracking.close_run(run_id, "FINISHED")
    return facts


def _tile_format(model: BundleModel) -> TileFormat:
    means = tuple(one.mean for one in model.statistics)
    return TileFormat(model.bands, model.dtype, model.nodata or 0.0, means)


def _provenance(scene: Scene, model: BundleModel, conversion: Conversion, plan: WindowPlan) -> Provenance:
    identity = hashlib.sha256(f"{scene.uri}\n{model.digest}".encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", scene.name).strip("-._")[:100] or "scene"
    settings: dict[str, Any] = {
        "tile": f"{model.height} x {model.width} pixels",
        "stride": f"{plan.down.stride} pixels",
    }
    if not conversion.is_identity:
        settings["conversion"] = f"{conversion.scale:g} * number {conversion.offset:+g}"
    if filled := [band for band in model.bands if band not in scene.files]:
        settings["filled bands"] = ", ".join(filled)
    return Provenance(
        name=f"{name}-{identity}",
        scene=storage.shown(scene.uri),
        scene_is_item=is_item(scene.uri),
        scene_name=scene.name,
        time=scene.time,
        created=datetime.now(UTC),
        model=model.address,
        model_name=model.name,
        model_version=model.version,
        model_digest=model.digest,
        settings=settings,
        platform=str(scene.properties.get("platform") or ""),
    )


def _predict(
    config: PredictScenesConfig,
    grid: SceneGrid,
    plan: WindowPlan,
    model: BundleModel,
    provenance: Provenance,
    colors: tuple[tuple[int, int, int], ...],
    folder: Path,
    page: Path,
    sample: Sample | None,
) -> tuple[dict[str, Any], str]:
    """Write the files of a prediction into a folder, and its page; return the facts and the MLflow run."""
    map_grid = MapGrid(
        grid.crs, rescale(grid.transform, plan.across.cell, plan.down.cell), plan.across.cells, plan.down.cells
    )
    tags = {
        "TILEPIPE_SCENE": provenance.scene,
        "TILEPIPE_MODEL": f"{model.name} {model.version}".strip(),
        "TILEPIPE_MODEL_SHA256": model.digest,
    }
    with open_maps(folder, map_grid, model.class_names, colors, tags) as writer:
        classified = classify(
            model,
            grid,
            plan,
            writer,
            max_nodata_percent=config.options.max_nodata_percent,
            batch_windows=config.options.batch_windows,
        )
        if not classified:
            raise SourceError(
                f"A scene must have valid pixels in a window. Received: {grid.name}, in which each window has more "
                f"than {config.options.max_nodata_percent:g} % nodata. Use another scene or max_nodata_percent."
            )
    counts = writer.counts
    picture = preview_png(read_preview(folder / CLASSES), colors)
    (folder / PREVIEW).write_bytes(picture)
    item = prediction_item(folder, map_grid, provenance, model.class_names, colors)
    (folder / ITEM).write_bytes(as_json(item))
    shown = PreviewFacts(plan.count, classified, (map_grid.height, map_grid.width), _pixel_size(map_grid))
    drift = compare_scene(model, counts, sample)
    html = preview_page(picture, counts, model.class_names, colors, provenance, shown, drift)
    write_whole(page, html)
    largest = model.class_names[int(counts.pixels.argmax())]
    logger.info(
        "%s of %s windows classified, most of them as %s; class map of %s x %s pixels",
        f"{classified:,}",
        f"{plan.count:,}",
        largest,
        f"{map_grid.width:,}",
        f"{map_grid.height:,}",
    )
    figures = {"windows": float(plan.count), "classified_windows": float(classified), **drift.scalars()}
    run_id = track_scene(config.experiment, provenance, figures, page)
    check_drift(drift, cast("Mapping[DriftKind, float]", config.options.max_drift), parameter="scene_options")
    facts = {
        "name": provenance.name,
        "windows": plan.count,
        "classified_windows": classified,
        "model": provenance.model,
        "model_sha256": model.digest,
        "scene": provenance.scene,
        **drift.scalars(),
    }
    return facts, run_id


def _pixel_size(grid: MapGrid) -> str:
    across = (grid.transform.a**2 + grid.transform.d**2) ** 0.5
    if not grid.crs.is_projected:
        return f"{across:.3g}°"
    name, metres = grid.crs.linear_units_factor
    return f"{across:.6g} {'m' if metres == 1.0 else name}"


def _copy(config: PredictScenesConfig, outputs: Outputs, name: str) -> str:
    """Copy the results to `output_uri`, the item last, and return their address; empty without one."""
    if not config.output_uri:
        return ""
    folder = f"{config.output_uri.rstrip('/')}/{name}"
    place = Place(folder)
    for file in (CLASSES, CONFIDENCE, PREVIEW, ITEM):
        place.write(file, [(outputs.prediction / file).read_bytes()], durable=True)
    logger.info("results copied to %s", folder)
    return folder
