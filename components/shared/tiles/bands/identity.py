"""Check of Sentinel-2 band names against the pixels.

Metadata often name the bands in another order than that of the files, and a model trained on such tiles seems fine
until it is used on tiles in the right order. Brightness differs between bands in known ways: cirrus (B10) is a hundred
times darker than all others, near infrared is bright over plants and dark over water. The mean of each band is
therefore compared with known spectra, as a ratio, since scales differ between processing chains, and the best
assignment of names is compared with the declared one. Only a large contradiction is an error: tiles of nothing but
snow, desert or water must not cause one, and similar neighboring bands cannot be distinguished.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.bands import SENTINEL_2_BANDS, is_sentinel_2_band
from tilepipe.components.shared.contracts.product import OFFSET
from tilepipe.components.shared.errors import BandError
from tilepipe.components.shared.tiles.bands.order import BandOrder

Floats = npt.NDArray[np.float64]

# Digital numbers (reflectance times 10,000), in the order of SENTINEL_2_BANDS.
EUROSAT_MEAN: dict[str, float] = {
    "B01": 1352.62,
    "B02": 1116.11,
    "B03": 1040.74,
    "B04": 945.62,
    "B05": 1198.13,
    "B06": 2000.96,
    "B07": 2371.62,
    "B08": 2298.87,
    "B8A": 2597.61,
    "B09": 730.52,
    "B10": 12.09,
    "B11": 1820.56,
    "B12": 1117.42,
}
"""Level 1C: mean digital numbers of the pixels of 19,440 tiles of EuroSAT (Helber et al. 2019,
doi:10.1109/JSTARS.2019.2918242)."""

_WATER = (1218.0, 931.0, 737.0, 490.0, 470.0, 366.0, 361.0, 300.0, 287.0, 85.0, 7.0, 84.0, 55.0)
_FOREST = (1158.0, 836.0, 672.0, 400.0, 675.0, 1945.0, 2477.0, 2411.0, 2758.0, 729.0, 9.0, 1174.0, 464.0)
# BigEarthNet (Sumbul et al. 2019, doi:10.1109/IGARSS.2019.8900532):
# https://git.tu-berlin.de/rsim/bigearthnet-models-tf/-/blob/master/BigEarthNet.py
_LEVEL_2A = (340.77, 429.94, 614.22, 590.24, 950.68, 1792.46, 2075.47, 2218.95, 2266.46, 2246.06, 1594.43, 1009.33)
_LEVEL_2A_BANDS = tuple(band for band in SENTINEL_2_BANDS if band != "B10")  # cirrus does not show the surface

SPECTRA: tuple[dict[str, float], ...] = (
    EUROSAT_MEAN,
    dict(zip(SENTINEL_2_BANDS, _WATER, strict=True)),
    dict(zip(SENTINEL_2_BANDS, _FOREST, strict=True)),
    dict(zip(_LEVEL_2A_BANDS, _LEVEL_2A, strict=True)),
)
"""Possible mean spectra of a set of tiles. Water and forest are the means of ten tiles each of EuroSAT's SeaLake and
Forest, the classes farthest from the overall mean."""

MIN_BANDS = 6
"""Smallest number of bands for a comparison."""

MOVE_COST = 0.5
"""Log ratio that a name must gain to leave its declared place; keeps similar bands in place."""

MIN_GAIN = 2.5
"""Sum of log ratios by which the best order must beat the declared one, ..."""

MIN_GAIN_FACTOR = 3.0
"""... and how many times better it must fit. No right order comes near: over EuroSAT's classes one by one, its tiles
one by one, and spectra of snow, desert, cloud, burnt land and turbid water, with and without B10 and offset, the best
order fits at most twice as well as the right one, while EuroSAT100's wrong one fits eighty times as badly."""


@dataclass(frozen=True)
class Contradiction:
    """A declared order that the pixels contradict."""

    declared: tuple[str, ...]
    best: tuple[str, ...]
    means: tuple[float, ...]
    spectrum: Mapping[str, float]
    """Values of the best-fitting known spectrum per band, at the scale of `means`."""


