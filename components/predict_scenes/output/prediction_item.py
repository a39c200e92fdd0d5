"""The STAC item of a class map.

Extensions: https://github.com/stac-extensions/classification (2.0), projection (2.0), raster (2.0), processing (1.2)
and file (2.1); bands as in STAC 1.1.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tilepipe.components.predict_scenes.blending import NODATA
from tilepipe.components.predict_scenes.output.class_colors import Color, hexadecimal
from tilepipe.components.predict_scenes.output.class_map import CLASSES, CONFIDENCE, MapGrid
from tilepipe.components.predict_scenes.output.footprint import footprint
from tilepipe.components.shared.version import VERSION

PREVIEW = "preview.png"

_EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("classification/v2.0.0", "projection/v2.0.0", "raster/v2.0.0", "processing/v1.2.0", "file/v2.1.0")
)
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True)
class Provenance:
    """Origin of a class map: scene, model and settings."""

    name: str
    """Id of the item."""
    scene: str
    """Address of the scene, without user and query of a web address."""
    scene_is_item: bool
    scene_name: str
    time: datetime | None
    """Time of the scene; None if nothing states it."""
    created: datetime
    model: str
    """Address of the model."""
    model_name: str
    model_version: str
    model_digest: str
    settings: dict[str, Any]
    """Settings of the prediction."""
    platform: str = ""


def prediction_item(
    folder: Path, grid: MapGrid, provenance: Provenance, class_names: Sequence[str], colors: Sequence[Color]
) -> dict[str, Any]:
    """Describe the maps and the preview in a folder.

    Returns:
        The item as JSON, with addresses of assets relative to the item. Without a known time of the scene, `datetime`
        is the time of the prediction.
    """
    geometry, bbox = footprint(grid)
    created = _rfc3339(provenance.created)
    authority = grid.crs.to_authority()
    code = ":".join(authority) if authority else None
    size = _metres(grid)
    model = f"{provenance.model_name}{f' {provenance.model_version}' if provenance.model_version else ''}"
    settings = ", ".join(f"{name}: {value}" for name, value in provenance.settings.items())
    common: dict[str, Any] = {"data_type": "uint8", "nodata": NODATA}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": provenance.name,
        "geometry": geometry,
        "bbox": bbox,
        "properties": {
            "datetime": _rfc3339(provenance.time) if provenance.time else created,
            "created": created,
            "title": f"Classes of {provenance.scene_name}",
            "description": f"Classes predicted by {model}" + ("" if provenance.time else "; its time is not known"),
            **({"platform": provenance.platform} if provenance.platform else {}),
            **({"gsd": size} if size else {}),
            "proj:code": code,
            **({} if code else {"proj:wkt2": grid.crs.to_wkt(version="WKT2_2019")}),
            "proj:shape": [grid.height, grid.width],
            "proj:transform": [float(value) for value in grid.transform[:6]],
            "processing:datetime": created,
            "processing:level": "L4",
            "processing:lineage": f"Windows of the scene, classified by the model {model} ({settings})",
            "processing:software": {"tilepipe": VERSION},
            "tilepipe:model_name": provenance.model_name,
            "tilepipe:model_version": provenance.model_version,
            "tilepipe:model_sha256": provenance.model_digest,
        },
        "links": [
            {
                "rel": "derived_from",
                "href": provenance.scene,
                "type": "application/geo+json" if provenance.scene_is_item else "image/tiff; application=geotiff",
                "title": f"Scene {provenance.scene_name}",
            },
            {"rel": "derived_from", "href": provenance.model, "title": f"Model {model}"},
        ],
        "assets": {
            "classes": {
                "href": f"./{CLASSES}",
                "type": _COG,
                "title": "Most probable class",
                "roles": ["data", "classification"],
                "bands": [
                    {
                        "name": "class",
                        **common,
                        "raster:sampling": "area",
                        **({"raster:spatial_resolution": size} if size else {}),
                        "classification:classes": _classes(class_names, colors),
                    }
                ],
                **_file(folder / CLASSES),
            },
            "confidence": {
                "href": f"./{CONFIDENCE}",
                "type": _COG,
                "title": "Probability of the most probable class in percent",
                "roles": ["data", "confidence"],
                "bands": [
                    {
                        "name": "confidence",
                        **common,
                        "unit": "%",
                        "raster:sampling": "area",
                        **({"raster:spatial_resolution": size} if size else {}),
                    }
                ],
                **_file(folder / CONFIDENCE),
            },
            "preview": {
                "href": f"./{PREVIEW}",
                "type": "image/png",
                "title": "Picture of the classes",
                "roles": ["overview"],
                **_file(folder / PREVIEW),
            },
        },
    }


def _classes(names: Sequence[str], colors: Sequence[Color]) -> list[dict[str, Any]]:
    """Describe the classes; the schema allows letters, digits, `-` and `_` in their names."""
    classes: list[dict[str, Any]] = []
    used: set[str] = set()
    for value, (name, color) in enumerate(zip(names, colors, strict=True)):
        plain = re.sub(r"[^0-9A-Za-z_-]+", "_", name).strip("_") or f"class_{value}"
        plain = plain if plain not in used else f"{plain}_{value}"
        used.add(plain)
        classes.append({"value": value, "name": plain, "title": name, "color_hint": hexadecimal(color).upper()})
    return [*classes, {"value": NODATA, "name": "nodata", "title": "No class", "nodata": True}]


def _metres(grid: MapGrid) -> float | None:
    """Return the size of a pixel in metres; None for a reference system in degrees."""
    if not grid.crs.is_projected:
        return None
    return round(float(abs(grid.transform.determinant) ** 0.5 * grid.crs.linear_units_factor[1]), 6)


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file:size": path.stat().st_size, "file:checksum": f"1220{digest}"}


def _rfc3339(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
