import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tilepipe.components.shared.errors import SourceError, TileError
from tilepipe.components.shared.storage import tar_members
from tilepipe.components.shared.tiles.parquet_images import read_image

IMAGES = [random.Random(place).randbytes(100 + place) for place in range(50)]
LIMIT = 1000


@pytest.fixture
def write(tmp_path):
    def write(images, name="t.parquet", **options):
        structs = pa.array([{"bytes": image, "path": "x.png"} for image in images])
        table = pa.table({"image": structs, "plain": pa.array(images, pa.binary()), "label": ["a"] * len(images)})
        pq.write_table(table, tmp_path / name, **({"row_group_size": 7} | options))
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("column", ["image", "plain"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_images_in_any_order_from_many_threads(write, column, compression):
    uri = write(IMAGES, compression=compression)
    rows = random.Random(1).sample(range(50), 50)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda row: read_image(uri, column, row, LIMIT), rows)) == [IMAGES[row] for row in rows]


def test_images_that_are_missing_or_too_large(write):
    uri = write([b"x", None, b"y" * 5000])
    assert read_image(uri, "image", 0, LIMIT) == b"x"
    with pytest.raises(TileError, match="no image in the column image of its Parquet file"):
        read_image(uri, "image", 1, LIMIT)
    with pytest.raises(TileError, match="where a tile may have"):
        read_image(uri, "image", 2, LIMIT)
    with pytest.raises(SourceError, match=r"row 3 of .*with 3 rows"):
        read_image(uri, "image", 3, LIMIT)


def test_damaged_files_and_bombs(write, tmp_path, monkeypatch):
    whole = Path(write(IMAGES)).read_bytes()
    (tmp_path / "damaged.parquet").write_bytes(whole[:500] + bytes(3000) + whole[3500:])
    (tmp_path / "short.parquet").write_bytes(whole[:4000])
    for name in ("damaged", "short"):
        with pytest.raises(SourceError, match=rf"must be whole.*{name}\.parquet.*Copy"):
            read_image(str(tmp_path / f"{name}.parquet"), "image", 0, LIMIT)
    with pytest.raises(SourceError, match="must exist"):
        read_image(str(tmp_path / "absent.parquet"), "image", 0, LIMIT)
    monkeypatch.setattr(tar_members, "_FREE_BYTES", 1000)
    with pytest.raises(SourceError, match="at most 1 GiB and 100 times its size"):
        read_image(write([bytes(1000)] * 9000, "bomb.parquet", row_group_size=9000), "image", 0, LIMIT)
