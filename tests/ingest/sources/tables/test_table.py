import datetime as dt
import gzip
import io
import json
import random
import shlex
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tilepipe.components.ingest.config import Columns, IngestConfig
from tilepipe.components.ingest.sources.source_view import COLUMNS
from tilepipe.components.ingest.sources.tables import text_table
from tilepipe.components.ingest.sources.tables.table import TableSource, is_table
from tilepipe.components.ingest.sources.tables.table_folder import holds_tables
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.runtime.database import open_database
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.tiles.reader import Tile, content

ECOTAXA = (
    "object_id\tobject_lat\tobject_lon\tobject_date\tobject_annotation_category\tobject_area\timg_file_name\tsample_id\n"
    "[t]\t[f]\t[f]\t[t]\t[t]\t[f]\t[t]\t[t]\n"
    "o1\t43.5\t7.25\t20200102\tCopepoda\t12\to1_0.jpg\tpoint_b\n"
    "o1\t43.5\t7.25\t20200102\tCopepoda\t12\to1_1.jpg\tpoint_b\n"
    "o2\t\t\t\t\t7\to2 ü.jpg\tpoint_c\n"
)


@pytest.fixture
def write(tmp_path):
    def write(content, name="tiles.csv"):
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path, wanted=(), **changes):
    """What `found` has, with the addresses resolved, as a list of rows."""
    source = TableSource(str(path), IngestConfig(source=str(path), **changes), frozenset(wanted))
    with open_database() as connection, source.found(connection) as files:
        assert bool(files) == (not str(path).lower().endswith((".csv", ".tsv", ".txt", ".gz")))
        connection.execute("CREATE TABLE chosen AS SELECT * FROM found")
        source.resolve_addresses(connection)
        found = connection.sql("SELECT * FROM chosen ORDER BY tile_id").to_arrow_table()
        kinds = {name: kind for name, kind, *_ in connection.execute("DESCRIBE found").fetchall()}
    assert list(kinds)[: len(COLUMNS)] == list(COLUMNS)
    assert {name: kinds[name] for name in COLUMNS} == {
        **COLUMNS,
        "datetime": "TIMESTAMP WITH TIME ZONE",
    }
    return found.to_pylist()


def test_labels_stay_as_they_are_written(write):
    path = write("image,label\nb/x.png,007\na.png,7\n./c.png,\nd.png, 1e3 \n")
    rows = read(path)
    assert [(row["tile_id"], row["label"]) for row in rows] == [
        ("./c.png", None),
        ("a.png", "7"),
        ("b/x.png", "007"),
        ("d.png", "1e3"),
    ]
    assert [row["uri"] for row in rows] == [f"{path.parent}/{name}" for name in ("c.png", "a.png", "b/x.png", "d.png")]
    assert rows[0]["member"] is rows[0]["bbox"] is rows[0]["bytes"] is rows[0]["bands"] is None


