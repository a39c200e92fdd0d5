"""Terminal output of the commands of the model registry."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tilepipe.components.shared.logs.log_format import escape_controls
from tilepipe.components.shared.registry.promotions import ChampionState, Promotion
from tilepipe.pipelines.cli.registry.listing import ModelRow, VersionRow

_STYLES = {"accepted": "green", "refused": "red", "undecided": "yellow"}
_FIGURES = ("accuracy", "macro_f1")
_SPLITS = ("test", "val")
"""A figure that is not of the first one is shown with the name of its split."""
_SHOWN_PROMOTIONS = 5

_PIPED_WIDTH = 200
"""Width of tables that are written to a file or another program, in characters: their lines should not break."""


def models(console: Console, rows: Sequence[ModelRow]) -> None:
    """Print the models, or that there are none."""
    if not rows:
        console.print("no models of tilepipe are registered")
        return
    table = _table("model", "champion", "challenger", "versions")
    for row in rows:
        cells = (row.name, _number(row.champion), _number(row.challenger), str(row.versions))
        table.add_row(*(_text(cell) for cell in cells))
    _print(console, table)
    for row in rows:
        _remark(console, row.remark)


def versions(console: Console, state: ChampionState, rows: Sequence[VersionRow]) -> None:
    """Print the versions of a model and its latest promotions."""
    table = _table(
        "version", "aliases", "verdict", "against", *(name.replace("_", " ") for name in _FIGURES), "created"
    )
    for row in rows:
        verdict = row.verdict if row.is_tilepipes else "not of tilepipe"
        table.add_row(
            str(row.version),
            _text(", ".join(row.aliases)),
            Text(escape_controls(verdict), style=_STYLES.get(verdict, "dim")),
            _text(row.verdict_champion),
            *(_figure(row, name) for name in _FIGURES),
            row.created[:10],
        )
    _print(console, table)
    for promotion in reversed(state.promotions[-_SHOWN_PROMOTIONS:]):
        console.print(promoted(promotion))
    _remark(console, state.remark)


def promoted(promotion: Promotion) -> Text:
    """Format an entry of the history."""
    before = "none" if promotion.from_version is None else f"version {promotion.from_version}"
    line = f"{promotion.at[:16].replace('T', ' ')} {promotion.action}: version {promotion.to_version} after {before}"
    return _text(f"{line}, by {promotion.who}: {promotion.why}")


def _print(console: Console, table: Table) -> None:
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(table)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _figure(row: VersionRow, name: str) -> str:
    for split in _SPLITS:
        value = row.figures.get(f"{split}_{name}")
        if value is not None:
            return f"{value:.4f}" + ("" if split == _SPLITS[0] else f" ({split})")
    return ""


def _number(version: int | None) -> str:
    return "" if version is None else str(version)


def _remark(console: Console, remark: str) -> None:
    if remark:
        console.print(Text(f"warning: {escape_controls(remark)}", style="yellow"))


def _text(text: str) -> Text:
    """Return text from outside, without markup and control characters."""
    return Text(escape_controls(text))
