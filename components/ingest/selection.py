"""Selection of tiles by a condition, classes and a maximum per class; creates the table `chosen`."""

import json
import logging
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tilepipe.components.ingest.class_names import check_class_names
from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.label_map import sorted_labels
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.rare_classes import find_rare
from tilepipe.components.ingest.report.facts import SelectionFacts
from tilepipe.components.ingest.sources.source_view import COLUMNS
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.runtime.database import lacks_space, quoted, reason
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_SHOWN = 10
_NOT_UTF8 = re.compile(r'Invalid string encoding found in Parquet file "[^"]*": (value ".*") is not valid')
_DAMAGE = re.compile(r'Failed to read file "[^"]*": (.*)')


def columns_of(where: str) -> frozenset[str]:
    """Return the names of the columns that a condition uses.

    Args:
        where: an SQL expression; empty for no condition.

    Raises:
        ParameterError: if it is not an expression.
    """
    if not where.strip():
        return frozenset()
    import duckdb

    with duckdb.connect() as connection:
        # On a separate line, so that a comment at its end does not comment out the closing parenthesis.
        statement = f"SELECT * FROM found WHERE (\n{where}\n)"  # noqa: S608 - parsed, not run
        query = "SELECT json_serialize_sql(?)"
        parsed = json.loads(connection.execute(query, [statement]).fetchall()[0][0])
        listed = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"
        volatile = {name for (name,) in connection.execute(listed).fetchall()}
    if parsed["error"] or len(parsed["statements"]) != 1:
        raise _bad_condition(where, str(parsed.get("error_message", "it is more than one statement")))
    condition = parsed["statements"][0]["node"]["where_clause"]
    nodes = list(_nodes(condition))
    if any(node.get("class") == "SUBQUERY" for node in nodes):
        raise _bad_condition(where, "a condition must not contain queries")
    called = {node["function_name"].lower() for node in nodes if node.get("class") == "FUNCTION"}
    if nondeterministic := sorted(called & volatile):
        raise _bad_condition(where, f"{', '.join(nondeterministic)} would select different tiles in each run")
    return frozenset(node["column_names"][0] for node in nodes if node.get("class") == "COLUMN_REF")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(child)


def choose(connection: "DuckDBPyConnection", config: IngestConfig) -> tuple[tuple[str, ...], SelectionFacts]:
    """Create the table `chosen` of the selected tiles of the view `found`, with their class as `label`.

    Returns:
        The classes in the order of the integer labels, and the result of the selection.

    Raises:
        ParameterError: if the condition does not fit the source, or parameters contradict each other.
        SourceError: if no tile is left, or a label is missing or unknown.
    """
    found, unmet = _filter(connection, config)
    dropped = _recode(connection, config)
    rare = find_rare(_labels(connection), config.options.min_per_class, config.options.rare_class)
    rare.apply(connection)
    class_names = _classes(connection, config)
    capped = _cap(connection, config)
    reasons = {
        "where is not true": unmet,
        f"dropped by recode: {', '.join(label or 'no label' for label in sorted(dropped))}": sum(dropped.values()),
        rare.reason: rare.dropped,
        "exceeds max_per_class or max_class_ratio": capped,
    }
    left_out = tuple((why, count) for why, count in reasons.items() if count)
    for why, count in left_out:
        logger.info("dropped %s tiles: %s", f"{count:,}", why)
    return class_names, SelectionFacts(
        found=found,
        left_out=left_out,
        recode=rare.recoded(config.recode),
        dropped_labels=dropped | (rare.counts if rare.dropped else {}),
        rare=rare.sentence,
        unverified=_unverified(connection),
    )


