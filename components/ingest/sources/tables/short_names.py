"""Names of images without suffix or folder, as in Kaggle's tables, completed by a listing of files."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.ingest.sources.folder import SUFFIXES
from tilepipe.components.ingest.sources.hrefs import HrefResolver
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("tilepipe.ingest")

_SUFFIX = r"(?i)\.[a-z][a-z0-9]{1,4}$"
_ABSOLUTE = "^([A-Za-z][A-Za-z0-9+.-]*://|/)"

_FITTING = """
    CREATE TEMP TABLE completed AS
    WITH names AS (SELECT DISTINCT uri, len(string_split(uri, '/')) AS depth FROM chosen),
    depths AS (SELECT DISTINCT depth FROM names),
    ends AS (
        SELECT name, depth, array_to_string(list_slice(string_split(stem, '/'), -depth, -1), '/') AS ending
        FROM listed JOIN depths ON len(string_split(stem, '/')) >= depth
    )
    SELECT names.uri, min(name) AS name, count(name) AS fitting, max(name) AS other
    FROM names LEFT JOIN ends ON ends.depth = names.depth AND ends.ending = names.uri GROUP BY names.uri
"""


def complete(connection: "DuckDBPyConnection", folder: str, rewrite: Mapping[str, str], shown: str) -> None:
    """Complete the addresses in the table `chosen` if none of them is a file as it is.

    An address is that of the file below the folder whose path ends with it, but for the suffix where none has one.

    Args:
        connection: a database with the table `chosen`; its ids stay as they are.
        folder: normalized address of the folder that the addresses are relative to.
        rewrite: prefix -> replacement, as in `href_rewrite`; the files are searched for in place of the folder.
        shown: the table, for messages.

    Raises:
        SourceError: if an address fits several files; or none, and has no suffix.
    """
    place = storage.parent(HrefResolver(folder, rewrite).resolve("_", folder, shown))
    if storage.is_web(place):
        return
    query = """SELECT min(uri), count(*), count(*) FILTER (regexp_matches(uri, ?)),
        count(*) FILTER (regexp_matches(uri, ?)) FROM chosen"""
    first, rows, with_suffix, absolute = connection.execute(query, [_SUFFIX, _ABSOLUTE]).fetchall()[0]
    if absolute or with_suffix not in {0, rows} or storage.is_file(storage.join(place, first)):
        return
    names = [file.name for file in storage.list_files(place) if file.name.lower().endswith(SUFFIXES)]
    stems = names if with_suffix else [re.sub(r"\.[^./]*$", "", name) for name in names]
    connection.register(
        "listed", pa.table({"name": pa.array(names, pa.string()), "stem": pa.array(stems, pa.string())})
    )
    try:
        if with_suffix and connection.execute("SELECT 1 FROM chosen JOIN listed ON uri = name LIMIT 1").fetchall():
            return
        connection.execute(_FITTING)
    finally:
        connection.unregister("listed")
    _check(connection, folder, place, shown, least=0 if with_suffix else 1, images=len(names))
    update = "UPDATE chosen SET uri = completed.name FROM completed WHERE chosen.uri = completed.uri AND fitting = 1"
    [(count,)] = connection.execute(update).fetchall()
    connection.execute("DROP TABLE completed")
    if count:
        logger.info("completed %s addresses in %s by the files in %s", f"{count:,}", shown, place)
    else:
        logger.warning("there is no image of %s in %s, such as %s", shown, place, first)


def _check(connection: "DuckDBPyConnection", folder: str, place: str, shown: str, *, least: int, images: int) -> None:
    """Check that each address in the table `completed` fits at most one file, and at least `least`."""
    query = "SELECT * FROM completed WHERE fitting NOT BETWEEN ? AND 1 ORDER BY fitting, uri LIMIT 1"
    for uri, name, fitting, other in connection.execute(query, [least]).fetchall():
        found = f"fits none of {images:,} images in {place}"
        remedy = "move the table into the folder of its images."
        if fitting:
            found = f"fits {fitting} files, such as {name} and {other} in {place}"
            table = shown.rpartition("/")[2].lower()
            folders = [file.partition("/")[0] for file in (name, other)]
            likely = next((below for below in folders if table.startswith(below.lower())), folders[0])
            rewrite = argument("href_rewrite", {f"{folder}/": f"{place}/{likely}/"})
            remedy = f"give the folder of its images, such as with {rewrite}."
        raise SourceError(
            "The address of an image in a table must be that of a file relative to the table's folder, or fit one file "
            f"below it. Received: {uri} in {shown}, which {found}. Write the path of each file into the table, or "
            f"{remedy}"
        )
