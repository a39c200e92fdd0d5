"""HTML and SVG that are safe by construction: text is escaped unless it was built here.

Names of classes and ids of tiles come from outside. Were each place that prints one to escape it, the one that forgets
would be a hole; here the one that forgets prints harmless text.
"""

import html

_VOID = frozenset({"col", "hr", "input", "meta", "wbr"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | None


def escaped(text: str) -> Markup:
    """Turn any text into markup that shows it; markup stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(text, quote=True))


def join(*children: Child) -> Markup:
    """Put children one after another; text is escaped, None is nothing."""
    return Markup(
        "".join(escaped(str(child) if isinstance(child, int) else child) for child in children if child is not None)
    )


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Build one element.

    Args:
        tag: its name.
        *children: what is in it; text is escaped.
        **attributes: values are escaped; None and False leave the attribute out, True gives it no value. A trailing
            underscore avoids Python's keywords (`class_`), other underscores stand for hyphens (`aria_label`).

    Returns:
        The element.
    """
    written = "".join(_attribute(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(*children)}</{tag}>")


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"'
