"""Low resolution in the first epochs, which then take a fraction of the time."""

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig

if TYPE_CHECKING:
    import keras


class ResolutionOptions(StepConfig):
    """Epochs at low resolution."""

    low_resolution_epochs: int = Field(
        default=0, ge=0, description="Initial epochs that train on tiles resized to low_resolution_pixels; 0: none"
    )
    low_resolution_pixels: int = Field(
        default=0,
        ge=0,
        description="Shorter side of the tiles in low_resolution_epochs, less than that of the network's input",
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if bool(self.low_resolution_epochs) != bool(self.low_resolution_pixels):
            raise ValueError(
                "`low_resolution_epochs` and `low_resolution_pixels` must be given together. Received: "
                f"low_resolution_epochs={self.low_resolution_epochs} with "
                f"low_resolution_pixels={self.low_resolution_pixels}. For example, use low_resolution_epochs=12 with "
                "low_resolution_pixels=64."
            )
        return self


def check_resolution(epochs: int, options: ResolutionOptions) -> None:
    """Check that epochs are left in which the network sees tiles of the size that it will see in use.

    Raises:
        ParameterError: `low_resolution_epochs` leaves none.
    """
    if options.low_resolution_epochs >= epochs:
        raise ParameterError(
            "`low_resolution_epochs` must be fewer than `epochs`, which counts them too. Received: "
            f"low_resolution_epochs={options.low_resolution_epochs} with epochs={epochs}. Use more epochs."
        )


class Resolution:
    """Resolution of the training tiles by epoch.

    Args:
        model: the classifier.
        options: the epochs at low resolution.

    Raises:
        ParameterError: the network has no backbone, or its input is not larger than `low_resolution_pixels`.
    """

    def __init__(self, model: "keras.Model", options: ResolutionOptions) -> None:
        self._epochs = options.low_resolution_epochs
        self._low = low_resolution_model(model, options.low_resolution_pixels) if self._epochs else None
        self.model: keras.Model | None = None
        """Model of the current epoch, which shares the layers of the classifier; None at full resolution."""

    def change(self, epoch: int) -> bool:
        """Change to the resolution of an epoch, counted from 0; returns whether it differs from the current one."""
        wanted = self._low if epoch < self._epochs else None
        changes = wanted is not self.model
        self.model = wanted
        return changes


def low_resolution_model(model: "keras.Model", pixels: int) -> "keras.Model":
    """Build a model of the same layers, and so the same variables, whose backbone gets smaller tiles.

    Args:
        model: a classifier with a nested backbone; tiles of its input are resized inside it.
        pixels: shorter side of the backbone's input; the aspect ratio is kept.

    Returns:
        A model from the same tiles to probabilities, to be called with `training=True`.

    Raises:
        ParameterError: the network has no backbone, or its input is not larger.
    """
    import keras

    from tilepipe.components.train.loop.model_layers import backbone_of

    backbone = backbone_of(model)
    if backbone is None:
        raise ParameterError(
            "`low_resolution_epochs` must be 0 for a network without a backbone, whose layers depend on the size of "
            f"the tiles. Received: a network {model.name}. Choose another architecture, such as "
            "architecture='efficientnet_lite0', or low_resolution_epochs=0 with low_resolution_pixels=0."
        )
    height, width, channels = backbone.input.shape[1:]
    shorter = min(height, width)
    if pixels >= shorter:
        raise ParameterError(
            "`low_resolution_pixels` must be less than the shorter side of the network's input. Received: "
            f"low_resolution_pixels={pixels} with {model.name}, whose input has {height} x {width} pixels. "
            f"Use low_resolution_pixels={max(1, shorter * 2 // 3)}."
        )
    small = (round(height * pixels / shorter), round(width * pixels / shorter))
    resize = keras.layers.Resizing(*small, interpolation="bilinear", dtype="float32", name="low_resolution")
    inputs = keras.Input((*small, channels))
    small_backbone = keras.models.clone_model(backbone, input_tensors=inputs, clone_function=lambda layer: layer)
    # A model that enlarges tiles resizes them once, from their own size.
    resizes = [layer for layer in model.layers if isinstance(layer, keras.layers.Resizing)]
    whole = keras.Sequential([small_backbone] if resizes else [resize, small_backbone])
    replaced = {id(backbone): whole} | {id(layer): resize for layer in resizes}
    return keras.models.clone_model(model, clone_function=lambda layer: replaced.get(id(layer), layer))
