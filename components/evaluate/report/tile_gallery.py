"""Pictures of tiles: cards of single mistakes, and rows of tiles of a kind."""

import re
from collections.abc import Iterable

from tilepipe.components.evaluate.tiles.choice import ShownTile, ShownTiles
from tilepipe.components.evaluate.tiles.thumbnails import data_uri
from tilepipe.components.shared.pages.formatting import breakable, percent
from tilepipe.components.shared.pages.markup import Markup, element

_WEB = re.compile(r"https?://", re.IGNORECASE)


def cards(tiles: Iterable[ShownTile], shown: ShownTiles) -> Markup:
    """Build a list with a card per tile: picture, labels, probability and id. It needs `GALLERY_STYLE`."""
    return element("ul", *(_card(tile, shown) for tile in tiles), class_="cards")


def strip(tiles: Iterable[ShownTile], shown: ShownTiles) -> Markup | None:
    """Build a row of pictures; None if there are none. The id of a tile is its title."""
    drawn = [picture for tile in tiles if (picture := _picture(tile, shown))]
    return element("span", *drawn, class_="strip") if drawn else None


def _card(tile: ShownTile, shown: ShownTiles) -> Markup:
    identity = element("code", breakable(tile.tile_id))
    # Links of other kinds, such as javascript:, would run in the page; s3:// addresses open nothing.
    linked = element("a", identity, href=tile.uri, rel="noreferrer") if _WEB.match(tile.uri) else identity
    words = element(
        "span",
        element("span", breakable(tile.label), class_="name right"),
        element("span", " taken for ", class_="soft"),
        element("span", breakable(tile.predicted), class_="name wrong"),
        element("span", f", {percent(tile.probability)}", class_="soft"),
        class_="words",
    )
    return element("li", _picture(tile, shown), words, element("span", linked, class_="id"))


def _picture(tile: ShownTile, shown: ShownTiles) -> Markup | None:
    jpeg = shown.pictures.get(tile.place)
    if jpeg is None:
        return None
    words = f"{tile.label}, predicted as {tile.predicted}"
    return element("img", src=data_uri(jpeg), alt=f"Tile of {words}", title=f"{tile.tile_id}: {words}")


GALLERY_STYLE = """
.cards{list-style:none;display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:1rem .9rem;
margin:.8rem 0 0;padding:0;font-size:.8rem;line-height:1.35}
.cards li{display:flex;flex-direction:column;gap:.25rem;min-width:0;break-inside:avoid}
.cards img{width:100%;aspect-ratio:1;object-fit:contain;background:var(--wash)}
.cards .words{overflow-wrap:anywhere}
.cards .right,.cards .wrong{font-weight:600}
.cards .wrong{color:var(--alert)}
.cards .id{overflow-wrap:anywhere;color:var(--soft)}
.cards .id code{font-size:.7rem}
a{color:var(--accent)}
img{image-rendering:pixelated}
.strip{display:flex;flex-wrap:wrap;gap:.3rem;margin:.2rem 0}
.strip img{width:3.2rem;height:3.2rem;object-fit:contain;background:var(--wash);display:block}
.kinds{display:grid;grid-template-columns:repeat(auto-fill,minmax(10.2rem,1fr));gap:.7rem .8rem;margin:.6rem 0 0;
font-size:.85rem}
.kinds dt{font-weight:500;overflow-wrap:anywhere}
.kinds dd{margin:0}
.kinds div{min-width:0;break-inside:avoid}
"""
"""Style of the galleries; the colors come from the page."""
