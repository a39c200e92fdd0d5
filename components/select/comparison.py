"""HTML page that compares the candidates of a sweep."""

from collections.abc import Sequence

from tilepipe.components.select.ranking import parameter_names, shown_metric, shown_value
from tilepipe.components.shared.contracts.candidates import Outcome
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.pages.markup import element
from tilepipe.components.shared.pages.page import headings, html_page, number, section, table
from tilepipe.components.shared.pages.style import PAGE_STYLE


def render_comparison(outcomes: Sequence[Outcome], manifest: Manifest) -> str:
    """Render the page.

    Args:
        outcomes: the ranked outcomes.
        manifest: the data.
    """
    names = parameter_names(outcomes)
    rows = [
        element(
            "tr",
            element("th", outcome.index, scope="row"),
            *(element("td", shown_value(outcome.parameters[n]) if n in outcome.parameters else "") for n in names),
            number(shown_metric(outcome.value)),
        )
        for outcome in outcomes
    ]
    title = f"Sweep on {manifest.name}"
    return html_page(
        title,
        PAGE_STYLE,
        element("header", element("h1", title)),
        section("Candidates", None, table("Candidates", headings("Candidate", *names, "#Metric"), rows, wide=True)),
    )
