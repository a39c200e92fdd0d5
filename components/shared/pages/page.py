"""Build self-contained HTML pages without scripts.

Kubeflow shows them in a sandboxed frame about 500 pixels wide, MLflow in a wider one, and people print or mail them.
They therefore use no scripts, storage or network; a content security policy enforces it.
"""

import math
from collections.abc import Iterable

from tilepipe.components.shared.pages.markup import Child, Markup, element, join

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html_page(title: str, style: str, *content: Child) -> str:
    """Write an HTML document; text in the content is escaped, the trusted CSS of `style` is not."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Markup(style)),
    )
    body = element("body", element("main", *content))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def section(title: str, note: Child, *content: Child, long: bool = False) -> Markup:
    """Build a section of a page; a `long` section may break across printed pages."""
    explained = element("p", note, class_="note") if note else None
    return element("section", element("h2", title), explained, *content, class_="long" if long else None)


def pair(one: Markup, other: Markup, kind: str = "") -> Markup:
    """Build two sections, side by side on wide screens."""
    return element("div", one, other, class_=f"pair {kind}".strip())


def table(caption: str, head: Iterable[Markup], rows: Iterable[Markup], *, wide: bool = False) -> Markup:
    """Build a table.

    Args:
        caption: caption for screen readers.
        head: cells of the first row.
        rows: the other rows.
        wide: whether the keyboard can scroll the table horizontally, as one that is wider than Kubeflow's frame needs.
            Defaults to False.

    Returns:
        The table, in a container that scrolls.
    """
    hidden = element("caption", caption, class_="hidden")
    drawn = element("table", hidden, element("thead", element("tr", *head)), element("tbody", *rows))
    scrolled = {"role": "region", "aria_label": caption, "tabindex": "0"} if wide else {}
    return element("div", drawn, class_="scroll", **scrolled)


def headings(*titles: str) -> list[Markup]:
    """Build column headings; a leading `#` marks a column of numbers."""
    return [
        element("th", title.removeprefix("#"), scope="col", class_="number" if title.startswith("#") else None)
        for title in titles
    ]


def number(text: str, drawn: Markup | None = None) -> Markup:
    """Build a cell with a number and an optional drawing."""
    content = (
        text if drawn is None else element("span", element("span", text, class_="value"), drawn, class_="measured")
    )
    return element("td", content, class_="number")


def bar(share: float, *, wrong: bool = False, tick: float | None = None) -> Markup | None:
    """Draw a bar for a fraction, with an optional tick for a second one; None for NaN."""
    if math.isnan(share):
        return None
    fill = element("span", class_="wrong" if wrong else None, style=f"width:{100 * share:.1f}%")
    mark = None if tick is None else element("span", class_="tick", style=f"left:{100 * tick:.1f}%")
    return element("span", fill, mark, class_="bar", aria_hidden="true")


def figures(rows: Iterable[tuple[str, str, str]]) -> Markup:
    """Build a list of key figures, each with title, value and remark."""
    return element(
        "dl",
        *(
            element(
                "div", element("dt", title), element("dd", value, class_="value"), element("dd", aside, class_="aside")
            )
            for title, value, aside in rows
        ),
        class_="figures",
    )


def facts(rows: Iterable[tuple[str, Child]]) -> Markup:
    """Build a list of terms and their descriptions."""
    return element("dl", *(join(element("dt", term), element("dd", fact)) for term, fact in rows), class_="facts")
