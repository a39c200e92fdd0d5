"""Addresses that pods cannot reach are refused before a run is submitted."""

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
