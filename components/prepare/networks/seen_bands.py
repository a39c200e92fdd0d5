"""Bands of the tiles that a network sees, where those are not all. This module does not import Keras."""

from collections.abc import Sequence

from tilepipe.components.shared.contracts.bands import canonical_band
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import BandError


def with_seen_bands(manifest: Manifest, bands: Sequence[str]) -> Manifest:
    """Return a manifest of only the bands that the network sees.

    Args:
        manifest: description of the tiles.
        bands: names of the bands, in any order and case; "all" for all.

    Returns:
        The manifest, whose bands, common names and statistics are those of the seen bands, in the given order.

    Raises:
        BandError: the tiles lack a band.
    """
    if bands == "all":
        return manifest
    places = {canonical_band(name).lower(): place for place, name in enumerate(manifest.bands)}
    wanted = [canonical_band(band).lower() for band in bands]
    unknown = [band for band, name in zip(bands, wanted, strict=True) if name not in places]
    if unknown:
        raise BandError(
            f"`bands` must be a subset of the bands of the tiles, {', '.join(manifest.bands)}. Received: "
            f"options.bands={list(bands)}, where {', '.join(unknown)} is not among them. Correct `bands`, or pack that "
            "band too."
        )
    seen = [places[name] for name in wanted]
    return manifest.model_copy(
        update={
            "bands": tuple(manifest.bands[place] for place in seen),
            "common_names": tuple(manifest.common_names[place] for place in seen) if manifest.common_names else (),
            "statistics": tuple(manifest.statistics[place] for place in seen),
        }
    )
