"""Style of the report: the common page style and that of the heat map."""

from tilepipe.components.evaluate.report.heat_map import HEAT_MAP_STYLE
from tilepipe.components.shared.pages.style import PAGE_STYLE

STYLE = PAGE_STYLE + HEAT_MAP_STYLE
"""Content of the `style` element."""
