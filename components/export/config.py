"""Parameters of the `export` step."""

from typing import Literal

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage.place import PlaceAddress

Format = Literal["saved_model", "litert", "int8"]


class ExportOptions(StepConfig):
    """Rarely changed settings of the export (`options`)."""

    opset: int = Field(default=17, ge=13, le=18, description="ONNX operator set of the exported model")
    parity_tiles: int = Field(
        default=512, ge=1, le=100_000, description="Maximum number of tiles on which ONNX is compared with Keras"
    )
    max_difference: float = Field(
        default=1e-4,
        gt=0,
        le=0.1,
        description="Maximum difference between the probabilities of an exported model and Keras; beyond it the step "
        "fails",
    )
    formats: tuple[Format, ...] = Field(
        default=(), description="Further formats in the bundle: any of saved_model, litert, int8 (8-bit ONNX)"
    )
    max_int8_accuracy_loss: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Accuracy that the 8-bit model may lose on the samples; beyond it the bundle lacks that model",
    )


class ExportConfig(StepConfig):
    """Address of the bundle, and settings of the export."""

    name: str = Field(
        default="",
        max_length=100,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$",
        description="Name of the model in its files; default: the name of the dataset and the network",
    )
    bundle_uri: PlaceAddress = Field(
        default="",
        description="Folder or s3://bucket/prefix to which the bundle is copied, under name-YYYY-mm-dd-HH-MM-SS; empty "
        "copies nothing",
    )
    options: ExportOptions = Field(
        default=ExportOptions(),
        description='Rarely changed settings of export: {"max_difference": 0.001}, {"parity_tiles": 100} and others',
    )