def test_an_export_of_ecotaxa(write):
    path = write(ECOTAXA, "ecotaxa_export.tsv")
    rows = read(path, wanted={"object_area", "object_id"})
    assert [row["tile_id"] for row in rows] == ["o1_0.jpg", "o1_1.jpg", "o2 ü.jpg"]
    assert [row["label"] for row in rows] == ["Copepoda", "Copepoda", None]
    assert [row["group"] for row in rows] == ["point_b", "point_b", "point_c"]
    assert [row["object_area"] for row in rows] == [12, 12, 7]
    assert rows[0]["object_id"] == "o1"
    assert rows[0]["datetime"] == dt.datetime(2020, 1, 2, tzinfo=dt.UTC)
    assert rows[0]["bbox"] == {"xmin": 7.25, "ymin": 43.5, "xmax": 7.25, "ymax": 43.5}
    assert rows[2]["datetime"] is rows[2]["bbox"] is None
    assert rows[2]["uri"] == f"{path.parent}/o2 ü.jpg"
    assert TableSource(str(path), IngestConfig(source="x")).name == "ecotaxa_export"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("picture;kind;fold;when\r\na.png;wet;val;2020-01-01T10:00:00Z\r\n", "t.csv"),
        ('\ufeffpicture|kind|fold|when\n"a.png"|"wet"|val|2020-01-01 11:00:00+01\n', "t.CSV"),
        ("picture\tkind\tfold\twhen\na.png\twet\tval\t2020-01-01 10:00:00", "t.tsv"),
        (gzip.compress(b"picture,kind,fold,when\na.png,wet,val,2020-01-01 10:00\n", mtime=0), "t.csv.gz"),
        (
            pa.table({"picture": ["a.png"], "kind": ["wet"], "fold": ["val"], "when": [dt.datetime(2020, 1, 1, 10)]}),
            "t.parquet",
        ),
    ],
)
def test_every_format_and_named_columns(write, content, name):
    columns = Columns(id="kind", image="Picture", label="kind", group="fold", datetime="when")
    (row,) = read(write(content, name), columns=columns, split_property="fold")
    assert (row["tile_id"], row["label"], row["group"], row["split"]) == ("wet", "wet", "val", "val")
    assert row["datetime"] == dt.datetime(2020, 1, 1, 10, tzinfo=dt.UTC)


