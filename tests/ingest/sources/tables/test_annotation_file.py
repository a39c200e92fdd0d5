"""Files of annotations (COCO, iNaturalist): the command of the message is run, and its table is read."""

import json
import shlex
import subprocess
import sys

import pytest
from PIL import Image

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.sources.detect import open_source
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.database import open_database

CATEGORIES = [{"id": 5, "name": "Water"}, {"id": 6, "name": "Tree, young"}]


def test_the_table_that_the_message_writes_is_read(tmp_path):
    images = [{"id": 100 + place, "file_name": f"images/{place}.png"} for place in range(4)]
    (tmp_path / "images").mkdir()
    for image in images:
        Image.new("RGB", (8, 8)).save(tmp_path / image["file_name"])
    pairs = [(100, 5), (101, 6), (101, 6), (102, 5), (102, 6)]  # 102 has two categories, and 103 none
    annotations = [{"id": place, "image_id": image, "category_id": of} for place, (image, of) in enumerate(pairs)]
    path = tmp_path / "it's train.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}), "utf-8")
    with pytest.raises(SourceError, match="as in COCO and iNaturalist") as found:
        open_source(IngestConfig(source=str(path)))
    command, _, parameters = str(found.value).partition("are left out by: ")[2].partition(" then give ")
    subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True, capture_output=True)
    given = dict(word.partition("=")[::2] for word in shlex.split(parameters.removesuffix(".")))
    config = IngestConfig(source=given["data_source"], columns=json.loads(given["data_columns"]))
    with open_database() as connection, open_source(config).found(connection):
        rows = connection.execute("SELECT uri, label FROM found ORDER BY uri").fetchall()
    assert rows == [("images/0.png", "Water"), ("images/1.png", "Tree, young")]


def test_other_json_is_no_file_of_annotations(tmp_path):
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"type": "Catalog", "id": "a", "links": [], "images": [], "categories": []}))
    assert open_source(IngestConfig(source=str(path))).kind == "stac-catalog"