def _filter(connection: "DuckDBPyConnection", config: IngestConfig) -> tuple[int, int]:
    """Select the tiles that meet the condition; return the number of all tiles and of those that do not meet it."""
    import duckdb

    condition = f"WHERE (\n{config.where}\n)" if config.where.strip() else ""
    columns = ", ".join(map(quoted, COLUMNS))
    try:
        connection.execute(f"CREATE TABLE chosen AS SELECT {columns} FROM found {condition}")  # noqa: S608
    except duckdb.Error as error:
        if lacks_space(error):
            raise
        if not_utf8 := _NOT_UTF8.search(str(error)):
            raise SourceError(
                f"The text of a Parquet file must be UTF-8. Received: {storage.shown(config.source)} with "
                f"{not_utf8[1]}. Write the file again with its text as UTF-8."
            ) from None
        damage = _DAMAGE.search(str(error))
        mistakes = (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError, duckdb.PermissionException)
        if damage or not condition or not isinstance(error, mistakes):
            raise SourceError(
                f"A file must be complete. Received: {storage.shown(config.source)}, which reads as: "
                f"{damage[1] if damage else reason(error)}. Copy it or create it again."
            ) from None
        described = connection.execute("DESCRIBE found").fetchall()
        names = [name for name, *_ in described if not name.startswith("tilepipe_")]
        raise _bad_condition(config.where, f"{reason(error)}; there are {', '.join(names)}") from None
    taken = _count(connection, "SELECT count(*) FROM chosen")
    found = _count(connection, "SELECT count(*) FROM found") if condition else taken
    if not taken and config.needs_labels:
        if found:
            raise SourceError(
                "`data_where` must be true for at least one tile. "
                f"Received: data_where={config.where!r}, and it is true for none of the {found:,} tiles of "
                f"{config.source}."
            )
        raise SourceError(f"A source must contain at least one tile. Received: data_source={config.source} with none.")
    return found, found - taken


def _recode(connection: "DuckDBPyConnection", config: IngestConfig) -> dict[str, int]:
    """Replace labels by classes; return the dropped labels with their number of tiles."""
    if not config.recode:
        return {}
    counts = _labels(connection)
    unknown = sorted(set(config.recode) - {label or "" for label in counts})
    if unknown:
        raise ParameterError(
            f"`data_recode` must name labels that the source has. Received: {joined(unknown)}, and the source has "
            f"{_some(counts)}."
        )
    pairs = [(label, new or None) for label, new in config.recode.items()]
    connection.execute("CREATE TEMP TABLE recode (label VARCHAR, class VARCHAR)")
    connection.executemany("INSERT INTO recode VALUES (?, ?)", pairs)
    dropped = {label: counts.get(label, counts.get(label or None, 0)) for label, new in pairs if new is None}
    connection.execute(
        "DELETE FROM chosen USING recode WHERE coalesce(chosen.label, '') = recode.label AND recode.class IS NULL"
    )
    connection.execute(
        "UPDATE chosen SET label = recode.class FROM recode "
        "WHERE coalesce(chosen.label, '') = recode.label AND recode.class IS NOT NULL"
    )
    connection.execute("DROP TABLE recode")
    return dropped


