"""Parameters of the `prepare` step."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from tilepipe.components.prepare.networks.freezing import FreezingOptions
from tilepipe.components.prepare.networks.indices import Sensor, checked_index
from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture
from tilepipe.components.prepare.weights.band_weights import expected_input
from tilepipe.components.prepare.weights.weights import IMAGENET, check_suffix
from tilepipe.components.shared.contracts.bands import distinct_bands
from tilepipe.components.shared.runtime.config import StepConfig

InputScaling = Literal["auto", "standardise", "min_max", "reflectance"]
Pooling = Literal["mean", "max"]
Regularizer = Literal["none", "l1", "l2", "l1_l2"]
Units = Annotated[int, Field(ge=1, le=65536)]
IndexName = Annotated[str, AfterValidator(checked_index)]

_ONLY_FOR: Mapping[str, frozenset[Architecture]] = {
    **dict.fromkeys(("filters", "kernel_size", "block_dropout", "dense_units"), frozenset({"cnn"})),
    **dict.fromkeys(("width", "residual_blocks"), frozenset({"compact"})),
    **dict.fromkeys(("drop_connect", "stem_stride"), frozenset({"efficientnet_lite0"})),
}


class ModelOptions(FreezingOptions):
    """Settings of the network; the defaults learn EuroSAT well in a few epochs on two CPU cores.

    BatchNormalization's momentum in the cnn is far lower than Keras' 0.99: at a constant learning rate the weights
    move faster than the running means, and validation suffers and jumps (accuracy of the same weights after two epochs
    of EuroSAT RGB: 0.790 with 0.9, 0.794 with 0.8, 0.820 with 0.5).
    """

    filters: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(16, 32, 64, 128),
        min_length=1,
        max_length=8,
        description="cnn: number of filters per block, first to last",
    )
    kernel_size: int = Field(
        default=3, ge=1, le=15, description="cnn: height and width of the convolution kernels, in pixels"
    )
    block_dropout: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="cnn: dropout rate after the last block; lower in earlier blocks",
    )
    dense_units: Units = Field(default=128, description="cnn: units of the dense layer before the classification layer")
    width: float = Field(default=1.0, ge=0.125, le=8, description="compact: multiplier of its 32, 64 and 128 channels")
    residual_blocks: int = Field(
        default=1, ge=0, le=8, description="compact: residual convolutions per stage, in three stages"
    )
    drop_connect: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="efficientnet_lite0: drop rate of the last residual block (stochastic depth)",
    )
    stem_stride: Literal[1, 2] = Field(
        default=2,
        description="efficientnet_lite0: stride of the first convolution; 1 for small tiles, at 4x the cost",
    )
    head_units: tuple[Units, ...] = Field(
        default=(),
        max_length=2,
        description="Units of up to two dense layers before the classification layer",
    )
    pooling: Pooling = Field(default="mean", description="Global pooling of the feature map: mean or max")
    dropout: float = Field(
        default=0.3, ge=0, lt=1, description="Dropout rate after each dense layer and before the classification layer"
    )
    batch_norm_momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Momentum of BatchNormalization; null for the default of the network",
    )
    input_size_pixels: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="Shorter side to which tiles are resized inside the model; 0 keeps their size",
    )
    input_scaling: InputScaling = Field(
        default="auto",
        description="auto (as the weights expect, else standardise), standardise, min_max, reflectance",
    )
    bands: Literal["all"] | tuple[str, ...] = Field(
        default="all",
        description="Bands that the network sees besides the indices: all, or a list of names; [] for none",
    )
    indices: tuple[IndexName, ...] = Field(
        default=(),
        max_length=20,
        description="Spectral indices added as channels: NDVI, NDMI, NDWI, NBR, EVI, or any such as ND(B08,B04)",
    )
    sensor: Sensor = Field(default="sentinel-2", description="Sensor that defines the band numbers of named indices")
    reflectance_scale: float = Field(
        default=0.0,
        ge=0,
        description="Digital number of reflectance 1; 0 for 10000 with 16 bits, 255 with 8 bits, 1 otherwise",
    )
    reflectance_offset: float = Field(
        default=0.0,
        description="Offset added to digital numbers before scaling; -1000 for Sentinel-2 since baseline 04.00",
    )
    regularizer: Regularizer = Field(default="none", description="Penalty on kernel weights: none, l1, l2 or l1_l2")
    regularizer_rate: float = Field(default=1e-4, gt=0, le=10, description="Factor of the penalty")

    @field_validator("bands", mode="before")
    @classmethod
    def _bands_once(cls, bands: object) -> object:
        # One message here: pydantic reports one error per member of a union.
        if bands == "all":
            return bands
        if not isinstance(bands, list | tuple) or not all(isinstance(band, str) for band in bands):
            raise ValueError(
                f"`bands` must be all, or a list of names. Received: bands={bands!r}. For example, use "
                "bands=['B04', 'B03', 'B02']."
            )
        return distinct_bands("bands", tuple(bands))

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.bands == () and not self.indices:
            raise ValueError(
                "The network must see a band or an index. Received: bands=[] without indices. Name bands, or give "
                "`indices`."
            )
        if self.regularizer == "none" and "regularizer_rate" in self.model_fields_set:
            raise ValueError(
                f"A rate needs a penalty. Received: regularizer_rate={self.regularizer_rate} with regularizer='none'. "
                "Give regularizer='l2', or leave the rate out."
            )
        if self.head_units and "dense_units" in self.model_fields_set:
            raise ValueError(
                "The dense layers are given once. Received: "
                f"head_units={list(self.head_units)} and dense_units={self.dense_units}. Leave `dense_units` out."
            )
        repeated = sorted({name for name in self.indices if self.indices.count(name) > 1})
        if repeated:
            raise ValueError(
                f"`indices` must name each index once. Received: indices={list(self.indices)}, where {repeated} is "
                "repeated."
            )
        return self


class PrepareConfig(StepConfig):
    """Network and initial weights."""

    architecture: Architecture = Field(default="cnn", description=f"Network: {', '.join(NETWORKS)}")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the initial weights")
    weights_uri: str = Field(
        default="",
        description="Pretrained weights: a path, s3:// or https:// address of .npz, .h5 or .keras; imagenet for those "
        "that Keras downloads; empty for random weights",
    )
    options: ModelOptions = Field(
        default=ModelOptions(),
        description='Rarely changed settings of the network: {"dropout": 0.3}, {"input_size_pixels": 96}, '
        '{"indices": ["NDVI"]} and others',
    )

    @model_validator(mode="before")
    @classmethod
    def _no_weights_among_options(cls, values: Any) -> Any:  # noqa: ANN401 - the fields are checked afterwards
        options = values.get("options") if isinstance(values, dict) else None
        if isinstance(options, dict) and "weights_uri" in options:
            raise ValueError(
                "The address of the weights is a parameter of its own, not an option. "
                f"Received: options.weights_uri={options['weights_uri']!r}. Give it as `weights_uri` (a "
                "pipeline's `model_weights_uri`)."
            )
        return values

    @model_validator(mode="after")
    def _agree(self) -> Self:
        self._check_weights()
        for name in sorted(self.options.model_fields_set):
            if self.architecture not in _ONLY_FOR.get(name, (self.architecture,)):
                raise ValueError(
                    f"`{name}` is a setting of {', '.join(sorted(_ONLY_FOR[name]))}. "
                    f"Received: options.{name}={getattr(self.options, name)!r} with "
                    f"architecture={self.architecture!r}. Leave one of them out."
                )
        size, shortest = self.options.input_size_pixels, NETWORKS[self.architecture].shortest_side_pixels
        if 0 < size < shortest:
            raise ValueError(
                f"`input_size_pixels` must be {shortest} or more for {self.architecture}. "
                f"Received: input_size_pixels={size}. Give 0 for the smallest that fits the tiles and the network."
            )
        return self

    def _check_weights(self) -> None:
        options = self.options
        if self.weights_uri:
            expected_input(self.architecture)
        if self.weights_uri not in {"", IMAGENET}:
            check_suffix(self.weights_uri)
        if options.weights_sha256 and self.weights_uri in {"", IMAGENET}:
            raise ValueError(
                "`weights_sha256` is the checksum of a file. "
                f"Received: options.weights_sha256={options.weights_sha256} with weights_uri={self.weights_uri!r}. "
                "Give the file's address, or no checksum: Keras checks what it downloads itself."
            )
        if options.rgb_bands and not self.weights_uri:
            raise ValueError(
                "`rgb_bands` are the input bands of weights trained on RGB images. "
                f"Received: options.rgb_bands={list(options.rgb_bands)} without weights_uri. Give `weights_uri` (a "
                "pipeline's `model_weights_uri`), or leave rgb_bands out."
            )
        if options.trainable_backbone != "all" and not self.weights_uri:
            raise ValueError(
                "A frozen backbone needs weights: random ones would never learn. Received: "
                f"options.trainable_backbone={options.trainable_backbone!r} without weights_uri. Give `weights_uri` (a "
                "pipeline's `model_weights_uri`), or options.trainable_backbone='all'."
            )
