import re

import pytest

from tilepipe.components.ingest.sources.duckdb_files import readable
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import open_database


def test_a_file_that_is_not_there(tmp_path):
    with open_database() as connection, pytest.raises(SourceError, match=re.escape(f"{tmp_path}/none.csv")):
        readable(connection, str(tmp_path / "none.csv")).__enter__()
