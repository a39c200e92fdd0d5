import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.ingest.sources.duckdb_files import parquet_relation, readable
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import literal, lock, open_database


def test_a_file_that_is_not_there(tmp_path):
    with open_database() as connection, pytest.raises(SourceError, match=re.escape(f"{tmp_path}/none.csv")):
        readable(connection, [str(tmp_path / "none.csv")]).__enter__()


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ("x", pa.array),
        ("x", lambda x: pa.array(x.astype(np.float32))),
        ("x", lambda x: pa.array(x.astype(np.float16))),
        ("x.low", lambda x: pa.array([{"low": each, "name": "a"} for each in x])),
        ("x[1]", lambda x: pa.array([[each] for each in x])),
        ("x[1]", lambda x: pa.array([[each] for each in x], pa.list_(pa.float64(), 1))),
        ("x.a[1].low", lambda x: pa.array([{"a": [{"low": each}]} for each in x])),
    ],
)
def test_conditions_on_nan_are_as_in_a_table(tmp_path, value, column):
    path = str(tmp_path / "x.parquet")
    pq.write_table(pa.table({"x": column(np.array([10.0, 40.0, np.nan])), "day": ["a", "b", "c"]}), path)
    with open_database() as connection:
        relation, types = parquet_relation(connection, [path])
        assert list(types) == ["x", "day"]
        connection.execute(f"CREATE VIEW found AS SELECT x, day FROM {relation}")
        connection.execute(f"CREATE TABLE loaded AS FROM read_parquet({literal(path)})")
        lock(connection, [path])
        for condition, expected in ((f"isnan({value})", 1), (f"{value} < 50", 2), (f"{value} >= 50", 1)):
            for source in ("found", "loaded"):
                query = f"SELECT count(*) FROM {source} WHERE {condition}"
                assert connection.execute(query).fetchall() == [(expected,)], (source, condition)


def test_other_columns_still_skip_row_groups(tmp_path):
    path = str(tmp_path / "x.parquet")
    pq.write_table(pa.table({"x": [0.5], "day": ["b"]}), path)
    with open_database() as connection:
        relation, _ = parquet_relation(connection, [path])
        query = f"EXPLAIN SELECT x FROM {relation} WHERE day = 'c'"
        ((_, plan),) = connection.execute(query).fetchall()
    assert "Empty Result" in plan  # decided by the statistics alone
