"""The model in a page of Markdown, which Kubeflow shows beside the step."""

from typing import TYPE_CHECKING

from tilepipe.components.shared.manifest import Manifest
from tilepipe.components.shared.text import markdown_table, plain

if TYPE_CHECKING:
    import keras


def render_summary(model: "keras.Model", manifest: Manifest) -> str:
    """Describe a model.

    Args:
        model: what was built.
        manifest: what it was built for.

    Returns:
        Markdown without inline HTML, which Kubeflow would not show.
    """
    height, width, bands = manifest.tile_shape
    trainable = sum(_count(weight) for weight in model.trainable_weights)
    mebibytes = sum(_count(weight) * 4 for weight in model.weights) / 2**20
    lines = [
        f"# Model `{model.name}`",
        "",
        f"Takes tiles of {height} x {width} pixels with {bands} band{'' if bands == 1 else 's'}, as raw digital "
        f"numbers ({manifest.dtype}), and gives a probability for each of {len(manifest.class_names)} classes.",
        "",
        f"**{model.count_params():,} parameters** ({trainable:,} trainable), {mebibytes:.2f} MiB as float32.",
        "",
        *markdown_table(
            ("layer", "kind", "output", "parameters"),
            [
                (plain(layer.name), type(layer).__name__, _shape(layer), f"{layer.count_params():,}")
                for layer in model.layers
            ],
            names=3,
        ),
        "",
        "## Standardised inside the model",
        "",
        "By mean and standard deviation over the training tiles.",
        "",
        *markdown_table(
            ("band", "mean", "standard deviation"),
            [(plain(band.band), f"{band.mean:,.2f}", f"{band.std:,.2f}") for band in manifest.statistics],
        ),
        "",
        "## Classes",
        "",
        *(f"{index}. {plain(name)}" for index, name in enumerate(manifest.class_names)),
    ]
    return "\n".join(lines) + "\n"


def _shape(layer: "keras.Layer") -> str:
    shape = layer.output.shape[1:]
    return " x ".join(str(side) for side in shape)


def _count(weight: "keras.Variable") -> int:
    count = 1
    for side in weight.shape:
        count *= side
    return count
