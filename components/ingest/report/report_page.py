"""The ingest report as an HTML page: tiles, classes, groups, time and locations of each split."""

from tilepipe.components.ingest.report import wording
from tilepipe.components.ingest.report.facts import IngestReport
from tilepipe.components.ingest.report.split_map import SPLIT_COLORS, legend_mark, split_map
from tilepipe.components.shared.contracts.manifest import Split
from tilepipe.components.shared.pages.dark_style import DARK_ACCENT, DARK_BACKGROUND, DARK_STYLE
from tilepipe.components.shared.pages.formatting import DASH, SPLIT_NAMES, breakable, percent, tiles
from tilepipe.components.shared.pages.markup import Child, Markup, element, join
from tilepipe.components.shared.pages.page import facts, figures, headings, html_page, number, pair, section, table
from tilepipe.components.shared.pages.style import PAGE_STYLE
from tilepipe.components.shared.version import VERSION

_MOST_CLASSES = 200
_MOST_LABELS = 200
_STYLE = (
    PAGE_STYLE
    + "".join(f".part-{split}{{background:{color}}}" for split, color in SPLIT_COLORS.items())
    + """
.parts{display:flex;height:.5rem;margin:.15rem 0 .1rem;min-width:1px}
.parts span{min-width:1px}
.parts span+span{border-left:1px solid #fff}
.keys{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.5rem 0 .2rem;color:var(--soft);font-size:.85rem}
.keys span{display:inline-flex;align-items:center;gap:.35rem}
.keys i{width:.8rem;height:.8rem}
.map{margin-top:.5rem;width:100%}
.lines span{display:block;white-space:nowrap}
.classes th:first-child{width:38%}
.scroll+p{margin-top:.8rem}
td.name,th.name{overflow-wrap:anywhere}
@media (min-width:56rem){.classes .parts{height:.6rem}}
"""
    + DARK_STYLE
    + f"""
@media screen and (prefers-color-scheme:dark){{
.part-train{{background:{DARK_ACCENT}}}
svg .dots-train{{stroke:{DARK_ACCENT}}}
.parts span+span{{border-color:{DARK_BACKGROUND}}}
}}
"""
)


def render_page(report: IngestReport) -> str:
    """Render the page as a self-contained HTML document without scripts."""
    place = section("Where the tiles are", _map_note(report), *_map(report))
    between = section("Between the splits", _between_note(report), _between(report), _duplicates(report))
    classes = section("Classes", _classes_note(report), _keys(report), _classes(report), long=True)
    left_out = section("Dropped", _left_out_note(report), _left_out(report), long=True)
    source = section("Data set", None, _facts(report))
    return html_page(
        f"{report.info.name}: ingest report",
        _STYLE,
        _header(report),
        classes,
        pair(place, element("div", section("Splits", None, _splits(report)), between)),
        pair(source, element("div", left_out, _labels(report))),
        element("footer", f"Written by tilepipe {VERSION}."),
    )


def _header(report: IngestReport) -> Markup:
    here = wording.present(report)
    shares = ", ".join(f"{found.tiles:,} for {SPLIT_NAMES[split]}" for split, found in here)
    count = len(report.info.class_names)
    return element(
        "header",
        element("p", "Ingest report", class_="over"),
        element("h1", report.info.name),
        element(
            "p",
            element("strong", tiles(report.tiles)),
            f" of {count:,} class{'' if count == 1 else 'es'}: ",
            shares,
            ".",
            class_="lede",
        ),
        *(element("p", warning, class_="remark") for warning in wording.warnings(report)),
        _headline(report),
    )


def _headline(report: IngestReport) -> Markup:
    splits = [split for split, _ in wording.present(report)]
    other: Split = "test" if "test" in splits or "val" not in splits else "val"
    nearest = report.distances_metres.get(("train", other))
    duplicates = report.duplicates
    grouped = any(f.groups for f in report.splits.values())
    left = report.selection.found - report.tiles
    return figures(
        [
            ("Tiles", f"{report.tiles:,}", f"of {report.selection.found:,} found, {left:,} dropped"),
            ("Nearest tiles", wording.length(nearest), f"training to {SPLIT_NAMES[other]}, center to center"),
            (
                "Duplicates",
                f"{duplicates.tiles:,}" if duplicates.checked else DASH,
                "tiles, across splits" if duplicates.checked else "the source has no checksums",
            ),
            (
                "Straddling groups",
                f"{report.straddling_groups:,}" if grouped else DASH,
                "in more than one split" if grouped else "the tiles have no groups",
            ),
        ]
    )


