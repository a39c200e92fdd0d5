"""The product that tiles or a scene come from, as far as its source states it: level, sensor, baseline, unit."""

import re
from collections.abc import Iterable
from typing import ClassVar

from tilepipe.components.shared.contracts.json_model import SparseModel

SHIFTED_FROM = "04.00"
"""Sentinel-2 processing baseline (January 2022) since which all digital numbers have an offset:
https://sentinels.copernicus.eu/web/sentinel/-/copernicus-sentinel-2-major-products-upgrade-upcoming"""
OFFSET = 1000.0

_SATELLITE = re.compile(r"(sentinel-?\d|landsat-?\d)")


class Product(SparseModel):
    """Statements of a source about its product: the distinct values of all tiles, sorted; empty if there are none."""

    omitted_if_default: ClassVar[frozenset[str]] = frozenset(
        {"levels", "platforms", "instruments", "baselines", "offset_applied", "number_offset", "units"}
    )

    levels: tuple[str, ...] = ()
    """Processing levels (`processing:level`), such as `L2A`."""
    platforms: tuple[str, ...] = ()
    """Platforms (`platform`), such as `sentinel-2a`."""
    instruments: tuple[str, ...] = ()
    """Instruments (`instruments`), such as `msi`."""
    baselines: tuple[str, ...] = ()
    """Processing baselines of Sentinel-2 (`s2:processing_baseline`), such as `05.09`."""
    offset_applied: bool | None = None
    """True if the offset of a baseline is no longer in the numbers (`earthsearch:boa_offset_applied`); None if that is
    not stated, or differs between tiles."""
    number_offset: float | None = None
    """Offset of all bands in digital numbers, which is that of STAC's `offset` divided by `scale`; None if it is not
    stated, or differs."""
    units: tuple[str, ...] = ()
    """Units of the bands (`unit`), such as `reflectance`."""

    def __bool__(self) -> bool:
        """Return True if anything is stated."""
        return self != Product()

    def scaled(self) -> "Product":
        """Return the statements that hold after scale and offset were applied: not those about digital numbers."""
        return self.model_copy(update={"baselines": (), "offset_applied": None, "number_offset": None})

    def lines(self) -> list[tuple[str, str]]:
        """Return what is stated as names and texts, for pages."""
        offset = {None: "", True: "removed", False: "in the numbers"}[self.offset_applied]
        stated = (
            ("level", ", ".join(self.levels)),
            ("platform", ", ".join(self.platforms)),
            ("instrument", ", ".join(self.instruments)),
            ("processing baseline", ", ".join(self.baselines)),
            ("offset", offset or ("" if self.number_offset is None else f"{self.number_offset:g}")),
            ("unit", ", ".join(self.units)),
        )
        return [(name, text) for name, text in stated if text]


def product_level(text: str) -> str:
    """Return the level that a text such as `S2MSI2A`, `Level-1C` or `sentinel-2-l2a` states; empty for none."""
    found = re.search(r"(?<![0-9])(1C|2A)(?![0-9A-Za-z])", text.upper())
    return f"L{found[1]}" if found else ""


def canonical_level(text: str) -> str:
    """Return a processing level in one spelling: that of Sentinel-2's levels, else in upper case."""
    return product_level(text) or text.strip().upper()


def numbers_offset(baselines: Iterable[str], *, applied: bool | None, stated: float | None) -> float | None:
    """Return the offset in the digital numbers of Sentinel-2 products.

    Args:
        baselines: their processing baselines, such as `05.09`.
        applied: True if it is known that the offset was removed.
        stated: offset in digital numbers that the metadata of the bands state, such as -1000; None for none.

    Returns:
        0 or 1000; None if nothing states it, or the products differ.
    """
    if applied:
        return 0.0
    found = {OFFSET if baseline.zfill(5) >= SHIFTED_FROM else 0.0 for baseline in baselines}
    if found:
        return found.pop() if len(found) == 1 else None
    return -float(stated) + 0.0 if stated in {0.0, -OFFSET} else None


def satellites(words: Iterable[str]) -> frozenset[str]:
    """Return the families of known satellites among some words: `sentinel-2` for all of Sentinel-2's.

    Landsat 8 and 9 have the same sensor and are one family.
    """
    found = (match[1] for word in words if (match := _SATELLITE.match(word.lower().replace("_", "-"))))
    families = (f"{name[:-1].rstrip('-')}-{name[-1]}" for name in found)
    return frozenset("landsat-8" if name == "landsat-9" else name for name in families)
