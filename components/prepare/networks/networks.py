"""Registry of the networks that `prepare` can build, with their properties."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tilepipe.components.shared.contracts.bands import RGB_BANDS

Architecture = Literal[
    "cnn",
    "compact",
    "efficientnet_lite0",
    "efficientnet_v2_b1",
    "efficientnet_v2_s",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "resnet50",
]


class ExpectedInput(NamedTuple):
    """Input of the ImageNet weights of a network: (pixel - mean) / scale, for pixels from 0 to 255."""

    mean: tuple[float, float, float]
    """In the order red, green, blue."""
    scale: tuple[float, float, float]
    """In the order red, green, blue."""
    channels: tuple[str, str, str] = RGB_BANDS
    """Order of the channels."""


@dataclass(frozen=True)
class Network:
    """Properties of one network."""

    function: str | None = None
    """Its function in keras.applications; None for a network that tilepipe builds itself."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of that function."""
    shortest_side_pixels: int = 1
    """Smallest height and width of the input; smaller tiles are enlarged inside the model."""
    expected_input: ExpectedInput | None = None
    """Input of its ImageNet weights, built without preprocessing layers; None if there are no such weights."""
    block_pattern: re.Pattern[str] | None = None
    """Matches the beginning of the names of the layers in a block; the first group identifies the block."""
    block_end_pattern: re.Pattern[str] | None = None
    """Matches the name of the last layer of each block, where the names of other layers do not identify the block."""


_NO_PREPROCESSING = {"include_preprocessing": False}  # `prepare` scales tiles by their own statistics
_FROM_MINUS_ONE_TO_ONE = ExpectedInput((127.5,) * 3, (127.5,) * 3)  # mode "tf" of Keras
_MOBILENET_V3_BLOCK = re.compile(r"(expanded_conv(?:_\d+)?)_")
_EFFICIENTNET_V2_BLOCK = re.compile(r"(block\d+[a-z])_")

# Expected inputs of keras.applications: `imagenet_utils.preprocess_input` in the mode of each module, or the module's
# own preprocessing layers.
NETWORKS: dict[Architecture, Network] = {
    "cnn": Network(),
    "compact": Network(),
    "efficientnet_lite0": Network(
        expected_input=ExpectedInput((127.0,) * 3, (128.0,) * 3),
        block_pattern=re.compile(r"(block\d+)_"),
    ),
    "efficientnet_v2_b1": Network(
        function="EfficientNetV2B1",
        settings=_NO_PREPROCESSING,
        shortest_side_pixels=32,
        expected_input=ExpectedInput((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)),
        block_pattern=_EFFICIENTNET_V2_BLOCK,
    ),
    "efficientnet_v2_s": Network(
        function="EfficientNetV2S",
        settings=_NO_PREPROCESSING,
        shortest_side_pixels=32,
        expected_input=ExpectedInput((128.0,) * 3, (128.0,) * 3),
        block_pattern=_EFFICIENTNET_V2_BLOCK,
    ),
    "inception_v3": Network(
        function="InceptionV3",
        shortest_side_pixels=75,
        expected_input=_FROM_MINUS_ONE_TO_ONE,
        block_end_pattern=re.compile(r"mixed\d+"),
    ),
    "mobilenet_v2": Network(
        function="MobileNetV2",
        shortest_side_pixels=32,
        expected_input=_FROM_MINUS_ONE_TO_ONE,
        block_pattern=re.compile(r"(expanded_conv|block_\d+)_"),
    ),
    "mobilenet_v3_large": Network(
        function="MobileNetV3Large",
        settings=_NO_PREPROCESSING,
        shortest_side_pixels=32,
        expected_input=_FROM_MINUS_ONE_TO_ONE,
        block_pattern=_MOBILENET_V3_BLOCK,
    ),
    "mobilenet_v3_small": Network(
        function="MobileNetV3Small",
        settings=_NO_PREPROCESSING,
        shortest_side_pixels=32,
        expected_input=_FROM_MINUS_ONE_TO_ONE,
        block_pattern=_MOBILENET_V3_BLOCK,
    ),
    "resnet50": Network(
        function="ResNet50",
        shortest_side_pixels=32,
        expected_input=ExpectedInput((123.68, 116.779, 103.939), (1.0,) * 3, ("blue", "green", "red")),  # mode "caffe"
        block_pattern=re.compile(r"(conv\d_block\d+)_"),
    ),
}
"""All networks by name; see https://keras.io/api/applications/ for those of Keras."""
