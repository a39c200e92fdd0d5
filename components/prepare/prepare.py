"""Build the model that `train` starts from."""

import logging
from pathlib import Path
from typing import Any

from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.shared.atomic import whole_file
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.manifest import read_manifest
from tilepipe.components.shared.models import load_tensorflow

logger = logging.getLogger("tilepipe.prepare")


def prepare(config: PrepareConfig, manifest_path: Path, base_model: Path, summary: Path) -> dict[str, Any]:
    """Build, compile and save a model; the same manifest and seed give the same weights.

    Args:
        config: the parameters.
        manifest_path: the manifest that `pack` wrote.
        base_model: the `.keras` file to appear.
        summary: the Markdown file to appear.

    Returns:
        What the model's artifact shall say of it.

    Raises:
        ArtifactError: the manifest is damaged, or names fewer than two classes.
    """
    manifest = read_manifest(manifest_path)
    if len(manifest.class_names) < 2:
        raise ArtifactError(
            "A classifier needs two classes at least. "
            f"Received: class_names={list(manifest.class_names)}. Give `ingest` a source with labels of two classes."
        )
    load_tensorflow()
    import keras

    from tilepipe.components.prepare.architectures import build_model
    from tilepipe.components.prepare.summary import render_summary

    keras.utils.set_random_seed(config.seed)
    model = build_model(config.architecture, manifest, config.options)
    with whole_file(base_model) as partial:
        model.save(partial)
    with whole_file(summary) as partial:
        partial.write_text(render_summary(model, manifest), encoding="utf-8")
    parameters = model.count_params()
    shape = " x ".join(map(str, manifest.tile_shape))
    logger.info("%s for tiles of %s: %s parameters", model.name, shape, f"{parameters:,}")
    return {
        "framework": f"keras {keras.version()}",
        "architecture": config.architecture,
        "parameters": parameters,
        "classes": len(manifest.class_names),
    }
