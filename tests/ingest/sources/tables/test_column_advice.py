"""Tests of the advice for tables with other columns: what it names is pasted, and works."""

import json
import shlex
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.ingest.config import Columns, IngestConfig
from tilepipe.components.ingest.sources.tables.column_advice import likely_column, one_hot_advice
from tilepipe.components.ingest.sources.tables.table import TableSource
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import open_database


def read(path, columns):
    config = IngestConfig(source=str(path), columns=Columns(**columns))
    with open_database() as connection, TableSource(str(path), config).found(connection):
        return dict(connection.execute("SELECT uri, label FROM found").fetchall())


def refused(path, columns):
    with pytest.raises(SourceError, match="must") as found:
        read(path, columns)
    return str(found.value)


def pasted(message):
    """Return the columns that a message gives."""
    words = shlex.split(message.rpartition("such as data_columns")[2].rpartition("'")[0].partition(". If")[0] + "'")
    return json.loads(words[0].removeprefix("="))


@pytest.mark.parametrize(
    ("header", "image", "label"),
    [
        ("id,label", "id", "label"),
        ("image_id,breed", "image_id", "breed"),
        ("id,target", "id", "target"),
        ("image_name,tags", "image_name", "tags"),
        ("ImageId,BuildingId,land", "ImageId", "land"),
    ],
)
def test_columns_of_kaggles_tables_are_named_one_after_the_other(tmp_path, header, image, label):
    path = tmp_path / "train.csv"
    path.write_text(f"{header}\n" + ",".join("x" if name == image else "7" for name in header.split(",")) + "\n")
    columns = {}
    for _ in range(header.count(",") + 1):
        try:
            assert read(path, columns) == {"x": "7"}
            break
        except SourceError as error:
            columns = pasted(str(error))
    assert {"label": label, **columns} == {"image": image, "label": label}


@pytest.mark.parametrize(
    ("role", "names", "found"),
    [
        ("image", ["photo_id", "photo_uuid"], ""),
        ("image", ["a", "b"], ""),
        ("label", ["a", "b"], ""),
        ("label", ["taxon_id"], "taxon_id"),
        ("label", [], ""),
    ],
)
def test_a_column_is_only_named_if_it_is_the_only_one(role, names, found):
    assert likely_column(role, names) == found


def run(message):
    """Run the command in a message, and return the table that it gives."""
    command, _, parameter = message.rpartition("with: ")[2].removesuffix(".").rpartition(" and give ")
    program = [sys.executable, *shlex.split(command)[1:]]
    subprocess.run(program, check=True)
    return shlex.split(parameter)[0].removeprefix("data_source=")


def test_a_column_for_each_class(tmp_path):
    path = tmp_path / "train 'a'.csv"
    path.write_text("image,id,rust,multiple diseases\n1.jpg,07,0,1\n2.jpg,08,1,0\n")
    message = refused(path, {})
    assert 'such as data_columns=\'{"label": "..."}\'. If each class has a column of 0 and 1' in message
    assert read(run(message), {}) == {"1.jpg": "multiple diseases", "2.jpg": "rust"}


@pytest.mark.parametrize("row", ["0,0", "1,1", "2,0", "x,1"])
def test_other_numbers_are_no_classes(row):
    first = dict(zip(("a", "b"), row.split(","), strict=True))
    assert one_hot_advice("x.csv", ["A", "b"], first) == ""


def test_lists_with_a_number_for_each_class(tmp_path):
    path = tmp_path / "tiles.parquet"
    pq.write_table(pa.table({"path": ["1.tif", "2.tif"], "label": [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]}), path)
    message = refused(path, {})
    assert "Received: lists in label in" in message
    assert read(run(message), {}) == {"1.tif": "1", "2.tif": "0"}


def test_there_is_no_command_for_remote_and_compressed_tables():
    first = {"a": "0", "b": "1"}
    for uri in ("s3://bucket/x.csv", "x.csv.gz"):
        advice = one_hot_advice(uri, ["a", "b"], first)
        assert advice == " If each class has a column of 0 and 1, write its name into one column."
