"""The report's style: that of all pages, and the heat map's."""

from tilepipe.components.evaluate.report.heat_map import HEAT_MAP_STYLE
from tilepipe.components.shared.pages.style import PAGE_STYLE

STYLE = PAGE_STYLE + HEAT_MAP_STYLE
"""All of it, for the one `style` element."""
