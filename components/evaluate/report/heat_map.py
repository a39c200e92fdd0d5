"""Confusion matrix as a table with colored cells, which screen readers and copy and paste can read too."""

from tilepipe.components.evaluate.figures.arrays import Counts
from tilepipe.components.evaluate.report.palette import (
    INK,
    LEVELS,
    RIGHT,
    WRONG,
    ink_on,
    ramp,
    right_level,
    wrong_level,
)
from tilepipe.components.shared.pages.dark_style import DARK_ACCENT, DARK_ALERT, DARK_BACKGROUND
from tilepipe.components.shared.pages.formatting import breakable, percent, short_count, short_percent, tiles
from tilepipe.components.shared.pages.markup import Markup, element

_WIDE, _WIDE_MARGINS = 56.0, 6.0
"""Width from which the style for wide windows applies, and margins then, in rem."""
ROOMY_CLASSES = 12
"""Largest number of classes for which a cell shows both numbers; with more classes, the reader selects one."""


def heat_map(confusion: Counts, class_names: tuple[str, ...], caption: str) -> Markup:
    """Draw a confusion matrix.

    Args:
        confusion: int64, `(classes, classes)`, one row per true class.
        class_names: names in the order of rows and columns.
        caption: caption of the table.

    Returns:
        A figure; it needs `HEAT_MAP_STYLE`.
    """
    roomy = len(class_names) <= ROOMY_CLASSES
    table = element(
        "table",
        element("caption", caption, class_="hidden"),
        element("thead", _head(class_names)),
        element("tbody", *(_row(confusion[i], i, class_names) for i in range(len(class_names)))),
        class_="matrix roomy" if roomy else "matrix dense",
    )
    scroller = element("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")
    hint = element("p", "Scroll sideways for all classes.", class_="sideways")
    return element(
        "div",
        None if roomy else _switch(),
        _legend(roomy=roomy),
        hint,
        _hint_rule(class_names),
        scroller,
        class_="heat-map",
    )


def _hint_rule(class_names: tuple[str, ...]) -> Markup:
    """Show the hint below the window width, in rem, from which the table fits (widths as in `HEAT_MAP_STYLE`)."""
    classes = len(class_names)
    cell, label, margins = (2.12, 6.9, 2.0) if classes <= ROOMY_CLASSES else (1.37, 8.0, 2.0)
    width = label + classes * cell + margins
    width = width if width < _WIDE else label + classes * cell + _WIDE_MARGINS
    return element("style", Markup(f"@media (max-width:{width:.1f}rem){{.sideways{{display:block}}}}"))


def _head(class_names: tuple[str, ...]) -> Markup:
    corner = element("td", element("span", "predicted →"), element("span", "true ↓"), class_="corner")
    names = [
        element("th", element("span", name, class_="upright"), scope="col", title=f"predicted as {name}")
        for name in class_names
    ]
    return element("tr", corner, *names)


def _row(row: Counts, index: int, class_names: tuple[str, ...]) -> Markup:
    name, support = class_names[index], int(row.sum())
    cells = [
        _cell(int(count), support, name, class_names[column], right=index == column) for column, count in enumerate(row)
    ]
    return element(
        "tr",
        element("th", element("span", breakable(name), class_="label"), scope="row", title=f"{name}: {tiles(support)}"),
        *cells,
    )


def _cell(count: int, support: int, label: str, predicted: str, *, right: bool) -> Markup:
    if not support or not (count or right):
        return element("td")
    share = count / support
    css = f"r{right_level(share)}" if right else f"w{wrong_level(share)}"
    verb = "found" if right else f"taken for {predicted}"
    numbers = element("b", short_count(count)), element("i", short_percent(share))
    return element("td", *numbers, class_=css, title=f"{label}: {tiles(count)} {verb}, {percent(share)} of the class")


def _legend(*, roomy: bool) -> Markup:
    def key(letter: str, meaning: str) -> Markup:
        levels = [element("span", class_=f"{letter}{level}") for level in (1, 3, 5, 7, 9)]
        return element("span", element("span", *levels, class_="key", aria_hidden="true"), meaning)

    numbers = "Cells: tiles, and their share of the true class. " if roomy else ""
    blank = element("span", f"{numbers}Blank: no tile.")
    return element("p", key("r", "right"), key("w", "wrong"), blank, class_="legend")