PLATE = "well,compound,FileName_OrigDNA,FileName_OrigER\nA01,control,a_w1.png,a_w2.png\nB01,drug,b_w1.png, b w2.png\n"
CHANNELS = {"DNA": "filename_origdna", "ER": "FileName_OrigER"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_images_with_a_file_for_each_band(write, suffix):
    path = write(PLATE) if suffix == "csv" else write(csv.read_csv(io.BytesIO(PLATE.encode())), "plate.parquet")
    rows = read(path, columns={"label": "compound"}, options={"band_assets": CHANNELS})
    folder = path.parent
    assert [row["tile_id"] for row in rows] == ["a_w1.png", "b_w1.png"]
    assert [row["bands"] for row in rows] == [["DNA", "ER"]] * 2
    assert [row["band_uris"] for row in rows] == [
        [f"{folder}/a_w1.png", f"{folder}/a_w2.png"],
        [f"{folder}/b_w1.png", f"{folder}/ b w2.png"],
    ]
    assert [row["uri"] for row in rows] == [row["band_uris"][0] for row in rows]


def test_types_that_where_compares(write):
    path = write("image,label,a,b,c,d,e,f\nx.png,1,7,0.5,007,true,,7\ny.png,1,-12,3,12,False,,x\n")
    rows = read(path, wanted={"A", "b", "c", "d", "e", "f", "absent", "label"})
    assert [tuple(row[name] for name in "abcdef") for row in rows] == [
        (7, 0.5, "007", True, None, "7"),
        (-12, 3.0, "12", False, None, "x"),
    ]


def test_a_parquet_of_other_types(write):
    table = pa.table(
        {
            "path": ["a.png", "b.png"],
            "class": pa.array([3.0, None]),
            "depth": pa.array([1.5, 2.5]),
            "date": [dt.date(2020, 1, 2), None],
            "bbox": [{"xmin": 1.0, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0}, None],
            "several": [[1], [2]],
        }
    )
    rows = read(write(table, "t [1].parquet"), wanted={"depth"})
    assert [(row["label"], row["depth"]) for row in rows] == [("3", 1.5), (None, 2.5)]
    assert rows[0]["bbox"] == {"xmin": 1.0, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0}
    assert rows[0]["datetime"] == dt.datetime(2020, 1, 2, tzinfo=dt.UTC)
    assert rows[1]["bbox"] is None


def test_a_place_that_is_not_on_earth(write):
    (row,) = read(write("image,label,lon,lat\na.png,1,200,10\n"))
    assert row["bbox"] is None


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_the_error_of_a_condition_lists_the_columns_of_the_table(run, tmp_path, name):
    table = pa.table({"image": ["a.png", "b.png"], "label": ["1", "2"], "cloud cover": ["1", "2"]})
    (csv.write_csv if name == "t.csv" else pq.write_table)(table, tmp_path / name)
    with pytest.raises(ParameterError, match=r'"clouds" not found .*, label, .*, image, cloud cover\.'):
        run(tmp_path / name, where="clouds < 20")


def test_coordinates_with_decimal_commas(write):
    (row,) = read(write("image;label;lon;lat\na.png;1;-9,25;48,005\n"))
    assert row["bbox"] == {"xmin": -9.25, "ymin": 48.005, "xmax": -9.25, "ymax": 48.005}


def test_addresses_are_rewritten(write):
    path = write("url,label\nhttps://example.org/a.png,1\nb.png,2\n")
    rows = read(path, href_rewrite={"https://example.org/": "s3://bucket/x/"})
    assert [row["uri"] for row in rows] == [f"{path.parent}/b.png", "s3://bucket/x/a.png"]


def test_an_id_holds_no_signature(write):
    path = write("url,label\nhttps://example.org/a.png?sig=c2VjcmV0,1\nb?.png,2\n")
    rows = read(path, href_rewrite={"https://example.org/": "https://example.org/"})
    assert [row["tile_id"] for row in rows] == ["b?.png", "https://example.org/a.png"]
    assert rows[1]["uri"] == "https://example.org/a.png?sig=c2VjcmV0"


@pytest.mark.parametrize("address", ["/x.png", "../x.png", "/etc/passwd", "file:///etc/passwd", "a/../../x.png"])
def test_an_address_that_leads_out(write, address):
    with pytest.raises(SourceError, match=r"below the catalog's|must stay"):
        read(write(f"image,label\n-ok.png,1\n{address},1\n"))


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("", {}, "tiles.csv, which is empty"),
        ("image,label\n", {}, "one row per tile.*without rows"),
        (
            "image,path,label\na,b,c\n",
            {},
            r"one column for the image.*several: image, path.*data_columns='{\"image\": \"image\"}'",
        ),
        ("image,kind\na,b\n", {}, r"one column for the label.*none.*columns are image, kind\."),
        (
            "image,label\na,b\n",
            {"columns": {"label": "kind"}},
            r"`data_columns.label`.*no column 'kind'.*columns are image, label\.",
        ),
        ("image,label\na,b\n", {"split_property": "fold"}, "`split_property`.*no column 'fold'"),
        ("image,label\na,b\n", {"split_by": "group"}, "one column for the group"),
        ("image,label,Label\na,b,c\n", {}, r"unique name.*Label, label occur more than once"),
        ("image,label\na,b\nc,d,e\n", {}, "line 3: Expected Number of Columns: 2 Found: 3"),
        ('image,label\na,b\nc,"d\n', {}, "line 3: "),
        (b"image,l\xff\xfebel\na,b\n", {}, r"one column for the label.*columns are image, lÿþbel\."),
        (b"\0" * 100, {}, r"must be a text file.*contains zero bytes\.$"),
        ("image,label\na,b\n".encode("utf-16"), {}, "contains zero bytes. It is UTF-16: save it as UTF-8"),
        ("a.jpg,x\nb.JPG,y\n", {}, r"first line of a table must name its columns.*the columns a.jpg, x. Add that line"),
        ("image,Crop,River\na,0,1\n", {}, r"data_columns='{\"label\": \"\.\.\.\"}'"),
        ("image,label\na,b\n ,c\n", {}, "1 rows of .*tiles.csv with nothing in the column of data_columns.image"),
        ("image,label,k\na,b,1\nc,c,\n", {"columns": {"id": "k"}}, "1 rows of .*column of data_columns.id"),
        (
            PLATE + "C01,drug,c_w1.png,\n",
            {"columns": {"label": "compound"}, "options": {"band_assets": CHANNELS}},
            "1 rows of .*in the column of data_options.band_assets, such as c_w1.png",
        ),
        (
            PLATE,
            {"columns": {"label": "compound"}, "options": {"band_assets": {"RNA": "FileName_OrigRNA"}}},
            r"`data_options.band_assets.RNA` must name a column.*Received: no column 'FileName_OrigRNA'",
        ),
        ("image,label,t\na,b,soon\n", {"columns": {"datetime": "t"}}, "ISO 8601.*1 rows.*column t, such as 'soon'"),
    ],
)
def test_tables_that_do_not_fit(write, content, changes, message):
    path = write(content)
    with pytest.raises(SourceError, match=message) as caught:
        read(path, **changes)
    assert str(path) in str(caught.value)


