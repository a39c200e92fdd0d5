"""The history of champions as Markdown."""

from pathlib import Path

from tilepipe.components.shared.pages.formatting import DASH, markdown_table, plain
from tilepipe.components.shared.registry.client import registry_client
from tilepipe.components.shared.registry.promotions import Promotion, read_state
from tilepipe.components.shared.storage.atomic import write_whole

ROWS = 20
"""Largest number of entries that are shown."""


def write_history(name: str, path: Path) -> None:
    """Write the champions of a registered model as Markdown, the latest first.

    Raises:
        SourceError: there is no such model.
        TrackingError: the registry cannot be reached or denies access.
    """
    state = read_state(registry_client(), name)
    champion = "no champion" if state.champion is None else f"version {state.champion}"
    head = ("", "Version", "Before", "When", "Who", "Why")
    rows = [_row(entry) for entry in reversed(state.promotions[-ROWS:])]
    lines = [f"**{plain(state.name)}: {champion}**", "", *markdown_table(head, rows, names=len(head))]
    write_whole(path, "\n".join([*lines, "", plain(state.remark)] if state.remark else lines) + "\n")


def _row(entry: Promotion) -> list[str]:
    before = DASH if entry.from_version is None else str(entry.from_version)
    at = entry.at.replace("T", " ").removesuffix("+00:00") + " UTC"
    return [str(entry.sequence), str(entry.to_version), before, at, plain(entry.who), plain(entry.why)]
