"""Names of images without suffix, as in Kaggle's tables, completed by a listing of the files below the table."""

import logging
import re
from typing import TYPE_CHECKING

import pyarrow as pa

from tilepipe.components.ingest.sources.folder import SUFFIXES
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


def complete(connection: "DuckDBPyConnection", folder: str, shown: str) -> None:
    """Complete the addresses in the table `chosen` where none has a suffix, and none of them is a file as it is.

    An address is that of the file below the folder whose path ends with it, but for the suffix.

    Args:
        connection: a database with the table `chosen`; its ids stay as they are.
        folder: normalized address of the folder that the addresses are relative to.
        shown: the table, for messages.

    Raises:
        SourceError: if an address fits no file or several.
    """
    if storage.is_web(folder):
        return
    query = "SELECT min(uri), count(*) FILTER (regexp_matches(uri, ?) OR regexp_matches(uri, ?)) FROM chosen"
    first, complete_ones = connection.execute(query, [_SUFFIX, _ABSOLUTE]).fetchall()[0]
    if complete_ones or storage.is_file(storage.join(folder, first)):
        return
    names = [file.name for file in storage.list_files(folder) if file.name.lower().endswith(SUFFIXES)]
    stems = [re.sub(r"\.[^./]*$", "", name) for name in names]
    connection.register(
        "listed", pa.table({"name": pa.array(names, pa.string()), "stem": pa.array(stems, pa.string())})
    )
    connection.execute(_FITTING)
    connection.unregister("listed")
    wrong = "SELECT uri, fitting, name, other FROM completed WHERE fitting <> 1 ORDER BY fitting, uri LIMIT 1"
    for uri, fitting, name, other in connection.execute(wrong).fetchall():
        found = (
            f"fits {fitting} files, such as {name} and {other}" if fitting else f"fits none of {len(names):,} images"
        )
        raise SourceError(
            "A name of an image without suffix must fit one file below the table's folder. "
            f"Received: {uri} in {shown}, which {found} in {folder}. Write the path of each file into the table, or "
            "move the table into the folder of its images."
        )
    connection.execute("UPDATE chosen SET uri = completed.name FROM completed WHERE chosen.uri = completed.uri")
    connection.execute("DROP TABLE completed")
    logger.info("completed the names without suffix in %s by the files in %s", shown, folder)