# Found in the header, or not before the rows are read.
@pytest.mark.parametrize(("name", "header_bytes"), [("t.csv", 2**20), ("t.csv", 20), ("t.csv.gz", 2**20)])
def test_a_text_file_that_is_not_utf8(write, monkeypatch, caplog, name, header_bytes):
    monkeypatch.setattr(text_table, "_HEADER_BYTES", header_bytes)
    content = "image;label\na.png;café\nb.png;10 \x80\nc.png;\x81\n".encode("latin-1")
    path = write(gzip.compress(content, mtime=0) if name.endswith(".gz") else content, name)
    assert [row["label"] for row in read(path)] == ["café", "10 €", "\x81"]
    assert caplog.text.count("as Windows-1252 (Latin-1): it is not UTF-8") == 1


def test_a_time_column_is_not_required(write, caplog):
    (row,) = read(write("image,label,date\na.png,b,soon\n"))
    assert row["datetime"] is None
    assert "ignored the times of 1 rows, such as 'soon' in date" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no Parquet at all, but long", b"PAR1" + bytes(20) + b"PAR1"])
def test_what_is_no_parquet(write, content):
    path = write(content, "t.parquet")
    assert not is_table(str(path))
    with pytest.raises(SourceError, match=f"complete CSV, TSV or Parquet file. Received: {path}"):
        read(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="must exist"):
        read(tmp_path / "x.csv")


def test_what_a_table_is(write):
    assert is_table("s3://bucket/x.csv")
    assert is_table("/x/Y.TSV")
    assert is_table("/x/y.csv.gz")
    assert not is_table("/x/catalog.json")
    assert is_table(str(write(pa.table({"image": ["x"]}), "t.parquet")))
    assert not is_table(str(write(pa.table({"assets": ["x"]}), "stac.parquet")))


@pytest.mark.parametrize("name", ["tiles.csv", "tiles.csv.gz", "tiles.parquet"])
def test_a_table_in_a_bucket(minio_server, monkeypatch, tmp_path, name):
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket(f"table-{uuid.uuid4().hex}")
    table = pa.table({"image": ["a b.png", "s3://other/c.png"], "label": ["1", "2"]})
    local = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(table, local)
    else:
        text = b"image,label\na b.png,1\ns3://other/c.png,2\n"
        local.write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    bucket.upload_file(str(local), f"data/{name}")
    address = f"s3://{bucket.name}/data/{name}"
    assert is_table(address)
    assert [row["uri"] for row in read(address)] == [f"s3://{bucket.name}/data/a b.png", "s3://other/c.png"]


def test_backslashes_in_addresses(write):
    path = write("image,label\n.\\a\\b.png,1\n")
    (row,) = read(path)
    assert (row["uri"], row["tile_id"]) == (f"{path.parent}/a/b.png", "./a/b.png")


def test_a_table_named_txt(write):
    path = write("image\tlabel\na b.png\t007\n", "tiles.txt")
    assert is_table(str(path))
    assert [(row["tile_id"], row["label"]) for row in read(path)] == [("a b.png", "007")]
    assert TableSource(str(path), IngestConfig(source=str(path))).name == "tiles"