def _classes(connection: "DuckDBPyConnection", config: IngestConfig) -> tuple[str, ...]:
    counts = _labels(connection)
    if not config.needs_labels:
        counts.pop(None, None)
    if None in counts:
        query = "SELECT coalesce(tile_id, 'one without an id') FROM chosen WHERE label IS NULL ORDER BY tile_id LIMIT 3"
        examples = ", ".join(name for (name,) in connection.execute(query).fetchall())
        raise SourceError(
            f"Each tile must have a label. Received: {counts[None]:,} of {sum(counts.values()):,} without one, such as "
            f"{examples}, in {config.source}. Name the property or column with "
            f"{argument('columns', {'label': '...'})}, or drop these tiles with {argument('recode', {'': ''})}."
        )
    names = tuple(sorted_labels(str(name) for name in counts))
    if config.classes:
        outside = [name for name in names if name not in config.classes]
        if outside:
            raise SourceError(
                f"Each label must be one of `data_classes`. Received: "
                f"{_some({name: counts[name] for name in outside})}, and data_classes={list(config.classes)}. Add "
                f"them: {argument('classes', [*config.classes, *outside[:_SHOWN]])}; or drop them: "
                f"{argument('recode', dict.fromkeys(outside[:_SHOWN], ''))}."
            )
        absent = [name for name in config.classes if name not in names]
        if absent and config.needs_labels:
            raise SourceError(
                f"Each of `data_classes` must have tiles. Received: none of {', '.join(absent)} in {config.source}, "
                f"whose labels are {_some(counts)}. Use those with tiles: "
                f"{argument('classes', [name for name in config.classes if name in names])}."
            )
        names = config.classes
    check_class_names(names)
    if len(names) < 2 and config.needs_labels:
        raise SourceError(
            "A classifier needs at least two classes. "
            f"Received: data_source={config.source} with only {joined(names)}. The classes of a folder are the folders "
            f"directly below it; for items and tables, name the property or column with "
            f"{argument('columns', {'label': '...'})}."
        )
    return names


def _cap(connection: "DuckDBPyConnection", config: IngestConfig) -> int:
    """Drop random tiles of classes with more than the maximum; return the number of dropped tiles."""
    counts = _labels(connection)
    mean = sum(counts.values()) / max(1, len(counts))
    caps = [config.max_per_class] if config.max_per_class else []
    if config.options.max_class_ratio:
        caps.append(int(config.options.max_class_ratio * mean))
    if not caps or max(counts.values(), default=0) <= min(caps):
        return 0
    cap = min(caps)
    if cap < 1:
        raise ParameterError(
            "`data_options.max_class_ratio` must leave each class at least one tile. "
            f"Received: data_options.max_class_ratio={config.options.max_class_ratio} of a mean class size of "
            f"{mean:.3g}. Raise it to at least "
            f"{argument('options', {'max_class_ratio': math.ceil(1000 / mean) / 1000})}."
        )
    # By a hash, not by number: tiles with neighboring numbers are often neighbors on the ground.
    connection.execute(
        """
        DELETE FROM chosen WHERE rowid IN (
            SELECT row FROM (
                SELECT rowid AS row,
                    row_number() OVER (PARTITION BY label ORDER BY md5(? || ':sample:' || tile_id), tile_id) AS rank
                FROM chosen
            ) WHERE rank > ?
        )
        """,
        [str(config.seed), cap],
    )
    return sum(max(count - cap, 0) for count in counts.values())


def _unverified(connection: "DuckDBPyConnection") -> dict[str, int]:
    """Count the labels that are predictions or doubted, by EcoTaxa's status."""
    query = (
        "SELECT tilepipe_label_status, count(*) FROM chosen "
        "WHERE tilepipe_label_status IN ('predicted', 'dubious') GROUP BY ALL ORDER BY ALL"
    )
    counts = {str(status): int(count) for status, count in connection.execute(query).fetchall()}
    if counts:
        logger.warning(
            "labels of %s tiles are not validated (%s); exclude them with data_where=%s",
            f"{sum(counts.values()):,}",
            ", ".join(f"{status} {count:,}" for status, count in counts.items()),
            "\"object_annotation_status = 'validated'\"",
        )
    return counts


def _labels(connection: "DuckDBPyConnection") -> dict[str | None, int]:
    return dict(connection.execute("SELECT label, count(*) FROM chosen GROUP BY label ORDER BY label").fetchall())


def _count(connection: "DuckDBPyConnection", query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])


def _some(counts: dict[str, int] | dict[str | None, int]) -> str:
    shown = [f"{name} ({count:,})" for name, count in list(counts.items())[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")


def _bad_condition(where: str, why: str) -> ParameterError:
    return ParameterError(
        "`data_where` must be an SQL condition on the columns of the tiles, such as label <> 'River' AND "
        f'"eo:cloud_cover" < 20. Received: data_where={where!r}: {why}.'
    )
