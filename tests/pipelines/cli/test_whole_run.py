"""Paths that pods cannot reach, and inputs that do not exist, are refused before a run starts."""

from pathlib import Path

import pytest

from tests.support.checks import assert_accepted
from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli import whole_run


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"data_source": "tiles/"}, "data_source"),
        ({"data_source": "file:///tiles"}, "data_source"),
        ({"split_files": {"train": "s3://b/t.txt", "val": "val.txt"}}, "split_files.val"),
        ({"data_href_rewrite": {"https://a/": "/mirror/"}}, "data_href_rewrite.https://a/"),
        ({"pack_options": {"cache": "/cache"}}, "pack_options.cache"),
        ({"model_weights_uri": "weights.npz"}, "model_weights_uri"),
        ({"scene_uris": ["s3://b/a.tif", "b.tif"]}, "scene_uris"),
    ],
)
def test_local_paths(arguments, name):
    with pytest.raises(ParameterError) as caught:
        whole_run.check_reachable(arguments)
    assert f"`{name}` must be an address that pods can reach" in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"data_source": "https://stac.example.org", "train_checkpoint_uri": "", "model_weights_uri": "imagenet"},
        {"model_uri": "models:/forests@champion", "output_uri": "s3://bucket/out", "pack_options": {}},
    ],
)
def test_addresses_that_pods_reach(arguments):
    assert_accepted(whole_run.check_reachable, arguments)


def test_inputs_that_do_not_exist(tmp_path):
    (tmp_path / "val.txt").touch()
    files = {"train": str(tmp_path / "train.txt"), "val": f"file://{tmp_path}/val.txt"}
    with pytest.raises(ParameterError) as caught:
        whole_run.check_exists({"data_source": "absent/", "split_files": files, "scene_uris": ["s3://b/a.tif"]})
    source, train = str(caught.value).splitlines()
    received = f"Received: data_source=absent/, which is {Path.cwd()}/absent."
    assert source == f"`data_source` must exist. {received} Check the path."
    assert train.startswith(f"`split_files.train` must exist. Received: split_files.train={tmp_path}/train.txt")


def test_outputs_and_names_need_not_exist():
    names = {"model_uri": "models:/forests@champion", "model_weights_uri": "imagenet", "output_uri": "absent/"}
    assert_accepted(whole_run.check_exists, {**names, "pack_options": {"cache": "absent/"}})