def _switch() -> Markup:
    # CSS reads the radio buttons, so no script is needed, which a sandbox would block.
    def choice(identifier: str, text: str, *, checked: bool) -> Markup:
        return element(
            "label", element("input", type="radio", name="matrix-shows", id=identifier, checked=checked), text
        )

    counts = choice("matrix-tiles", "tiles", checked=True)
    shares = choice("matrix-shares", "% of the true class", checked=False)
    return element("fieldset", element("legend", "Cells show"), counts, shares, class_="switch")


def _level_rules(right: str, wrong: str, ground: str, ink: str) -> str:
    backgrounds = {
        f"{letter}{level}": ramp(color, level, ground)
        for letter, color in (("r", right), ("w", wrong))
        for level in range(LEVELS + 1)
    }
    return "\n".join(
        f".heat-map .{name}{{background:{color};color:{ink_on(color, ink)}}}" for name, color in backgrounds.items()
    )


_DARK_BLANK = "#1b232c"

HEAT_MAP_STYLE = f"""
.heat-map .scroll{{margin-top:.5rem}}
.sideways{{display:none;color:var(--soft);font-size:.8rem;margin:.4rem 0 0}}
.sideways::after{{content:" \\2192"}}
.legend{{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin:.4rem 0 0;color:var(--soft);font-size:.8rem}}
.key{{display:inline-flex;margin-right:.4rem;vertical-align:-.1em}}
.key span{{width:.85rem;height:.85rem}}
.switch{{display:flex;flex-wrap:wrap;gap:.2rem .9rem;border:0;margin:.4rem 0;padding:0;font-size:.85rem}}
.switch legend{{float:left;padding:0;margin-right:.9rem;color:var(--soft)}}
.switch input{{margin:0 .35rem 0 0;accent-color:var(--accent)}}
.matrix{{border-collapse:separate;border-spacing:1px;font-size:.7rem;line-height:1.15;width:auto}}
.matrix th{{font-weight:500;color:var(--ink);border:0;padding:0}}
.matrix tbody th,.matrix tbody td{{vertical-align:middle}}
.matrix tbody th{{position:sticky;left:0;background:#fff;text-align:right;padding-right:.5rem;z-index:1}}
.label{{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden;width:max-content;
max-width:6.4rem;margin-left:auto;overflow-wrap:anywhere;unicode-bidi:isolate}}
.dense .label{{display:block;max-width:7.5rem;white-space:nowrap;text-overflow:ellipsis}}
.dense .label wbr{{display:none}}
.matrix thead th{{vertical-align:bottom;text-align:center;height:1px;padding-bottom:.3rem}}
.upright{{writing-mode:vertical-rl;transform:rotate(180deg);max-height:9rem;overflow:hidden;text-overflow:ellipsis;
white-space:nowrap;display:inline-block}}
.matrix .corner{{position:sticky;left:0;z-index:2;background:#fff;vertical-align:bottom;text-align:right;
color:var(--soft);padding:0 .5rem .3rem 0;font-size:.65rem}}
.corner span{{display:block}}
.matrix td{{border:0;padding:0;text-align:center;background:#f3f5f7;font-variant-numeric:tabular-nums}}
.matrix b{{font-weight:600;display:block}}
.matrix i{{font-style:normal;font-size:.6rem}}
.roomy tbody td{{width:2.05rem;min-width:2.05rem;height:2.05rem}}
.dense tbody td{{width:1.3rem;min-width:1.3rem;height:1.3rem;font-size:.6rem}}
.dense b{{font-weight:500}}
.dense i{{display:none}}
.switch:has(#matrix-shares:checked)~.scroll b{{display:none}}
.switch:has(#matrix-shares:checked)~.scroll i{{display:inline}}
@media (min-width:56rem){{
.matrix{{font-size:.8rem}}
.matrix i{{font-size:.7rem}}
.roomy .label{{max-width:11rem}}
.dense .label{{max-width:9.5rem}}
.upright{{max-height:11rem}}
.roomy tbody td{{width:2.75rem;min-width:2.75rem;height:2.6rem}}
}}
@media print{{.switch{{display:none}}.matrix tbody th,.matrix .corner{{position:static}}}}
{_level_rules(RIGHT, WRONG, "#ffffff", INK)}
@media screen and (prefers-color-scheme:dark){{
.matrix tbody th,.matrix .corner{{background:{DARK_BACKGROUND}}}
.matrix td{{background:{_DARK_BLANK}}}
{_level_rules(DARK_ACCENT, DARK_ALERT, _DARK_BLANK, "#000000")}
}}
"""
"""Style of `heat_map`; the colors `--ink`, `--soft` and `--accent` come from the page."""
