"""Check that all tiles state the same about their pixels: nodata, scale, offset, processing baseline."""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tilepipe.components.shared.contracts.bands import BandScaling
from tilepipe.components.shared.contracts.product import SHIFTED_FROM
from tilepipe.components.shared.errors import SourceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")


def check_raster(
    connection: "DuckDBPyConnection", *, allow_mixed_scaling: bool, apply_scaling: bool = False
) -> tuple[str | None, ...]:
    """Check that the pixels of all tiles mean the same, as far as their source states it.

    Scale and offset are not applied, unless the user wants it. Several values, or Sentinel-2 baselines on both sides of
    the offset of 1000, mean that equal numbers are different reflectances.

    Args:
        connection: a database with the table `statements`.
        allow_mixed_scaling: True to accept several values of scale and offset, with a warning.
        apply_scaling: True if they will be applied, so that they may differ. Defaults to False.

    Returns:
        Nodata value of each band as text, None for a band without one; empty if the source states none.

    Raises:
        SourceError: if the tiles state several nodata values, or several values of scale or offset.
    """
    nodata: Counter[tuple[str | None, ...]] = Counter()
    scaling: Counter[BandScaling] = Counter()
    baselines: Counter[str] = Counter()
    for _, stated, tiles in _statements(connection):
        values = tuple(_text(value) for value in stated.get("nodata") or ())
        nodata[values if any(values) else ()] += tiles
        scaling[_scaling(stated)] += tiles
        if stated.get("baseline"):
            baselines[f"{stated['baseline']}{_APPLIED if _is_true(stated.get('offset_applied')) else ''}"] += tiles
    if not apply_scaling:
        _check_scaling(scaling, baselines, allow_mixed_scaling=allow_mixed_scaling)
    return _one_nodata(nodata)


def find_scaling(connection: "DuckDBPyConnection", *, needs_labels: bool) -> BandScaling:
    """Find the scale and the offset that are to be applied.

    Args:
        connection: a database with the tables `statements` and `chosen`, which gets the column `scaling` if the tiles
            state several.
        needs_labels: False for predictions, whose tiles must state the same.

    Returns:
        Scale and offset of each band, or one pair for all bands; empty if the tiles state several, or none.

    Raises:
        SourceError: if tiles for predictions state several, or a value is not a number.
    """
    counts: Counter[BandScaling] = Counter()
    of_text: dict[str, BandScaling] = {}
    for text, stated, tiles in _statements(connection):
        has_any = any(stated.get(name) for name in ("scale", "offset"))
        scaling = _scaling(stated) if has_any else ()  # those of the file
        counts[scaling] += tiles
        if scaling:
            of_text[text] = scaling
    each = "; ".join(
        f"{_scaling_text(values) if values else 'those of the files'} in {tiles:,} tiles"
        for values, tiles in counts.most_common(5)
    )
    logger.info("scale and offset are applied: %s", each)
    if len(counts) == 1:
        return next(iter(counts))
    if not needs_labels:
        raise SourceError(
            f"Tiles for predictions must state the same scale and offset to have them applied. Received: {each}. "
            "Select tiles of one kind with data_where, and predict the others in another run."
        )
    flat = {text: [number for pair in pairs for number in pair] for text, pairs in of_text.items()}
    table = pa.table({"text": list(flat), "scaling": pa.array(list(flat.values()), pa.list_(pa.float64()))})
    connection.register("scalings", table)
    connection.execute("ALTER TABLE chosen ADD COLUMN scaling DOUBLE[]")
    connection.execute("UPDATE chosen SET scaling = scalings.scaling FROM scalings WHERE stated_raster = scalings.text")
    connection.unregister("scalings")
    return ()


