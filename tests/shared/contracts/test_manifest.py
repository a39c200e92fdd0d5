import json

import pytest

from tests.support.packed import write_packed
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import ArtifactError


def edited(folder, edit):
    write_packed(folder, shards=2)
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


def test_a_manifest_reads_back_equal(tmp_path):
    assert write_packed(tmp_path) == read_manifest(tmp_path / "manifest.json")


def test_a_manifest_omits_what_has_its_default(tmp_path):
    manifest = write_packed(tmp_path)
    assert manifest.omitted_if_default.isdisjoint(json.loads(manifest.model_dump_json()))
    written = manifest.model_copy(update={"left_out": {"it is blank": 1}}).model_dump_json()
    assert json.loads(written)["left_out"] == {"it is blank": 1}


@pytest.mark.parametrize("name", ["/etc/hostname", "../train-0.tfrecord", "a/b.tfrecord", "", ".hidden", "a\x1b[2J"])
def test_shard_names_are_plain_file_names(tmp_path, name):
    path = edited(tmp_path, lambda content: content["splits"]["train"]["shards"][0].update(name=name))
    with pytest.raises(ArtifactError, match=r"splits\.train\.shards\.0\.name"):
        read_manifest(path)


def repeat_shard(content):
    shards = content["splits"]["train"]["shards"]
    shards[1] = shards[0]


def add_tile(content):
    content["splits"]["train"]["tiles"] += 1


def move_class(content):
    content["splits"]["val"]["tiles_per_class"]["Forest"] += 1


def drop_shard(content):
    content["splits"]["train"]["shards"].pop()


def rename_class(content):
    content["class_names"][0] = "Wood"


def repeat_band(content):
    content["bands"] = ["B01", "B01"]
    for statistics in content["statistics"]:
        statistics["band"] = "B01"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (repeat_shard, "every shard must be listed once"),
        (add_tile, "counts of train must agree, but tiles is 25, the sum of tiles_per_class is 24"),
        (move_class, "counts of val must agree"),
        (drop_shard, "the sum over the shards is 12"),
        (rename_class, "must name every class"),
        (repeat_band, "must be unique"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path, edit, message):
    with pytest.raises(ArtifactError, match=message):
        read_manifest(edited(tmp_path, edit))
