"""The model card: what a model is, what it does well and badly, and how to use it, as Markdown."""

from typing import Any

from tilepipe.components.export.description import Description
from tilepipe.components.export.onnx_graph import INPUT, OUTPUT
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import SPLITS
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.pages.formatting import plain

_RANGES = "Ranges are 95 % intervals over the tiles. "
_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "calibration_error")


def render_card(description: Description) -> str:
    """Write the model card as Markdown without inline HTML, which Kubeflow's page does not show."""
    manifest, history, parity = description.manifest, description.history, description.parity
    height, width, bands = manifest.tile_shape
    return f"""# {_text(description.name)}

Classifier of image tiles: {_text(description.network)}, {description.parameters:,} parameters, trained on \
{_text(manifest.name)}.

## Input and output

| | |
| --- | --- |
| `{INPUT}` | {manifest.dtype}, `(batch, {height}, {width}, {bands})`, digital numbers; scaling is part of the model |
| bands | {", ".join(map(_text, manifest.bands))} |
| nodata | {"none" if manifest.nodata is None else f"{manifest.nodata:g}"} |
| `{OUTPUT}` | float32, `(batch, {len(manifest.class_names)})` |
| classes | {", ".join(map(_text, manifest.class_names))} |

## Data

| split | tiles |
| --- | --- |
{_rows([(split, f"{manifest.splits[split].tiles:,}") for split in SPLITS])}

Source: {_text(manifest.source)}{f", as of {_text(manifest.snapshot)}" if manifest.snapshot else ""}. Digest of the \
packed data: `{manifest.digest}`.
{_product(manifest.product)}
## Figures

| figure | {" | ".join(_splits(description))} |
| --- |{" --- |" * len(_splits(description))}
{_rows(_figures(description))}

{_RANGES if description.intervals else ""}The weights are those of epoch {history.best_epoch} of \
{len(history.epochs)}, {_choice(history)}.

## Weakest classes

| class | F1 on {description.split} | tiles |
| --- | --- | --- |
{_rows([(_text(name), f"{f1:.3f}", f"{tiles:,}") for name, f1, tiles in description.weakest_classes()])}

## ONNX and Keras

On {parity.tiles:,} tiles of {parity.split} the probabilities of `model.onnx` differ from those of Keras by up to \
{parity.max_difference:.2g}, and {parity.differing_labels:,} tiles get another class. On the CPU of the export, \
onnxruntime classified {parity.tiles_per_second:,.0f} tiles per second and Keras {parity.keras_tiles_per_second:,.0f}.

{_formats(description)}## Use

Made for tiles of the bands, units and kind of place above. The figures hold for tiles that are drawn as the \
{description.split} split was; another sensor, product level, region or season needs an evaluation of its own.

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(None, {{"{INPUT}": tiles}})
```

## Versions

{_rows([(name, version) for name, version in description.versions.items()], head="| package | version |")}
"""


def _choice(history: History) -> str:
    """Say why the model has the weights of its epoch."""
    return f"chosen by {_text(history.metric)}" if history.has_validation else "the last, without validation tiles"


def _splits(description: Description) -> list[str]:
    return [split for split in SPLITS if f"{split}_accuracy" in description.metrics]


def _figures(description: Description) -> list[tuple[str, ...]]:
    return [
        (
            name.replace("_", " "),
            *(_figure(description, split, name) for split in _splits(description)),
        )
        for name in _FIGURES
    ]


def _figure(description: Description, split: str, name: str) -> str:
    """Format a figure, with its 95 % interval where one was computed."""
    value = description.metrics.get(f"{split}_{name}")
    if value is None:
        return ""
    interval = description.intervals.get(name) if split == description.split else None
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")


def _formats(description: Description) -> str:
    """Write the section on further formats; empty without any."""
    if not description.formats.lines:
        return ""
    return f"""## Further formats

{_rows(list(description.formats.lines), head="| file | |")}

"""


def _product(product: Product) -> str:
    """Write what the source states about the product of the tiles; empty if nothing."""
    if not product:
        return ""
    rows: list[tuple[str, ...]] = [(name, _text(text)) for name, text in product.lines()]
    return f"""
The source states of the tiles:

{_rows(rows, head="| product | |")}
"""


def _rows(rows: list[tuple[str, ...]], head: str = "") -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "| --- | --- |", *lines] if head else lines)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever came from outside
    """Escape text from outside for Markdown, without control characters."""
    return plain("".join(c for c in str(value) if c.isprintable() or c.isspace()))