@pytest.fixture
def images(tmp_path):
    for name in ("train/a_1.JPG", "train/x.5.png", "test/a_1.png", "test/b_1.tif", "test/b_1.txt", "c"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"x")


def test_names_without_suffix(write, images):
    path = write("image,label\nb_1,1\nx.5,2\ntrain/a_1,3\n")
    rows = read(path)
    assert [(row["tile_id"], row["uri"]) for row in rows] == [
        ("b_1", f"{path.parent}/test/b_1.tif"),
        ("train/a_1", f"{path.parent}/train/a_1.JPG"),
        ("x.5", f"{path.parent}/train/x.5.png"),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a_1", r"a_1 in .*fits 2 files, such as test/a_1\.png and train/a_1\.JPG"),
        ("_1", r"_1 in .*fits none of 4 images"),
    ],
)
def test_names_without_suffix_that_fit_not_one_file(write, images, name, message):
    with pytest.raises(SourceError, match=message):
        read(write(f"image,label\n{name},1\nx.5,2\n"))


def test_names_of_files_that_lie_in_a_folder_below(write, images):
    path = write("image,label\nb_1.tif,1\na_1.JPG,2\nabsent.png,1\n")
    assert [(row["tile_id"], row["uri"].removeprefix(f"{path.parent}/")) for row in read(path)] == [
        ("a_1.JPG", "train/a_1.JPG"),
        ("absent.png", "absent.png"),  # `pack` reports it as missing
        ("b_1.tif", "test/b_1.tif"),
    ]


@pytest.mark.parametrize("name", ["1", "1.png"])
def test_the_remedy_for_names_that_fit_several_files(write, tmp_path, name):
    path = write(f"image,label\n{name},1\n", "trainLabels.csv")
    for folder in ("test", "train"):
        (path.parent / folder).mkdir()
        (path.parent / folder / "1.png").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"fits 2 files, such as test/1\.png and train/1\.png") as refused:
        read(path)
    ((_, parameter),) = (
        word.split("=", 1) for word in shlex.split(str(refused.value).rpartition(" with ")[2].rstrip("."))
    )
    (row,) = read(path, href_rewrite=json.loads(parameter))
    assert (row["tile_id"], row["uri"]) == (name, f"{path.parent}/train/1.png")


def test_a_table_whose_images_are_nowhere_is_reported(write, images, caplog):
    (row,) = read(path := write("image,label\nelsewhere/1.png,1\n"))
    assert row["uri"] == f"{path.parent}/elsewhere/1.png"
    assert f"there is no image of {path} in {path.parent}, such as elsewhere/1.png" in caplog.text


@pytest.mark.parametrize("content", ["image,label\nc,1\nd,2\n", "image,label\na_1,1\nx.png,2\n"])
def test_names_that_are_taken_as_they_are(write, images, content):
    path = write(content)
    assert [row["uri"] for row in read(path)] == [
        f"{path.parent}/{line.split(',')[0]}" for line in content.split("\n")[1:3]
    ]


def hugging_face(images, labels, features):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": pa.array(labels)})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"label": {"names": ["it's", "b"], "_type": "ClassLabel"}}, ["it's", "b", None]),
        ({"label": {"dtype": "int64", "_type": "Value"}}, ["0", "1", "-1"]),
        ({}, ["0", "1", "-1"]),
        ([], ["0", "1", "-1"]),
    ],
)
def test_images_and_class_labels_of_hugging_face(write, features, expected):
    images = [{"bytes": None, "path": f"img/{number}.png"} for number in range(3)]
    path = write(hugging_face(images, [0, 1, -1], features), "t.parquet")
    rows = read(path)
    assert [row["label"] for row in rows] == expected
    assert rows[0]["uri"] == f"{path.parent}/img/0.png"


