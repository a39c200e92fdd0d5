"""HTML and SVG elements whose text is always escaped.

Names of classes and ids of tiles come from outside. Only the functions of this module return `Markup`; any other text
is escaped when it is put into an element, so no caller can forget it.
"""

import html

_VOID = frozenset({"col", "hr", "img", "input", "meta", "wbr"})


class Markup(str):
    """Text that is markup, and is not escaped again."""

    __slots__ = ()


Child = str | int | None


def escaped(text: str) -> Markup:
    """Escape text; markup is returned unchanged."""
    return text if isinstance(text, Markup) else Markup(html.escape(text, quote=True))


def join(*children: Child) -> Markup:
    """Concatenate children; text is escaped, None is skipped."""
    return Markup(
        "".join(escaped(str(child) if isinstance(child, int) else child) for child in children if child is not None)
    )


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Build one element.

    Args:
        tag: name of the element.
        *children: content; text is escaped.
        **attributes: values are escaped; None and False omit the attribute, True gives an attribute without a value. A
            trailing underscore is removed (`class_`), other underscores become hyphens (`aria_label`).

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
