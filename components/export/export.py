"""Export a trained model: ONNX with the predictions of Keras, a STAC item, a model card and a bundle of all of them."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tilepipe.components.export.config import ExportConfig
from tilepipe.components.export.description import Description, Extent, read_evaluation
from tilepipe.components.export.formats import make_formats, sample_batches
from tilepipe.components.export.mlm_item import asset_fields, model_item
from tilepipe.components.export.model_card import render_card
from tilepipe.components.export.onnx_graph import convert_to_onnx, write_onnx
from tilepipe.components.export.parity import check_parity, compare, open_session
from tilepipe.components.shared.contracts.bundle import as_json, write_bundle
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.contracts.model_file import load_model
from tilepipe.components.shared.contracts.samples import read_samples
from tilepipe.components.shared.storage.atomic import whole_file, write_whole
from tilepipe.components.shared.storage.place import Place
from tilepipe.components.shared.version import VERSION

logger = logging.getLogger("tilepipe.export")

BUNDLE, ONNX, ITEM, CARD = "model.tar.gz", "model.onnx", "item.json", "README.md"
_PACKAGES = ("keras", "tensorflow", "onnx", "onnxruntime", "tf2onnx")


@dataclass(frozen=True)
class Inputs:
    """Files and folders that the step reads."""

    tiles: Path
    samples: Path
    manifest: Path
    model: Path
    history: Path
    metrics: Path
    confusion: Path


@dataclass(frozen=True)
class Outputs:
    """Files that the step writes."""

    onnx_model: Path
    bundle: Path
    card: Path
    item: Path


def export(config: ExportConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Export a model, compare it with Keras and bundle it.

    No output appears unless the comparison succeeds.

    Returns:
        Facts for the metadata of the ONNX artifact.

    Raises:
        ArtifactError: An input is damaged or of another run, or ONNX predicts otherwise than Keras.
        StorageError: The bundle cannot be copied to `bundle_uri`.
    """
    manifest = read_manifest(inputs.manifest)
    evaluation = read_evaluation(inputs.metrics, inputs.confusion, inputs.history, manifest)
    samples = read_samples(inputs.samples, manifest)
    model = load_model(inputs.model, manifest)
    network = model.name
    name = config.name or _file_name(f"{manifest.name}-{network}")
    with whole_file(outputs.onnx_model) as partial:
        graph = convert_to_onnx(model, dtype=manifest.dtype, opset=config.options.opset, name=name)
        write_onnx(graph, partial)
        batches = sample_batches(samples, config.options)
        parity = compare(model.predict_on_batch, open_session(partial), batches, samples.split)
        check_parity(parity, config.options.max_difference)
        formats = make_formats(config.options, model, manifest.dtype, samples, partial)
    description = Description(
        name=name,
        created=datetime.now(UTC),
        manifest=manifest,
        extent=Extent.of(inputs.tiles),
        parity=parity,
        formats=formats,
        network=network,
        parameters=model.count_params(),
        versions={"tilepipe": VERSION, **{package: version(package) for package in _PACKAGES}},
        **evaluation,
    )
    digest = _write(description, inputs, outputs)
    logger.info(
        "ONNX differs from Keras by up to %.2g on %s tiles; %.0f tiles per second, Keras %.0f",
        parity.max_difference,
        f"{parity.tiles:,}",
        parity.tiles_per_second,
        parity.keras_tiles_per_second,
    )
    address = _copy(config, description, outputs)
    return {
        "name": name,
        "opset": config.options.opset,
        "ir_version": graph.ir_version,
        "bundle_sha256": digest,
        **({"bundle_uri": address} if address else {}),
        **parity.facts(),
        **formats.facts,
    }


def _write(description: Description, inputs: Inputs, outputs: Outputs) -> str:
    """Write item, card and bundle; return the digest of the bundle."""
    content = outputs.onnx_model.read_bytes()
    card = render_card(description).encode()
    manifest = description.manifest
    files = {
        CARD: card,
        ONNX: content,
        "model.keras": inputs.model.read_bytes(),
        ITEM: as_json(model_item(description, asset_fields(ONNX, content))),
        "manifest.json": inputs.manifest.read_bytes(),
        "labels.json": as_json(dict(enumerate(manifest.class_names))),
        "bands.json": as_json(
            {
                "bands": [statistics.model_dump() for statistics in manifest.statistics],
                "dtype": manifest.dtype,
                "height": manifest.height,
                "width": manifest.width,
                "nodata": manifest.nodata,
                **({"product": manifest.product.model_dump(mode="json")} if manifest.product else {}),
            }
        ),
        "classification_report.json": as_json(description.classification_report()),
        "confusion_matrix.json": inputs.confusion.read_bytes(),
        "figures.json": as_json(description.metrics),
        "configuration.json": as_json(_configuration(description)),
        **description.formats.files,
    }
    digest = write_bundle(files, outputs.bundle)
    item = _item(description, content, outputs.bundle, outputs.onnx_model.name, outputs.bundle.name)
    for path, data in ((outputs.item, item), (outputs.card, card)):
        write_whole(path, data)
    return digest


def _item(description: Description, content: bytes, bundle: Path, onnx_name: str, bundle_name: str) -> bytes:
    """Return the item for the folder with the ONNX file and the bundle."""
    onnx, packed = asset_fields(onnx_name, content), asset_fields(bundle_name, bundle.read_bytes())
    return as_json(model_item(description, onnx, packed))


def _configuration(description: Description) -> dict[str, Any]:
    manifest, history = description.manifest, description.history
    return {
        "name": description.name,
        "network": description.network,
        "parameters": description.parameters,
        "dataset": json.loads(manifest.model_dump_json(include={"name", "source", "snapshot", "digest"})),
        "best_epoch": history.best_epoch,
        "best_metric": history.metric,
        "epochs": len(history.epochs),
        "parity": {**description.parity.facts(), **description.formats.facts},
        "versions": description.versions,
    }


def _copy(config: ExportConfig, description: Description, outputs: Outputs) -> str:
    """Copy bundle, ONNX, card and item to `bundle_uri`, and return the address of the bundle; empty without one."""
    if not config.bundle_uri:
        return ""
    stamp = description.created.strftime("%Y-%m-%d-%H-%M-%S")
    folder = f"{config.bundle_uri.rstrip('/')}/{description.name}-{stamp}"
    place, content = Place(folder), outputs.onnx_model.read_bytes()
    files = {
        ONNX: content,
        BUNDLE: outputs.bundle.read_bytes(),
        CARD: outputs.card.read_bytes(),
        ITEM: _item(description, content, outputs.bundle, ONNX, BUNDLE),  # last: it refers to the others
    }
    for name, data in files.items():
        place.write(name, [data], durable=True)
    address = f"{folder}/{BUNDLE}"
    logger.info("bundle copied to %s", address)
    return address


def _file_name(text: str) -> str:
    """Turn any text into a name for files and addresses."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text).strip("-._")
    return kept[:100] or "model"