def test_images_within_a_parquet_file(write):
    images = [{"bytes": f"image {number}".encode(), "path": path} for number, path in enumerate(("a/0.png", None, ""))]
    path = write(hugging_face(images, [0, 1, -1], {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}), "t.parquet")
    rows = read(path)
    assert [(row["tile_id"], row["member"], row["offset"], row["label"]) for row in rows] == [
        ("t.parquet#000000/0.png", "image", 0, "a"),
        ("t.parquet#000001", "image", 1, "b"),
        ("t.parquet#000002", "image", 2, None),
    ]
    assert {row["uri"] for row in rows} == {str(path)}
    for number, row in enumerate(rows):
        tile = Tile("x", row["uri"], "a", row["bytes"], None, row["member"], row["offset"])
        assert content(tile) == f"image {number}".encode()


def test_columns_of_hugging_face_without_usual_names(write):
    images = [{"bytes": b"x", "path": None}]
    table = hugging_face(images, [1], {"kind": {"names": ["a", "b"], "_type": "ClassLabel"}})
    renamed = table.rename_columns(["img", "kind"]).append_column("filename", pa.array(["0.png"]))
    path = write(renamed.replace_schema_metadata(table.schema.metadata), "t.parquet")
    assert [(row["label"], row["member"]) for row in read(path)] == [("b", "img")]
    path = write(pa.table({"image": [b"x", b"y"], "label": ["a", "b"]}), "bytes.parquet")
    assert [(row["label"], row["member"], row["offset"]) for row in read(path)] == [
        ("a", "image", 0),
        ("b", "image", 1),
    ]


def test_only_the_row_group_of_an_image_is_read_from_a_bucket(write, minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    bucket = minio_server.make_bucket("parquet-images")
    images = [random.Random(place).randbytes(500_000) for place in range(30)]
    table = hugging_face([{"bytes": image, "path": None} for image in images], list(range(30)), {})
    path = write(b"", "t.parquet")
    pq.write_table(table, path, row_group_size=1)
    bucket.upload_file(str(path), "t.parquet")
    ranges = []

    def counted(uri, offset, length, read_range=storage.read_range):
        ranges.append(length)
        return read_range(uri, offset, length)

    monkeypatch.setattr(storage, "read_range", counted)
    rows = read("s3://parquet-images/t.parquet")
    assert len(rows) == 30
    tile = Tile("x", rows[3]["uri"], "a", None, None, "image", 3)
    assert content(tile) == images[3]
    assert sum(ranges) < 15_000_000


@pytest.mark.parametrize("folder", ["", "data/", "default/train/"])
@pytest.mark.parametrize("names", [("train-0.parquet", "test-0.parquet"), ("a.parquet", "b.parquet")])
def test_splits_by_the_names_of_parquet_files(write, folder, names):
    files = [folder + name for name in names]
    if folder.startswith("default"):
        files = [file.replace("train/b", "test/b").replace("train/test", "test/x") for file in files]
    for place, file in enumerate(files):
        path = write(hugging_face([{"bytes": b"%d" % place, "path": None}], [place], {}), f"hub/{file}")
    root = path.parents[len(files[1].split("/")) - 1]
    assert holds_tables(str(root))
    splits = {row["label"]: row["split"] for row in read(root)}
    has_splits = "train" in names[0] or folder.startswith("default")
    assert splits == ({"0": "train", "1": "test"} if has_splits else {"0": None, "1": None})


def test_columns_that_differ_only_in_case(write):
    columns = {"path": ["a.png"], "Label": ["raw"], "label": ["cleaned"]}
    path = write(pa.table(columns), "tiles.parquet")
    with pytest.raises(SourceError, match=r"without regard to case.*tiles.parquet with the columns Label, label\."):
        read(path, columns={"label": "label"})
    del columns["Label"]
    path = write(pa.table(columns | {"label_1": ["raw"]}), "tiles.parquet")
    assert read(path)[0]["label"] == "cleaned"
