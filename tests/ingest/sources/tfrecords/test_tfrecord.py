import gzip
import struct
import uuid

import pytest

from tilepipe.components.ingest.config import Columns, IngestConfig, IngestOptions
from tilepipe.components.ingest.sources.tfrecords.tfrecord import TfrecordSource, holds_records, is_record_file
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.records.example import parse_example
from tilepipe.components.shared.records.frames import frame, masked_crc, unframe


def field(number, content):
    size = bytearray()
    length = len(content)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((number << 3 | 2, *size, length)) + content


def example(**features):
    """A tf.train.Example with one value a feature: bytes, or a small whole number."""
    entries = b""
    for name, value in features.items():
        kind, values = (1, field(1, value)) if isinstance(value, bytes) else (3, field(1, bytes((value,))))
        entries += field(1, field(1, name.encode()) + field(2, field(kind, values)))
    return field(1, entries)


@pytest.fixture
def write(tmp_path):
    def write(*records, name="part-r-00000", root="records"):
        path = tmp_path / root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(frame(record) for record in records))
        return path

    return write


def source_of(path, wanted=frozenset(), **changes):
    return TfrecordSource(str(path), IngestConfig(source=str(path), **changes), wanted)


TILE = {"B10": b"x" * 9, "B1": b"y" * 9, "B8A": b"z" * 9, "B8": b"w" * 9}


def test_a_row_for_each_record_of_each_file(write):
    write(example(label=3, **TILE), name="b/part-r-00001")
    first = write(example(label=1, filename=b"north/x.tif", **TILE), example(**TILE), name="a.tfrecord")
    write(b"not a record", name="readme.txt")
    source = source_of(first.parent)
    rows = list(source.rows())
    assert [row.tile_id for row in rows] == ["a.tfrecord#000000/x.tif", "a.tfrecord#000001", "b/part-r-00001#000000"]
    assert [row.label for row in rows] == ["1", None, "3"]
    assert rows[0].bands == ("B1", "B8", "B8A", "B10")
    assert source.record_features[1] == RecordFeature(name="B8", dtype="uint8", height=3, width=3)
    data = first.read_bytes()
    assert [(row.offset, row.bytes) for row in rows[:2]] == [(0, rows[1].offset), (rows[0].bytes, rows[1].bytes)]
    assert parse_example(unframe(data[rows[1].offset : rows[1].offset + rows[1].bytes]))["B8"] == [b"w" * 9]
    assert source.name == "records"


def test_several_labels_and_missing_files_are_reported(write, caplog):
    several = field(1, field(1, field(1, b"label") + field(2, field(3, field(1, bytes((1, 2)))))))
    path = write(example(**TILE) + several, name="x.tfrecord-00001-of-00002")
    with pytest.raises(SourceError, match=r"one label\. Received: .*, where label holds 2 values in one record"):
        list(source_of(path.parent).rows())
    assert "1 of 2 files are missing: x.tfrecord-00000-of-00002" in caplog.text
    caplog.clear()
    with pytest.raises(SourceError):
        list(source_of(path).rows())  # a file that is given by name is meant to be alone
    assert "missing" not in caplog.text


def test_the_same_record_twice_has_one_checksum(write):
    path = write(example(label=1, **TILE), example(label=2, **TILE), example(label=1, **TILE))
    first, second, third = (row.checksum for row in source_of(path).rows())
    assert first == third != second
    assert first.startswith("1220")


def test_columns_and_properties_are_features(write):
    record = example(kind=b"wet", place=7, when=b"2020-06-01", key=b"k1", fold=b"val", cows=3, **TILE)
    columns = Columns(id="key", label="kind", group="place", datetime="when")
    source = source_of(write(record), frozenset({"cows", "absent"}), columns=columns, split_property="fold")
    (row,) = source.rows()
    assert (row.tile_id, row.label, row.group, row.split) == ("k1", "wet", "7", "val")
    assert row.datetime.isoformat() == "2020-06-01T00:00:00+00:00"
    assert dict(row.properties) == {"cows": 3}


def test_bands_by_their_order_and_shape_as_given(write):
    path = write(example(label=1, red=b"r" * 24, B02=b"b" * 12, B1=b"0" * 12))
    options = IngestOptions(record_shape=(3, 4))
    source = source_of(path, source_bands=("red", "B2"), options=options)
    (row,) = source.rows()
    assert row.bands == ("red", "B02")
    assert [(feature.dtype, feature.height, feature.width) for feature in source.record_features] == [
        ("uint16", 3, 4),
        ("uint8", 3, 4),
    ]


def test_sixteen_bits_are_detected_by_a_length_that_is_no_square(write):
    source = source_of(write(example(label=1, B1=b"x" * 50)))
    assert list(source.rows())
    assert source.record_features == (RecordFeature(name="B1", dtype="uint16", height=5, width=5),)


@pytest.mark.parametrize(
    ("record", "changes", "message"),
    [
        (example(label=1, image=b"x"), {}, r"feature of bytes.*the features image, label\."),
        (example(label=1, B1=b"x" * 9), {"source_bands": ("B1", "B2")}, r"Received: B02, and the features are"),
        (example(label=1, B1=b"x" * 7), {}, "feature B1 with 7 bytes.*requires square images.*part-r-00000#000000"),
        (example(label=1, B1=b""), {}, "feature B1 with 0 bytes"),
        (example(label=1, B1=b"x" * 9), {"options": {"record_shape": (4, 4)}}, "9 bytes.*is \\[4, 4\\]"),
        (example(label=1, B1=5), {}, r"B1 with 1 values \(int\)"),
        (example(**TILE), {}, r"no record has 'label'; one has B1, B10, B8, B8A\."),
        (example(label=1, **TILE), {"columns": {"label": "kind"}}, "no record has 'kind'"),
        (
            example(label=1, **TILE),
            {"columns": {"id": "key"}},
            "no feature data_columns.id='key' in record part-r-00000#000000",
        ),
        (example(label=1, when=b"soon", **TILE), {"columns": {"datetime": "when"}}, "ISO 8601. Received: 'soon'"),
    ],
)
def test_records_that_do_not_fit(write, record, changes, message):
    with pytest.raises(SourceError, match=message):
        list(source_of(write(record), **changes).rows())