def _keys(report: IngestReport) -> Markup:
    keys = (
        element("span", element("i", class_=f"part-{split}"), SPLIT_NAMES[split])
        for split, _ in wording.present(report)
    )
    return element("div", *keys, class_="keys")


def _classes_note(report: IngestReport) -> str:
    more = len(report.info.class_names) - _MOST_CLASSES
    note = "In the order of the model's outputs; the longest bar is the largest class."
    return f"{note} The first {_MOST_CLASSES} are shown; the label map lists the other {more:,}." if more > 0 else note


def _classes(report: IngestReport) -> Markup:
    here = wording.present(report)
    names = report.info.class_names
    totals = {name: sum(f.tiles_per_class.get(name, 0) for _, f in here) for name in names}
    largest = max(totals.values(), default=0) or 1
    rows = [
        element(
            "tr",
            element("th", breakable(name), _parts(report, name, totals[name] / largest), scope="row", class_="name"),
            *(number(f"{f.tiles_per_class.get(name, 0):,}") for _, f in here),
            number(f"{totals[name]:,}"),
            number(percent(totals[name] / report.tiles) if report.tiles else DASH),
        )
        for name in names[:_MOST_CLASSES]
    ]
    rows.append(
        element(
            "tr",
            element("th", "All", scope="row"),
            *(number(f"{f.tiles:,}") for _, f in here),
            number(f"{report.tiles:,}"),
            number(percent(1, 0)),
        )
    )
    head = headings("Class", *(f"#{SPLIT_NAMES[split].capitalize()}" for split, _ in here), "#All", "#Share")
    return element("div", table("Tiles of each class in each split", head, rows), class_="classes")


def _parts(report: IngestReport, name: str, share: float) -> Markup | None:
    """Return a bar in the splits' colors if the class has tiles; hidden from screen readers, which read the numbers."""
    if not share:
        return None
    parts = (
        element("span", class_=f"part-{split}", style=f"flex:{count} 0 0")
        for split, f in wording.present(report)
        if (count := f.tiles_per_class.get(name, 0))
    )
    return element("div", *parts, class_="parts", style=f"width:{100 * share:.1f}%", aria_hidden="true")


def _splits(report: IngestReport) -> Markup:
    here = wording.present(report)

    def row(title: str, *cells: str) -> Markup:
        return element("tr", element("th", title, scope="row"), *(number(cell) for cell in cells))

    rows = [row("Tiles", *(f"{f.tiles:,}" for _, f in here))]
    if any(f.groups for _, f in here):
        rows.append(row("Groups", *(f"{f.groups:,}" for _, f in here)))
    if any(f.first for _, f in here):
        rows += [
            row("From", *(wording.day(f.first) for _, f in here)),
            row("To", *(wording.day(f.last) for _, f in here)),
        ]
    if report.located:
        rows.append(row("Area", *(wording.area(f.area_km2) for _, f in here)))
    head = [element("td"), *headings(*(f"#{SPLIT_NAMES[split].capitalize()}" for split, _ in here))]
    return table("Content of each split", head, rows)


def _map_note(report: IngestReport) -> str:
    drawn = sum(len(points) for points in report.points.values())
    if not drawn:
        return "The source has no coordinates."
    sample = "" if drawn == report.located else f"A sample of {drawn:,} of {tiles(report.located)}. "
    without = report.tiles - report.located
    lacking = f" {tiles(without)} {'has' if without == 1 else 'have'} no coordinates." if without else ""
    return f"{sample}Centers of the tiles, by split.{lacking}"


