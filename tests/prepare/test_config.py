import subprocess
import sys

import pytest

from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.shared.errors import ParameterError


def test_numbers_may_arrive_as_floats():
    config = PrepareConfig.parse(seed=3.0, options={"filters": [8.0, 16.0], "dense_units": 32.0})
    assert config.options.filters == (8, 16)
    assert config.seed == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"architecture": "resnet"}, r"`architecture` should be 'cnn', 'compact'.*Received: architecture='resnet'"),
        ({"seed": -1}, "`seed` should be greater than or equal to 0"),
        ({"options": {"filters": []}}, r"`options.filters` .*at least 1"),
        ({"options": {"filters": [0]}}, r"`options.filters.0` should be greater than or equal to 1"),
        ({"options": {"dropout": 1}}, r"`options.dropout` should be less than 1"),
        ({"options": {"indices": ["NDXI"]}}, r"An index must be NDVI.*Received: 'NDXI'"),
        ({"options": {"indices": ["ndvi", "NDVI"]}}, r"each index once.*\['NDVI'\] is repeated"),
        ({"options": {"head_units": [8, 8, 8]}}, r"`options.head_units` .*at most 2"),
        (
            {"options": {"head_units": [8], "dense_units": 8}},
            r"given once. Received: head_units=\[8\] and dense_units=8",
        ),
        ({"options": {"regularizer_rate": 0.1}}, "A rate needs a penalty. Received: regularizer_rate=0.1"),
        ({"options": {"rgb_bands": ["B04", "B03", "B02"]}}, r"rgb_bands=\['B04', 'B03', 'B02'\] without weights_uri"),
        ({"options": {"trainable_backbone": "none"}}, "frozen backbone needs weights.*trainable_backbone='none'"),
        (
            {"options": {"trainable_backbone": "last_blocks", "trainable_blocks": 2}},
            "frozen backbone needs weights.* without weights_uri",
        ),
        ({"weights_uri": "w.npz"}, "Weights can be given to one of .*Received: architecture=cnn"),
        (
            {"architecture": "resnet50", "options": {"weights_uri": "b"}},
            "is a parameter of its own.*Received: options.weights_uri='b'. Give it as `weights_uri`",
        ),
        (
            {"architecture": "resnet50", "weights_uri": "b", "options": {"weights_uri": "b"}},
            "is a parameter of its own.*Received: options.weights_uri='b'",
        ),
        (
            {"architecture": "mobilenet_v2", "weights_uri": "imagenet", "options": {"weights_sha256": "0" * 64}},
            "checksum of a file. Received: .* with weights_uri='imagenet'",
        ),
        ({"architecture": "resnet50", "weights_uri": "s3://b/w.safetensors"}, r"must end with \.npz, \.h5, \.keras"),
        ({"options": {"weights_sha256": "0" * 64}}, "checksum of a file. Received: .* with weights_uri=''"),
        ({"weights_uri": 3}, "`weights_uri` should be text"),
        ({"weights_uri": "a", "options": 3}, "`options` should be an object"),
        (
            {"architecture": "resnet50", "options": {"filters": [8]}},
            "`filters` is a setting of cnn. Received: options.filters=.* with architecture='resnet50'",
        ),
        (
            {"architecture": "inception_v3", "options": {"input_size_pixels": 64}},
            "`input_size_pixels` must be 75 or more for inception_v3. Received: input_size_pixels=64",
        ),
        ({"options": {"bands": "B04"}}, "must be all, or a list of names. Received: bands='B04'"),
        ({"options": {"bands": []}}, "must see a band or an index"),
        ({"options": {"bands": ["B8", "B08"]}}, "must name each band once. .* with B08 repeated"),
        ({"options": {"filter": [8]}}, r"`options.filter` is not a parameter.*filters"),
    ],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message):
        PrepareConfig.parse(**given)


def test_a_backbone_with_weights_may_be_frozen():
    options = {"trainable_backbone": "none", "rgb_bands": ["B04", "B03", "B02"], "weights_sha256": "0" * 64}
    config = PrepareConfig.parse(architecture="resnet50", weights_uri="s3://b/w.h5", options=options)
    assert config.options.trainable_backbone == "none"


def test_options_read_without_keras():
    code = "import sys; import tilepipe.components.prepare.config; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
