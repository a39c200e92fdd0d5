"""Dark colors of the pages, for readers whose system prefers them.

Drawings have their colors as attributes, since they also stand alone; here these attributes are overridden.
"""

from collections.abc import Mapping

from tilepipe.components.shared.pages import plot
from tilepipe.components.shared.pages.map_frame import COAST, LAND
from tilepipe.components.shared.pages.style import ACCENT, ALERT

DARK_BACKGROUND = "#12181f"
DARK_ACCENT, DARK_ALERT = "#6cabec", "#ef9152"

_INK, _SOFT, _LINE, _WASH = "#e4e9ee", "#9daab6", "#303b46", "#1b232c"
_DRAWN: Mapping[str, str] = {
    plot.INK: _INK,
    plot.SOFT: _SOFT,
    plot.LINE: _LINE,
    plot.WHITE: DARK_BACKGROUND,
    plot.SECOND_COLOR: "#8d99a5",
    ACCENT: DARK_ACCENT,
    ALERT: DARK_ALERT,
    "#dde3e9": _LINE,
    "#b6c0c9": "#4a5764",
    "#f8fafb": _WASH,
    LAND: "#27313b",
    COAST: "#4a5764",
}
"""Color of a drawing -> its dark counterpart; the last five are those of maps."""

_DRAWINGS = "\n".join(
    f'svg [{attribute}="{light}"]{{{attribute}:{dark}}}'
    for light, dark in _DRAWN.items()
    for attribute in ("fill", "stroke")
)

DARK_STYLE = f"""
@media screen and (prefers-color-scheme:dark){{
:root{{--ink:{_INK};--soft:{_SOFT};--line:{_LINE};--wash:{_WASH};--accent:{DARK_ACCENT};--alert:{DARK_ALERT};
color-scheme:dark}}
body{{background:{DARK_BACKGROUND}}}
.bar{{background:{_LINE}}}
{_DRAWINGS}
}}
"""
"""Style to append to `PAGE_STYLE`; prints stay light."""
