"""Style of the report: the common page style, that of its parts, and dark colors."""

from tilepipe.components.evaluate.report.heat_map import HEAT_MAP_STYLE
from tilepipe.components.evaluate.report.small_curves import CURVES_STYLE
from tilepipe.components.evaluate.report.tile_gallery import GALLERY_STYLE
from tilepipe.components.shared.pages.dark_style import DARK_STYLE
from tilepipe.components.shared.pages.style import PAGE_STYLE

_OWN_STYLE = """
.hints{margin:.6rem 0 0;padding-left:1.2rem;max-width:46rem}
.hints li{margin:.45rem 0}
.hints li::marker{color:var(--soft)}
.marks svg{display:inline-block;vertical-align:-.1em;margin-right:.3rem}
details{margin-top:.7rem}
summary{font-size:.85rem}
"""

STYLE = PAGE_STYLE + HEAT_MAP_STYLE + GALLERY_STYLE + CURVES_STYLE + _OWN_STYLE + DARK_STYLE
"""Content of the `style` element."""
