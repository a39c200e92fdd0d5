"""The summary of the ingest report, as Markdown; Kubeflow renders tables but no inline HTML."""

from collections.abc import Iterable, Sequence

from tilepipe.components.ingest.report import wording
from tilepipe.components.ingest.report.facts import IngestReport
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES, markdown_table, plain, tiles

_MOST_CLASSES = 50


def render_summary(report: IngestReport) -> str:
    """Render the summary as Markdown with tables; names from the source are escaped."""
    info, here = report.info, wording.present(report)
    names = [SPLIT_NAMES[split] for split, _ in here]
    shares = ", ".join(f"{facts.tiles:,} {SPLIT_NAMES[split]}" for split, facts in here)
    classes = [
        (plain(name), *(f"{facts.tiles_per_class.get(name, 0):,}" for _, facts in here))
        for name in info.class_names[:_MOST_CLASSES]
    ]
    more = len(info.class_names) - len(classes)
    parts = [
        f"# {plain(info.name)}",
        f"{tiles(report.tiles)} of {len(info.class_names):,} classes: {shares}.",
        *(f"**{warning}**" for warning in wording.warnings(report)),
        _table(
            ("", *names),
            [
                ("Tiles", *(f"{facts.tiles:,}" for _, facts in here)),
                ("Groups", *(f"{facts.groups:,}" for _, facts in here)),
                ("From", *(wording.day(facts.first) for _, facts in here)),
                ("To", *(wording.day(facts.last) for _, facts in here)),
                ("Area", *(wording.area(facts.area_km2) for _, facts in here)),
            ],
        ),
        "## Classes",
        _table(("Class", *names), classes),
        f"And {more:,} more classes." if more else "",
        "## Between the splits",
        _table(
            ("Measure", ""),
            [
                *((f"Smallest distance, {pair}", wording.length(metres)) for pair, metres in wording.distances(report)),
                ("Groups in more than one split", f"{report.straddling_groups:,}"),
                ("Tiles with an exact duplicate in another split", _duplicates(report)),
            ],
        ),
        "## Dropped" if report.selection.left_out else "",
        _table(("Reason", "Tiles"), [(plain(reason), f"{count:,}") for reason, count in report.selection.left_out]),
        "## Source",
        "\n".join(
            [
                f"- Source: {plain(info.source)} ({plain(info.source_kind)})",
                f"- Snapshot: {plain(info.snapshot) or 'not stated'}",
                f"- Bands: {plain(wording.bands(report))}",
                *([f"- Split: {plain(report.selection.split_how)}"] if report.selection.split_how else []),
                *([f"- Rare classes: {plain(report.selection.rare)}"] if report.selection.rare else []),
            ]
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _duplicates(report: IngestReport) -> str:
    return f"{report.duplicates.tiles:,}" if report.duplicates.checked else "unknown: no checksums"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(markdown_table(head, rows))