def _statements(connection: "DuckDBPyConnection") -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield each statement, as JSON and decoded, and the number of its tiles."""
    query = "SELECT stated_raster, sum(tiles)::BIGINT FROM statements GROUP BY stated_raster"
    for text, tiles in connection.execute(query).fetchall():
        yield text, json.loads(text) if text else {}, tiles


def _one_nodata(counts: Counter[tuple[str | None, ...]]) -> tuple[str | None, ...]:
    stated = Counter({_short(values): 0 for values in counts if values})
    for values, tiles in counts.items():
        if values:
            stated[_short(values)] += tiles
    if len(stated) > 1:
        each = "; ".join(f"{list(values)} in {tiles:,} tiles" for values, tiles in stated.most_common(5))
        raise SourceError(
            f"All tiles must state the same nodata values. Received: {each}. "
            "Correct the items, or select those with one value with data_where."
        )
    if not stated:
        return ()
    [(values, tiles)] = stated.items()
    if counts[()]:
        logger.warning(
            "%s tiles state the nodata values %s and %s state none; it is applied to all of them",
            f"{tiles:,}",
            list(values),
            f"{counts[()]:,}",
        )
    return values


def _check_scaling(scaling: Counter[BandScaling], baselines: Counter[str], *, allow_mixed_scaling: bool) -> None:
    listed = ", ".join(f"{name} in {tiles:,} tiles" for name, tiles in sorted(baselines.items()))
    if len(scaling) > 1:
        each = "; ".join(f"{_scaling_text(values)} in {tiles:,} tiles" for values, tiles in scaling.most_common(5))
        said = f"{each}{f' (processing baselines {listed})' if listed else ''}"
        if not allow_mixed_scaling:
            raise SourceError(
                f"All tiles must state the same scale and offset, since neither is applied. Received: {said}. "
                "Have them applied with data_options='{\"apply_scaling\": true}', select tiles of one kind with "
                "data_where, or set data_options='{\"allow_mixed_scaling\": true}' if the numbers have been made equal "
                "already."
            )
        logger.warning("the tiles state several values of scale and offset, and none is applied: %s", said)
    elif len({name >= SHIFTED_FROM for name in baselines}) > 1 and not any(
        name.endswith(_APPLIED) for name in baselines
    ):
        logger.warning(
            "the tiles are of Sentinel-2 baselines before and since %s, whose digital numbers differ by an offset of "
            "1000 unless it has been removed: %s",
            SHIFTED_FROM,
            listed,
        )


_APPLIED = " (offset applied)"


def _scaling(stated: Mapping[str, Any]) -> BandScaling:
    """Return scale and offset of each band, or of all bands; earth-search states offsets that are already applied."""
    scales, offsets = _numbers(stated.get("scale"), 1.0), _numbers(stated.get("offset"), 0.0)
    if _is_true(stated.get("offset_applied")):
        offsets = [0.0] * len(offsets)
    bands = max(len(scales), len(offsets))
    scales, offsets = (values * bands if len(values) == 1 else values for values in (scales, offsets))
    pairs = tuple(zip(scales, offsets, strict=False))
    return pairs[:1] if len(set(pairs)) == 1 else pairs


def _numbers(values: Sequence[object] | None, default: float) -> list[float]:
    numbers = []
    for value in values or [None]:
        try:
            numbers.append(default if value is None else float(str(value)))
        except ValueError:
            raise SourceError(f"A scale or an offset must be a number. Received: {value!r} in an item.") from None
    return numbers


def _scaling_text(pairs: Sequence[tuple[float, float]]) -> str:
    scales, offsets = (sorted(set(values)) for values in zip(*pairs, strict=True))
    return f"scale {', '.join(f'{one:g}' for one in scales)}, offset {', '.join(f'{one:g}' for one in offsets)}"


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _short(values: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return values[:1] if len(set(values)) == 1 else values


def _text(value: object) -> str | None:
    """Write a nodata value, a number or one of `nan`, `inf` and `-inf`, as text."""
    if value is None or value == "":
        return None
    try:
        number = float(str(value))
    except ValueError:
        raise SourceError(f"A nodata value must be a number or nan. Received: {value!r} in an item.") from None
    if math.isnan(number):
        return "nan"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
