"""The order of the bands in the files, and their selection by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from tilepipe.components.shared.contracts.bands import RGB_BANDS, canonical_bands
from tilepipe.components.shared.contracts.tile_table import TileTableInfo
from tilepipe.components.shared.errors import BandError


@dataclass(frozen=True)
class BandOrder:
    """Names of the bands, in the order of the files."""

    names: tuple[str, ...]
    stated_by: str
    """Source of the names: `user`, `metadata`, `files` (band descriptions) or `convention` (colors)."""
    common_names: tuple[str, ...] = ()
    """STAC common name of each band, or an empty string; empty if none is stated."""
    platform: str = ""
    """Platform of the tiles if it does not number its bands as Sentinel-2 does."""


def file_bands(info: TileTableInfo, channels: int, dtype: str, descriptions: Sequence[str]) -> BandOrder:
    """Determine the bands of the files.

    Args:
        info: metadata of the tile table.
        channels: number of bands of the pixels.
        dtype: dtype of the pixels.
        descriptions: band descriptions in the files; empty if there are none.

    Raises:
        BandError: the bands have no names, or the sources of names contradict each other or the pixels.
    """
    described = canonical_bands(tuple(descriptions))
    if info.bands:
        if len(info.bands) != channels or len(set(info.bands)) != channels:
            twice = ", ".join(sorted({name for name in info.bands if info.bands.count(name) > 1}))
            repeated = f", with {twice} repeated" if twice else ""
            raise BandError(
                "There must be one name for each band of the pixels, and none twice. Received: "
                f"{len(info.bands)} names, {', '.join(info.bands)} (stated by {info.bands_stated_by}), for "
                f"{channels} bands{repeated}. Say the true order with source_bands=[...] (a pipeline's "
                "data_source_bands)."
            )
        if _contradict(described, info.bands) and info.bands_stated_by != "user":
            raise BandError(
                "Metadata and files must state the same order of bands. Received: "
                f"{', '.join(info.bands)} (stated by {info.bands_stated_by}), but the files say "
                f"{', '.join(described)}. Say the true order with source_bands=[...] (a pipeline's data_source_bands)."
            )
        return BandOrder(info.bands, info.bands_stated_by, info.common_names[:channels], info.platform)
    if len(set(described)) == channels:
        return BandOrder(described, "files", platform=info.platform)
    if channels == len(RGB_BANDS) and dtype == "uint8":
        return BandOrder(RGB_BANDS, "convention")
    if channels == 1 and dtype == "uint8":
        return BandOrder(("grey",), "convention")
    raise BandError(
        f"The bands must have names. Received: tiles with {channels} band{'s' if channels > 1 else ''} of {dtype}, "
        "which neither the source's metadata nor the files name (numbers such as b1, b2 are no names). Give "
        "source_bands=[...] (a pipeline's data_source_bands) with one name for each band, in the files' order."
    )


def _contradict(described: Sequence[str], stated: Sequence[str]) -> bool:
    """Return True if a band is in another place in the description of the files than its source states."""
    places = {name: place for place, name in enumerate(stated)}
    one_each = len(described) == len(stated) == len(set(described))
    return one_each and any(places.get(name, place) != place for place, name in enumerate(described))


class MissingBandError(BandError):
    """The files lack a band.

    Args:
        order: the bands of the files.
        wanted: names of the bands to keep.
        unknown: those that the files lack.
    """

    def __init__(self, order: BandOrder, wanted: Sequence[str], unknown: Sequence[str]) -> None:
        self.found = f"{', '.join(order.names)} (stated by {order.stated_by})"
        received = f"bands={','.join(wanted)}, with {', '.join(unknown)} unknown"
        super().__init__(f"`bands` must be among {self.found}. Received: {received}.")


def select(order: BandOrder, wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the index in the file of each wanted band, in their order; of all bands if none is wanted.

    Raises:
        BandError: the files have no band of that name.
    """
    unknown = [name for name in wanted if name not in order.names]
    if unknown:
        raise MissingBandError(order, wanted, unknown)
    return tuple(order.names.index(name) for name in (wanted or order.names))