def check_band_identity(order: BandOrder, means: Floats) -> None:
    """Compare band names with the pixels.

    Numbers that the common names or the platform contradict are not those of Sentinel-2, and are ignored.

    Args:
        order: the bands of the files.
        means: mean of each band in each sampled tile, float64, `(tiles, bands)`.

    Raises:
        BandError: the pixels contradict the names; the message states which band resembles which, and the best order.
    """
    common = order.common_names or ("",) * len(order.names)
    names = [
        name if is_sentinel_2_band(name, common_name, order.platform) else f"({name})"
        for name, common_name in zip(order.names, common, strict=True)
    ]
    found = find_contradiction(names, means.mean(axis=0))
    if found is None:
        return
    lines = [
        f"  band {place} is called {name}, with a mean of {mean:,.4g} where {name} has about "
        f"{found.spectrum[name]:,.4g}: it looks like {looks}, which has about {found.spectrum[looks]:,.4g}"
        for place, (name, looks, mean) in enumerate(zip(found.declared, found.best, found.means, strict=True), 1)
        if name != looks
    ]
    renamed = iter(found.best)
    listed = ", ".join(
        f'"{next(renamed) if sure in SENTINEL_2_BANDS else name}"'
        for name, sure in zip(order.names, names, strict=True)
    )
    raise BandError(
        f"The names of Sentinel-2's bands must fit the pixels. Received: {', '.join(order.names)} "
        f"(stated by {order.stated_by}), which the pixels of {len(means)} tiles contradict:\n" + "\n".join(lines) + "\n"
        f"The order that fits best: source_bands=[{listed}]. If it is right, run ingest again with it "
        "(in a pipeline: as data_source_bands). If the names are right as they are, or another satellite's, set "
        '{"check_band_identity": false} in the options of pack (a pipeline\'s pack_options).'
    )


def find_contradiction(names: Sequence[str], means: Floats) -> Contradiction | None:
    """Compare the declared order with the best one.

    Args:
        names: names of the bands of the files, in order; those that are not of Sentinel-2 are ignored.
        means: mean of each band, `(bands,)`.

    Returns:
        The contradiction, or None if the names are plausible or there is too little information.
    """
    places = [place for place, name in enumerate(names) if name in SENTINEL_2_BANDS]
    declared = tuple(names[place] for place in places)
    values = means[places]
    # Too few bands, values that are not finite, values already standardized, or only fill values.
    if len(declared) < MIN_BANDS or not np.isfinite(values).all() or np.median(values) <= 0:
        return None
    declared_cost, best_cost = np.inf, np.inf
    best: tuple[str, ...] = declared
    spectrum: Mapping[str, float] = {}
    for candidate in _candidates(declared, values):
        as_declared, assigned, order, scale = _fit(declared, values, candidate)
        declared_cost = min(declared_cost, as_declared)
        if assigned < best_cost:
            best_cost, best, spectrum = assigned, order, {name: scale * candidate[name] for name in declared}
    far = declared_cost - best_cost > MIN_GAIN and declared_cost > MIN_GAIN_FACTOR * best_cost
    return Contradiction(declared, best, tuple(values.tolist()), spectrum) if far else None


def _candidates(declared: Sequence[str], values: Floats) -> list[Mapping[str, float]]:
    plain = [spectrum for spectrum in SPECTRA if set(declared) <= set(spectrum)]
    if values.min() < 0.9 * OFFSET:  # with the offset, no band can be darker
        return list(plain)
    return [*plain, *({band: value + OFFSET for band, value in spectrum.items()} for spectrum in plain)]


def _fit(
    declared: tuple[str, ...], values: Floats, spectrum: Mapping[str, float]
) -> tuple[float, float, tuple[str, ...], float]:
    """Compute the cost of the declared order, the cost of the best order, the best order, and its scale."""
    from scipy.optimize import linear_sum_assignment  # takes a second to import, and only Sentinel-2 needs it

    logs = np.log(np.maximum(values, 1e-3 * np.median(values)))
    known = np.log([spectrum[name] for name in declared])
    staying = ~np.eye(len(declared), dtype=bool)
    places = np.arange(len(declared))
    declared_cost = float(np.abs(logs - known - np.median(logs - known)).sum())
    order = places
    for _ in range(4):  # scale and order depend on each other; this converges in one or two steps
        costs = np.abs(logs[:, None] - known[None, :] - np.median(logs - known[order]))
        found = linear_sum_assignment(costs + MOVE_COST * staying)[1]
        if np.array_equal(found, order):
            break
        order = found
    shift = np.median(logs - known[order])
    best_cost = float(np.abs(logs - known[order] - shift).sum())
    return declared_cost, best_cost, tuple(declared[place] for place in order), float(np.exp(shift))
