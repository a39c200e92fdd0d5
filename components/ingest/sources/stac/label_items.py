"""Label items, whose pixels are those of the item that they link to with `rel=source`.

https://github.com/stac-extensions/label#links-source-imagery
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.ingest.sources.stac.assets import LABEL_PROPERTIES, asset_rank
from tilepipe.components.shared.errors import SourceError

_OF_THE_LABEL_ALONE = {"datetime", "start_datetime", "end_datetime", "created", "updated"}
"""Times of the label item, which are not those of the acquisition."""


def sources_of(item: Mapping[str, Any], asset_key: str) -> list[object]:
    """Return the hrefs of the `source` links of a label item; [] for an item that has pixels of its own.

    Args:
        item: the item.
        asset_key: asset with the pixels, if the user names it.
    """
    assets, links = item.get("assets"), item.get("links")
    if not isinstance(links, list) or not isinstance(assets, dict):
        return []
    if asset_key in assets or any(
        isinstance(asset, dict) and asset_rank(asset) is not None for asset in assets.values()
    ):
        return []
    return [link.get("href") for link in links if isinstance(link, dict) and link.get("rel") == "source"]


def has_label(item: Mapping[str, Any], label: str) -> bool:
    """Return True if an item states a label, right or wrong, in one of the properties that may hold it."""
    properties = item.get("properties")
    names = (label,) if label else (*LABEL_PROPERTIES, "label:overviews")
    return not isinstance(properties, dict) or any(properties.get(name) is not None for name in names)


@dataclass
class LabelItems:
    """The label items of a catalog, by the address of the item with the pixels."""

    labels: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, item: dict[str, Any], hrefs: list[object], folder: str, where: str, resolver: HrefResolver) -> None:
        """Add a label item.

        Raises:
            SourceError: if it has several sources, or its source has another label item.
        """
        if len(hrefs) > 1:
            raise SourceError(
                "A label item must have one link of rel=source, to the item with the pixels. Received: "
                f"{len(hrefs)} in {where}: {hrefs[:3]}. Remove the others."
            )
        uri = resolver.resolve(hrefs[0], folder, f"the source link of {where}")
        other = self.labels.setdefault(uri, item)
        if other is not item:
            raise SourceError(
                f"An item must have one label item. Received: {other.get('id')} and {item.get('id')} with {uri} as "
                "their source."
            )

    def leave_out_labelled(
        self, own: Mapping[str, str | None], label_of: Callable[[Mapping[str, Any]], str | None]
    ) -> None:
        """Leave out the label items whose source states the same label, and is therefore a tile already.

        Args:
            own: label of each item that states one itself, by its address.
            label_of: function that returns the label of a label item.

        Raises:
            SourceError: if the two labels differ.
        """
        for uri in [uri for uri in self.labels if uri in own]:
            item = self.labels.pop(uri)
            if (label := label_of(item)) != own[uri]:
                raise SourceError(
                    "An item and its label item must state the same label. Received: "
                    f"{own[uri]!r} in {uri}, and {label!r} in its label item {item.get('id')}. Correct one of them, or "
                    "name the property with the label."
                )


def with_label(item: dict[str, Any], label_item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item with the properties of its label item, other than times."""
    own, stated = item.get("properties"), label_item.get("properties")
    if not isinstance(own, dict) or not isinstance(stated, dict):
        return item
    added = {name: value for name, value in stated.items() if name not in _OF_THE_LABEL_ALONE}
    return {**item, "properties": {**own, **added}}
