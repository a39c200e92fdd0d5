"""Build the model that `train` starts from."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.prepare.networks.freezing import freeze
from tilepipe.components.prepare.networks.seen_bands import with_seen_bands
from tilepipe.components.prepare.weights.band_weights import input_scaling
from tilepipe.components.prepare.weights.weights import IMAGENET, load_weights
from tilepipe.components.shared.contracts.manifest import Manifest, read_manifest
from tilepipe.components.shared.contracts.model_file import load_tensorflow
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import whole_file, write_whole
from tilepipe.components.shared.storage.storage import shown

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("tilepipe.prepare")


def prepare(config: PrepareConfig, manifest_path: Path, base_model: Path, summary: Path) -> dict[str, Any]:
    """Build, compile and save a model; the same manifest and seed give the same weights.

    Returns:
        Metadata for the artifact of the model.

    Raises:
        ArtifactError: the manifest is damaged or has fewer than two classes.
        BandError: the tiles lack a band that `bands` or an index names, or the red, green and blue bands are ambiguous.
        ParameterError: the weights are those of another architecture, or `trainable_blocks` exceeds the blocks.
        SourceError: the weights are missing, damaged, or have another checksum.
    """
    manifest = read_manifest(manifest_path)
    if len(manifest.class_names) < 2:
        raise ArtifactError(
            "A classifier needs at least two classes. "
            f"Received: class_names={list(manifest.class_names)}. Give `ingest` a source with labels of two classes."
        )
    load_tensorflow()
    import keras

    from tilepipe.components.prepare.model_summary import render_summary

    keras.utils.set_random_seed(config.seed)
    model, source = _build(config, manifest)
    with whole_file(base_model) as partial:
        model.save(partial)
    write_whole(summary, render_summary(model, manifest, config.options, source))
    parameters = model.count_params()
    shape = " x ".join(map(str, manifest.tile_shape))
    logger.info("%s for tiles of %s: %s parameters", model.name, shape, f"{parameters:,}")
    return {
        "framework": f"keras {keras.version()}",
        "architecture": config.architecture,
        "parameters": parameters,
        "weights": source,
        "classes": len(manifest.class_names),
    }


def _build(config: PrepareConfig, manifest: Manifest) -> tuple["keras.Model", str]:
    """Build the model with its initial weights, and return it with their source."""
    from tilepipe.components.prepare.networks.architectures import build_backbone, build_model
    from tilepipe.components.prepare.networks.preprocessing import INDEX_STATISTICS

    options = config.options
    if not config.weights_uri:
        return build_model(config.architecture, manifest, options), f"random, seed {config.seed}"
    backbone = build_backbone(config.architecture, manifest, options)
    seen = with_seen_bands(manifest, options.bands)
    digest, scaling = load_weights(
        backbone,
        config.architecture,
        config.weights_uri,
        options.weights_sha256,
        channels=(*seen.bands, *options.indices),
        rgb_bands=options.rgb_bands,
        common_names=seen.common_names,
        platform=manifest.platform,
    )
    freeze(backbone, config.architecture, options.trainable_backbone, options.trainable_blocks)
    if options.input_scaling != "auto":
        scaling = None
    elif scaling is None:
        computed = [INDEX_STATISTICS] * len(options.indices)
        scaling = input_scaling(config.architecture, seen, options.rgb_bands, computed)
    model = build_model(config.architecture, manifest, options, backbone=backbone, scaling=scaling)
    name = "Keras, trained on ImageNet" if digest == IMAGENET else f"{shown(config.weights_uri)}, SHA-256 {digest}"
    return model, name
