import re

import duckdb
import pytest

from tilepipe.components.ingest import database
from tilepipe.components.ingest.database import lock, open_database, quoted, readable
from tilepipe.components.shared.errors import SourceError


def test_what_does_not_fit_is_spilled(monkeypatch):
    monkeypatch.setattr(database, "_MOST_MEBIBYTES", 256)
    with open_database() as connection:
        folder = connection.execute("SELECT current_setting('temp_directory')").fetchone()[0]
        assert connection.execute("SELECT current_setting('memory_limit')").fetchone() == ("256.0 MiB",)
        lock(connection)
        connection.execute("CREATE TABLE many AS SELECT md5(range::VARCHAR) AS hash FROM range(3000000)")
        connection.execute("CREATE TABLE sorted AS SELECT hash, hash || hash AS twice FROM many ORDER BY hash")
        assert connection.execute("SELECT count(*) FROM sorted").fetchone() == (3_000_000,)
    assert not database.Path(folder).parent.exists()


def test_a_locked_database_reads_its_own_file_alone(tmp_path):
    mine, other = tmp_path / "mine.csv", tmp_path / "other.csv"
    for path in (mine, other):
        path.write_text("a\n1\n")
    with open_database() as connection, readable(connection, str(mine)) as name:
        lock(connection, [name])
        assert connection.execute(f"SELECT a FROM read_csv('{name}')").fetchall() == [(1,)]
        for statement in (
            f"SELECT * FROM read_csv('{other}')",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            f"ATTACH '{tmp_path}/x.duckdb'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    assert not (tmp_path / "out.csv").exists()


def test_a_file_that_is_not_there(tmp_path):
    with open_database() as connection, pytest.raises(SourceError, match=re.escape(f"{tmp_path}/none.csv")):
        readable(connection, str(tmp_path / "none.csv")).__enter__()


def test_names_are_quoted():
    with open_database() as connection:
        name = 'a "b" c'
        assert connection.execute(f"SELECT {quoted(name)} FROM (SELECT 1 AS {quoted(name)})").fetchall() == [(1,)]
