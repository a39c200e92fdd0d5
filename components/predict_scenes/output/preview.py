"""Picture of a class map, and a page with its legend."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilepipe.components.predict_scenes.blending import NODATA
from tilepipe.components.predict_scenes.output.class_colors import Color, hexadecimal
from tilepipe.components.predict_scenes.output.class_map import ClassCounts
from tilepipe.components.predict_scenes.output.prediction_item import Provenance
from tilepipe.components.shared.inference.drift import METHODS, Drift
from tilepipe.components.shared.pages import formatting
from tilepipe.components.shared.pages.dark_style import DARK_STYLE
from tilepipe.components.shared.pages.markup import Markup, element
from tilepipe.components.shared.pages.page import facts, figures, headings, html_page, number, section, table
from tilepipe.components.shared.pages.style import PAGE_STYLE

_LEAST_PIXELS = 512
_STYLE = (
    PAGE_STYLE
    + """
.map{display:block;width:100%;max-width:40rem;margin:.8rem 0 0;image-rendering:pixelated;border:1px solid var(--line)}
.swatch{display:inline-block;width:.9rem;height:.9rem;margin-right:.5rem;vertical-align:-.1rem;border:1px solid #0003}
"""
    + DARK_STYLE
)


@dataclass(frozen=True)
class PreviewFacts:
    """Figures that the page shows."""

    windows: int
    classified: int
    """Windows that had enough valid pixels."""
    map_size: tuple[int, int]
    """Height and width of the class map."""
    pixel: str
    """Size of a pixel of the map, with its unit."""


def preview_png(classes: npt.NDArray[np.uint8], colors: Sequence[Color]) -> bytes:
    """Draw a class map, `(height, width)`, as a PNG with transparent nodata; small maps are enlarged unsmoothed."""
    from PIL import Image

    factor = max(1, _LEAST_PIXELS // max(classes.shape))
    enlarged = classes.repeat(factor, axis=0).repeat(factor, axis=1)
    picture = Image.fromarray(enlarged).convert("P")
    flat = [part for color in colors for part in color]
    picture.putpalette(flat + [0] * (3 * (NODATA + 1) - len(flat)))
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=NODATA, optimize=True)
    return file.getvalue()


def preview_page(
    picture: bytes,
    counts: ClassCounts,
    class_names: Sequence[str],
    colors: Sequence[Color],
    provenance: Provenance,
    shown: PreviewFacts,
    drift: Drift,
) -> str:
    """Write a page with the picture, a legend with the share and confidence of each class, and scene and model.

    The HTML is self-contained.
    """
    total = int(counts.pixels.sum())
    mean = counts.confidence.sum() / total / 100 if total else float("nan")
    source = "data:image/png;base64," + base64.b64encode(picture).decode()
    seen = sorted(range(len(class_names)), key=lambda place: (-counts.pixels[place], place))
    rows = [_row(class_names[place], colors[place], counts, place, total) for place in seen]
    height, width = shown.map_size
    model = f"{provenance.model_name} {provenance.model_version}".strip()
    return html_page(
        f"Classes of {provenance.scene_name}",
        _STYLE,
        element("p", "Predicted classes", class_="over"),
        element("h1", formatting.breakable(provenance.scene_name)),
        figures(
            [
                ("windows classified", f"{shown.classified:,}", f"of {shown.windows:,}; the others are nodata"),
                ("mean confidence", formatting.percent(mean), "probability of the most probable class"),
                ("class map", f"{width:,} {formatting.TIMES} {height:,}", f"pixels of {shown.pixel}"),
                ("without a class", formatting.percent(counts.nodata / (width * height)), "of the pixels"),
            ]
        ),
        section(
            "Map",
            "Nodata is transparent. The files beside this page hold the map at full size.",
            element("img", src=source, alt=f"Map of {len(class_names)} classes", class_="map"),
        ),
        section("Classes", None, table("Classes", headings("class", "#pixels", "#share", "#mean confidence"), rows)),
        section("Drift", _drift_note(drift), _drift_table(drift)),
        section(
            "Scene and model",
            None,
            facts(
                [
                    ("scene", element("code", provenance.scene)),
                    ("time", f"{provenance.time:%Y-%m-%d %H:%M} UTC" if provenance.time else "not known"),
                    ("model", model),
                    ("bundle", element("code", provenance.model)),
                    ("SHA-256", element("code", provenance.model_digest)),
                    *((name, str(value)) for name, value in provenance.settings.items()),
                ]
            ),
        ),
    )


def _drift_note(drift: Drift) -> str:
    against = f" Classes are compared with {drift.reference}." if drift.reference else ""
    return f"Distances from the training data; 0 is none. A scene has other shares of classes than a data set.{against}"


def _drift_table(drift: Drift) -> Markup:
    rows = [
        element("tr", element("td", kind), number(f"{value:.3f}"), element("td", METHODS[kind]))
        for kind, value in drift.values.items()
    ]
    return table("Drift", headings("of", "#distance", "method"), rows, wide=True)


def _row(name: str, color: Color, counts: ClassCounts, place: int, total: int) -> Markup:
    pixels = int(counts.pixels[place])
    confidence = counts.confidence[place] / pixels / 100 if pixels else float("nan")
    swatch = element("span", class_="swatch", style=f"background:#{hexadecimal(color)}")
    return element(
        "tr",
        element("th", swatch, element("span", formatting.breakable(name), class_="name"), scope="row"),
        number(f"{pixels:,}"),
        number(formatting.percent(pixels / total if total else float("nan"))),
        number(formatting.percent(confidence)),
    )