def _map(report: IngestReport) -> list[Child]:
    if not report.located:
        return []
    keys = (element("span", legend_mark(split), SPLIT_NAMES[split]) for split, _ in wording.present(report))
    rows = []
    for split, found in wording.present(report):
        lines = (element("span", line) for line in wording.extent_lines(found.extent))
        rows.append(
            element(
                "tr",
                element("th", SPLIT_NAMES[split].capitalize(), scope="row"),
                element("td", *lines, class_="lines"),
            )
        )
    return [
        element("div", *keys, class_="keys"),
        split_map(report.points),
        table("Extent of each split", headings("Split", "Extent"), rows),
    ]


def _between_note(report: IngestReport) -> str:
    if not report.located:
        return "The source has no coordinates, so there are no distances."
    return "Great-circle distance of the nearest centers. Overlaps count twice in areas."


def _between(report: IngestReport) -> Markup | None:
    rows = [
        element("tr", element("th", name, scope="row"), number(wording.length(metres)))
        for name, metres in wording.distances(report)
    ]
    return (
        table("Distance between the splits", headings("Splits", "#Smallest distance"), rows) if report.located else None
    )


def _duplicates(report: IngestReport) -> Markup:
    found = report.duplicates
    if not found.checked:
        return element("p", "Duplicates: not checked, because the source states no checksums.")
    if not found.tiles:
        checked = f"{tiles(found.checked)} with a checksum"
        return element("p", f"No exact duplicates across splits, among {checked}.")
    rows = [
        element(
            "tr",
            element(
                "td", element("code", breakable(f"{one.checksum[:20]}…" if len(one.checksum) > 20 else one.checksum))
            ),
            element(
                "td",
                *(
                    element("div", element("code", breakable(tile_id)), element("span", f" {split}", class_="soft"))
                    for tile_id, split in one.tiles
                ),
            ),
        )
        for one in found.examples
    ]
    said = (
        f"{tiles(found.tiles)} share {found.checksums:,} checksum{'' if found.checksums == 1 else 's'} across splits:"
    )
    return element("div", element("p", said), table("Exact duplicates", headings("Checksum", "Tiles"), rows))


def _left_out_note(report: IngestReport) -> str:
    note = f"{report.tiles:,} of {tiles(report.selection.found)} in the source selected."
    return f"{note} {report.selection.rare}".rstrip()


def _left_out(report: IngestReport) -> Markup:
    if not report.selection.left_out:
        return element("p", "No tiles were dropped by the selection.")
    rows = [
        element("tr", element("td", breakable(reason), class_="name"), number(f"{count:,}"))
        for reason, count in report.selection.left_out
    ]
    return table("Dropped tiles, by reason", headings("Reason", "#Tiles"), rows)


def _labels(report: IngestReport) -> Markup | None:
    recode, dropped = report.selection.recode, report.selection.dropped_labels
    if not recode and not dropped:
        return None
    changes = {**dict.fromkeys(dropped, None), **recode}
    labels = sorted(changes)
    rows = []
    for label in labels[:_MOST_LABELS]:
        became = changes[label]
        shown = breakable(became) if became else element("span", "dropped", class_="soft")
        count = number(f"{dropped[label]:,}" if label in dropped else "")
        rows.append(
            element("tr", element("td", breakable(label), class_="name"), element("td", shown, class_="name"), count)
        )
    note = (
        f"The first {_MOST_LABELS} of {len(labels):,}; the label map lists all." if len(labels) > _MOST_LABELS else None
    )
    drawn = table("Recoding of the labels", headings("Label", "Class", "#Tiles dropped"), rows)
    return section("Recoded and dropped labels", note, drawn, long=True)


def _facts(report: IngestReport) -> Markup:
    info = report.info
    rows: list[tuple[str, Child]] = [
        ("Name", info.name),
        ("Source", join(breakable(info.source), element("span", f" ({info.source_kind})", class_="soft"))),
        ("Snapshot", info.snapshot or "not stated"),
        ("Bands", wording.bands(report)),
        ("Classes", f"{len(info.class_names):,}"),
    ]
    if report.selection.split_how:
        rows.append(("Split", report.selection.split_how))
    return facts(rows)
