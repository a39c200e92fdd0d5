"""The STAC item of an exported model, with the Machine Learning Model (MLM) extension.

Fields follow https://github.com/stac-extensions/mlm, version 1.5.2.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from tilepipe.components.export.description import Description
from tilepipe.components.export.onnx_graph import INPUT, OUTPUT

MLM_SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
FILE_SCHEMA = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING_SCHEMA = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_BUNDLE = {
    "type": "application/gzip",
    "title": "The classifier with its labels, bands, figures and model card",
    "roles": ["data", "metadata"],
}
_WHOLE_EARTH = (-180.0, -90.0, 180.0, 90.0)


def asset_fields(name: str, content: bytes) -> dict[str, Any]:
    """Return address, size and checksum (SHA-256 as a multihash) of a file beside an item."""
    checksum = f"1220{hashlib.sha256(content).hexdigest()}"
    return {"href": f"./{name}", "file:size": len(content), "file:checksum": checksum}


def model_item(
    description: Description, onnx: Mapping[str, Any], bundle: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Describe a model for programs that read STAC: its input, bands, scaling, output and classes.

    Args:
        description: Facts about the model.
        onnx: Fields of the ONNX file, from `asset_fields`.
        bundle: Those of the bundle. Defaults to None, as for the item within it.

    Returns:
        The item as JSON. If the tiles have no coordinates, its geometry is the whole Earth: an item without a geometry
        makes a GeoParquet table of items unreadable.
    """
    bbox = description.extent.bbox or _WHOLE_EARTH
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    created = _rfc3339(description.created)
    start, end = description.extent.start, description.extent.end
    times: dict[str, str | None] = {"datetime": created}
    if start and end:
        times = {"datetime": None, "start_datetime": _rfc3339(start), "end_datetime": _rfc3339(end)}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM_SCHEMA, FILE_SCHEMA, *([PROCESSING_SCHEMA] if _level(description) else [])],
        "id": description.name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": list(bbox),
        "properties": {
            **times,
            "created": created,
            "description": f"Classifier of image tiles, trained on {description.manifest.name}",
            # The bands of `mlm:input` must be described here, and then STAC wants them at an asset too.
            "bands": [{"name": band, **_unit(description)} for band in description.manifest.bands],
            **_product(description),
            "mlm:name": description.name,
            "mlm:architecture": description.network,
            "mlm:tasks": ["scene-classification"],
            "mlm:framework": "ONNX",
            "mlm:framework_version": description.versions["onnx"],
            "mlm:total_parameters": description.parameters,
            "mlm:pretrained": True,
            "mlm:pretrained_source": description.manifest.name,
            "mlm:batch_size_suggestion": 64,
            "mlm:accelerator": "amd64",
            "mlm:accelerator_constrained": False,
            "mlm:input": [_input(description)],
            "mlm:output": [_output(description)],
        },
        "links": [],
        "assets": {
            "model": {
                **onnx,
                "type": "application/octet-stream; framework=onnx",
                "title": "Classifier as ONNX",
                "roles": ["mlm:model", "data"],
                "bands": [{"name": band} for band in description.manifest.bands],
                "mlm:artifact_type": "onnx",
            },
            **({} if bundle is None else {"bundle": {**bundle, **_BUNDLE}}),
        },
    }


def _input(description: Description) -> dict[str, Any]:
    manifest = description.manifest
    height, width, bands = manifest.tile_shape
    return {
        "name": INPUT,
        "description": "Digital numbers of a tile; scaling and indices are part of the model",
        "bands": [{"name": band} for band in manifest.bands],
        "input": {
            "shape": [-1, height, width, bands],
            "dim_order": ["batch", "height", "width", "bands"],
            "data_type": manifest.dtype,
        },
        "value_scaling": None,  # none outside of the model
        "resize_type": None,
        "statistics": [
            {"mean": s.mean, "stddev": s.std, "minimum": s.minimum, "maximum": s.maximum} for s in manifest.statistics
        ],
    }


def _product(description: Description) -> dict[str, Any]:
    """Return what all training tiles state about their product, as STAC fields."""
    product = description.manifest.product
    stated = {
        "platform": product.platforms[0] if len(product.platforms) == 1 else None,
        "instruments": list(product.instruments) or None,
        "processing:level": _level(description) or None,
        "s2:processing_baseline": product.baselines[0] if len(product.baselines) == 1 else None,
        "earthsearch:boa_offset_applied": product.offset_applied,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _level(description: Description) -> str:
    levels = description.manifest.product.levels
    return levels[0] if len(levels) == 1 else ""


def _unit(description: Description) -> dict[str, str]:
    units = description.manifest.product.units
    return {"unit": units[0]} if len(units) == 1 else {}


def _output(description: Description) -> dict[str, Any]:
    names = description.manifest.class_names
    return {
        "name": OUTPUT,
        "description": "Probability of each class",
        "tasks": ["scene-classification"],
        "result": {"shape": [-1, len(names)], "dim_order": ["batch", "class"], "data_type": "float32"},
        # MLM 1.5 refers to version 1.1 of the classification extension, which requires descriptions.
        "classification:classes": [
            {"value": index, "name": name, "description": name} for index, name in enumerate(names)
        ],
    }


def _rfc3339(time: Any) -> str:  # noqa: ANN401 - datetime, with or without a zone
    return str(time.strftime("%Y-%m-%dT%H:%M:%SZ"))