def test_gzip_with_an_empty_member_loses_no_record(tmp_path):
    records = [frame(example(label=number, **TILE)) for number in range(4)]
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(gzip.compress(records[0]) + gzip.compress(b"") + gzip.compress(b"".join(records[1:])))
    rows = list(source_of(path).rows())
    assert [row.label for row in rows] == ["0", "1", "2", "3"]
    assert [row.offset for row in rows] == [sum(map(len, records[:number])) for number in range(4)]


def test_a_truncated_gzip(tmp_path):
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(gzip.compress(frame(example(label=1, **TILE)))[:-9])
    with pytest.raises(SourceError, match=r"must contain complete records.*x\.tfrecord\.gz: Compressed file ended"):
        list(source_of(path).rows())


def test_labels_of_the_object_detection_api(write):
    record = example(**{"image/class/label": 2, "image/class/text": b"b", "image/filename": b"a/x.jpg"}, **TILE)
    (row,) = source_of(write(record)).rows()
    assert (row.label, row.tile_id) == ("2", "part-r-00000#000000/x.jpg")


def test_a_shape_that_is_none(write):
    source = source_of(write(example(label=1, **TILE)), options={"record_shape": (3,)})
    with pytest.raises(ParameterError, match=r"height and a width.*\[3\]"):
        list(source.rows())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (frame(example(label=1, **TILE))[:-3], "is cut off after"),
        (frame(example(label=1, **TILE))[:-1] + b"\0", "offset 0 does not fit its checksum"),
        (frame(b"\x0b"), "offset 0 is not a tf.train.Example: a field has the wire type 3"),
        (b"\x1f\x8b" + bytes(30), "Name the file .*or decompress it: it is a gzip file"),
        (b"", "whose files are empty"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    path = tmp_path / "part-r-00003"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"(?s){path}.*{message}"):
        list(source_of(path).rows())


def test_a_folder_without_records(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match="files named"):
        list(source_of(tmp_path).rows())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("part-r-00012", True),
        ("s3://bucket/x/part-r-00012", True),
        ("train.tfrecord", True),
        ("x.tfrecords-00000-of-00010", True),
        ("tfrecord", True),
        ("my_tfrecord_00.gz", True),
        ("train.record-00000-of-00001", True),
        ("x.record", True),
        ("patches.tfrecord.gz", True),
        ("part-r-00012.gz", True),
        ("x.record.csv", False),
        ("a_record-2.tif", False),
        ("x.tfrecord/readme.txt", False),
        ("notfrecords.csv", False),
        ("part-r-x", False),
    ],
)
def test_names(name, expected):
    assert is_record_file(name) is expected


def test_what_holds_records(write, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert not holds_records(str(tmp_path))
    write(example(label=1, **TILE), name="train/part-r-00000")
    assert holds_records(str(tmp_path))


def test_records_in_a_bucket(minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket(f"records-{uuid.uuid4().hex}")
    bucket.put_object(Key="train set/part-r-00000", Body=frame(example(label=2, **TILE)))
    (row,) = source_of(f"s3://{bucket.name}/train set").rows()
    assert (row.tile_id, row.uri) == ("part-r-00000#000000", f"s3://{bucket.name}/train set/part-r-00000")


def test_the_real_records(real_data):
    path = real_data("droughtwatch/part-r-00012")
    source = source_of(path)
    rows = list(source.rows())
    labels = [row.label for row in rows]
    assert [labels.count(str(label)) for label in range(4)] == [46, 16, 14, 5]
    assert [feature.name for feature in source.record_features] == [f"B{band}" for band in range(1, 12)]
    assert {(feature.dtype, feature.height, feature.width) for feature in source.record_features} == {("uint8", 65, 65)}
    assert sum(row.bytes for row in rows) == path.stat().st_size
    assert len({row.tile_id for row in rows}) == 81
    with path.open("rb") as file:
        file.seek(rows[80].offset)
        header = file.read(12)
    assert struct.unpack("<QI", header) == (rows[80].bytes - 16, masked_crc(header[:8]))


def test_class_names_beside_the_records(write):
    path = write(*(example(label=number, **TILE) for number in (1, 0, 7)), name="x.tfrecord")
    (path.parent / "label.labels.txt").write_text("Crop\nForest\n")
    assert [row.label for row in source_of(path.parent).rows()] == ["Forest", "Crop", "7"]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("x-test.tfrecord-00000-of-00001", "x-train.tfrecord-00000-of-00001"), ["test", "train"]),
        (("train.record-00000-of-00001", "val.record"), ["train", "val"]),
        (("validation_1.tfrecord", "x_train.tfrecord.gz"), ["val", "train"]),
        (("x-train.tfrecord-00000-of-00002", "x-train.tfrecord-00001-of-00002"), [None, None]),
        (("train.tfrecord", "x.tfrecord"), [None, None]),
    ],
)
def test_splits_in_the_names_of_the_files(write, names, splits):
    for number, name in enumerate(names):
        path = write(example(label=number, **TILE), name=name)
    assert [row.split for row in source_of(path.parent).rows()] == splits
