"""Tests of sources whose tiles need no labels, as predictions read them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.ingest.conftest import make_item
from tests.ingest.sources.tfrecords.test_tfrecord import example
from tests.support.ingesting import ingest_into
from tests.support.tile_tables import read_tile_table
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.records.frames import frame

OPTIONAL = {"labels": "optional"}


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def rows_of(folder, **parameters):
    ingest_into(folder, **OPTIONAL, **parameters)
    table, info = read_tile_table(folder / "tiles.parquet")
    assert set(table["split"].to_pylist()) <= {"test"}
    return dict(zip(table["tile_id"].to_pylist(), table["label"].to_pylist(), strict=True)), info


def test_images_beside_class_folders_have_no_label(tmp_path):
    write_image(tmp_path / "new" / "1.png")
    write_image(tmp_path / "new" / "Forest" / "2.png")
    rows, info = rows_of(tmp_path / "out", source=str(tmp_path / "new"))
    assert rows == {"1.png": None, "Forest/2.png": "Forest"}
    assert info.class_names == ("Forest",)
    with pytest.raises(SourceError, match="at least two classes"):
        ingest_into(tmp_path / "out", source=str(tmp_path / "new"))


def test_an_empty_folder_gives_an_empty_table(tmp_path):
    (tmp_path / "new").mkdir()
    rows, info = rows_of(tmp_path / "out", source=str(tmp_path / "new"))
    assert rows == {}
    assert info.class_names == ()
    with pytest.raises(SourceError, match="A source must exist"):
        rows_of(tmp_path / "out", source=str(tmp_path / "none"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_needs_no_column_of_labels(tmp_path, suffix):
    write_image(tmp_path / "1.png")
    table = tmp_path / f"new{suffix}"
    if suffix == ".csv":
        table.write_text("image,taken\n1.png,2026-01-01\n")
    else:
        pq.write_table(pa.table({"image": ["1.png"], "label": pa.array([None], pa.string())}), table)
    rows, _ = rows_of(tmp_path / "out", source=str(table))
    assert rows == {"1.png": None}


def test_items_need_no_label(tmp_path):
    items = [make_item(id="a", properties={"datetime": "2026-01-01T00:00:00Z"}), make_item(id="b")]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    rows, _ = rows_of(tmp_path / "out", source=str(tmp_path / "items.json"))
    assert rows == {"a": None, "b": "Forest"}
    rows, _ = rows_of(tmp_path / "none", source=str(tmp_path / "items.json"), where="tile_id = 'c'")
    assert rows == {}


def test_items_as_geoparquet_need_no_label(tmp_path):
    import stac_geoparquet.arrow

    properties = {"datetime": "2026-01-01T00:00:00Z", "eo:cloud_cover": 3}
    items = [make_item(id=name, properties=properties, collection="new") for name in ("a", "b")]
    table = pa.Table.from_batches(stac_geoparquet.arrow.parse_stac_items_to_arrow(items))
    stac_geoparquet.arrow.to_parquet(table, tmp_path / "items.parquet")
    rows, _ = rows_of(tmp_path / "out", source=str(tmp_path / "items.parquet"))
    assert rows == {"a": None, "b": None}


def test_records_need_no_label(tmp_path):
    path = tmp_path / "new.tfrecord"
    path.write_bytes(frame(example(B4=b"x" * 9, B8=b"y" * 9)) + frame(example(label=3, B4=b"x" * 9, B8=b"z" * 9)))
    rows, info = rows_of(tmp_path / "out", source=str(path))
    assert list(rows.values()) == [None, "3"]
    assert info.bands == ("B04", "B08")


def test_splits_are_not_asked_for(tmp_path):
    with pytest.raises(ParameterError, match="puts all tiles into one split"):
        ingest_into(tmp_path, source=str(tmp_path), split_by="time", **OPTIONAL)
