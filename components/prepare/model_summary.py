"""Summary of a model as Markdown, which Kubeflow shows with the step."""

import math
from collections.abc import Iterable, Sequence
from itertools import chain

import keras  # noqa: TID253 - this module is about Keras, and only functions import it

from tilepipe.components.prepare.config import ModelOptions
from tilepipe.components.prepare.flops import Cost, cost, leaves, multiply_adds
from tilepipe.components.prepare.networks.indices import find_indices
from tilepipe.components.prepare.networks.seen_bands import with_seen_bands
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.pages.formatting import markdown_table, plain

_Row = tuple[str, str, str, str, str]


def render_summary(model: keras.Model, manifest: Manifest, options: ModelOptions, weights: str) -> str:
    """Describe a model, and where its first weights are from, as Markdown without inline HTML.

    Kubeflow does not render HTML in Markdown.
    """
    height, width, bands = manifest.tile_shape
    lines = [
        f"# Model `{model.name}`",
        "",
        f"Takes tiles of {height} x {width} pixels with {bands} band{'' if bands == 1 else 's'}, as raw digital "
        f"numbers ({manifest.dtype}), and gives a probability for each of {len(manifest.class_names)} classes. "
        f"Works at {_sides(model)} pixels.",
        "",
        f"**{model.count_params():,} parameters**. First weights: {plain(weights)}.",
        "",
        *_cost_table(model, cost(model)),
        "",
        "## Layers",
        "",
        *markdown_table(
            ("layer", "kind", "output", "parameters", "million multiply-adds"),
            chain.from_iterable(_rows(layer) for layer in model.layers),
            names=3,
        ),
        "",
        "## Scaled inside the model",
        "",
        "To (value - mean) / deviation.",
        "",
        *markdown_table(("channel", "mean", "deviation"), _scaling_rows(model, manifest, options)),
        "",
        *_index_lines(manifest, options),
        "## Classes",
        "",
        *(f"{index}. {plain(name)}" for index, name in enumerate(manifest.class_names)),
    ]
    return "\n".join(lines) + "\n"


def _cost_table(model: keras.Model, counted: Cost) -> list[str]:
    trainable = _count(model.trainable_weights)
    # BatchNormalization's running statistics are never trainable, so they do not count as frozen.
    running = sum(_count(_running(layer)) for layer in leaves(model))
    mebibyte = 2**20
    return markdown_table(
        ("", ""),
        [
            ("trainable parameters", f"{trainable:,}"),
            ("frozen parameters", f"{model.count_params() - trainable - running:,}"),
            ("running means and variances", f"{running:,}"),
            ("weights as float32", f"{counted.weight_bytes / mebibyte:.2f} MiB"),
            ("operations per tile", f"{counted.flops / 1e6:,.1f} MFLOPs"),
            ("multiply-adds per tile", f"{counted.multiply_adds / 1e6:,.1f} million"),
            ("outputs of all layers per tile", f"{counted.activation_bytes / mebibyte:.2f} MiB"),
        ],
    )


def _rows(layer: keras.Layer) -> list[_Row]:
    """Build one row for a layer, or one per resolution of a nested network."""
    if not isinstance(layer, keras.Model):
        return [_row(plain(layer.name), type(layer).__name__, [layer])]
    rows = []
    for group in _by_resolution(layer):
        counted = sum(isinstance(member, keras.layers.Conv2D | keras.layers.DepthwiseConv2D) for member in group)
        name = plain(f"{group[0].name} to {group[-1].name}")
        rows.append(_row(name, f"{len(group)} layers, {counted} convolutions", group))
    return rows


def _row(name: str, kind: str, layers: Sequence[keras.Layer]) -> _Row:
    # The last layer of a resolution may be the padding for the next one.
    shape = " x ".join(str(side) for side in (*layers[0].output.shape[1:-1], layers[-1].output.shape[-1]))
    parameters = sum(layer.count_params() for layer in layers)
    return name, kind, shape, f"{parameters:,}", f"{sum(map(multiply_adds, layers)) / 1e6:,.2f}"


def _by_resolution(backbone: keras.Model) -> list[list[keras.Layer]]:
    """Group layers; each group ends where a convolution or pooling reduces the feature map."""
    groups: list[list[keras.Layer]] = [[]]
    area = math.inf
    for layer in leaves(backbone):
        sides = layer.output.shape[1:-1]
        smaller = math.prod(sides) < area
        # A single pixel belongs to squeeze-and-excitation inside a block, except in the last layers.
        if len(sides) == 2 and smaller and (math.prod(sides) > 1 or backbone.output.shape[1:-1] == (1, 1)):
            area = math.prod(sides)
            if groups[-1]:
                groups.append([])
        groups[-1].append(layer)
    return groups


def _scaling_rows(model: keras.Model, manifest: Manifest, options: ModelOptions) -> list[tuple[str, str, str]]:
    standardise = model.get_layer("standardise")
    means = keras.ops.convert_to_numpy(standardise.mean).ravel()
    deviations = keras.ops.convert_to_numpy(standardise.variance).ravel() ** 0.5
    names = (*with_seen_bands(manifest, options.bands).bands, *options.indices)
    return [
        (plain(name), f"{mean:,.2f}", f"{deviation:,.2f}")
        for name, mean, deviation in zip(names, means, deviations, strict=True)
    ]


def _index_lines(manifest: Manifest, options: ModelOptions) -> list[str]:
    indices = find_indices(options.indices, manifest.bands, options.sensor, manifest.common_names, manifest.platform)
    if not indices:
        return []
    table = markdown_table(
        ("index", "formula"), [(plain(index.name), plain(index.formula)) for index in indices], names=2
    )
    return ["## Indices", "", "Further channels, within -1 and 1, 0 where nothing is divided by.", "", *table, ""]


def _sides(model: keras.Model) -> str:
    resizing = [layer for layer in model.layers if isinstance(layer, keras.layers.Resizing)]
    height, width = (resizing[0].output if resizing else model.input).shape[1:3]
    return f"{height} x {width}"


def _running(layer: keras.Layer) -> list[keras.Variable]:
    if isinstance(layer, keras.layers.BatchNormalization):
        return [layer.moving_mean, layer.moving_variance]
    return layer.weights if isinstance(layer, keras.layers.Normalization) else []


def _count(weights: Iterable[keras.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
