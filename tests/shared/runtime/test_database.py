import duckdb
import pytest

from tilepipe.components.shared.errors import StorageError
from tilepipe.components.shared.runtime import database
from tilepipe.components.shared.runtime.database import lock, open_database, plainly_named, quoted


def test_what_does_not_fit_is_spilled():
    with open_database(256) as connection:
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
    with open_database() as connection, plainly_named(mine) as name:
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


def test_a_name_is_no_pattern(tmp_path):
    for name in ("a[12].csv", "a1.csv"):
        (tmp_path / name).write_text(f"name\n{name}\n")
    with open_database() as connection, plainly_named(tmp_path / "a[12].csv") as name:
        assert connection.execute(f"SELECT name FROM read_csv('{name}')").fetchall() == [("a[12].csv",)]


def test_names_are_quoted():
    with open_database() as connection:
        name = 'a "b" c'
        assert connection.execute(f"SELECT {quoted(name)} FROM (SELECT 1 AS {quoted(name)})").fetchall() == [(1,)]


def test_a_full_disk_is_reported():
    with pytest.raises(StorageError, match=r"There must be disk space.*larger disk"), open_database(256) as connection:
        connection.execute("SET max_temp_directory_size = '1MB'")
        connection.execute("CREATE TEMP TABLE many AS SELECT md5(range::VARCHAR) AS hash FROM range(8000000)")
        connection.execute("CREATE TEMP TABLE sorted AS SELECT * FROM many ORDER BY hash")


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
@pytest.mark.parametrize(
    ("limit", "mebibytes"), [(800 * 2**20, 400), (2**20, 256), ("max", 512), (9223372036854771712, 512)]
)
def test_the_memory_limit_of_either_interface_is_read(tmp_path, name, limit, mebibytes):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(f"{limit}\n")
    assert database._memory_mebibytes(512, tmp_path) == mebibytes
