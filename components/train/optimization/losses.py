"""Loss functions of the training."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from tilepipe.components.shared.runtime.config import StepConfig

if TYPE_CHECKING:
    import keras

Loss = Literal["categorical_crossentropy", "focal"]
_FOCAL_GAMMA = 2.0


class LossOptions(StepConfig):
    """Loss function and its parameters."""

    loss: Loss = Field(default="categorical_crossentropy", description="Loss function to minimize, as defined by Keras")
    focal_gamma: float = Field(
        default=_FOCAL_GAMMA,
        ge=0,
        le=10,
        description="Focusing parameter gamma of the focal loss; 0 is categorical cross-entropy",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of each label that is spread evenly over all classes"
    )

    @model_validator(mode="after")
    def _loss_agrees(self) -> Self:
        if self.focal_gamma != _FOCAL_GAMMA and self.loss != "focal":
            raise ValueError(
                "`focal_gamma` must be left out unless `loss` is focal. "
                f"Received: focal_gamma={self.focal_gamma:g} with loss={self.loss!r}. Use loss='focal'."
            )
        return self


def make_loss(options: LossOptions) -> "keras.losses.Loss":
    """Create the loss: the mean over the batch, weighted if tiles have weights.

    Label smoothing also applies to validation, as always in Keras. Values and gradients stay finite for probabilities
    of exactly 0 and 1.

    Returns:
        A loss of labels (one-hot or mixed, float32, `(batch, classes)`) and probabilities (float32, same shape).
    """
    import keras

    if options.loss == "categorical_crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=options.label_smoothing)
    # Keras' alpha of 0.25 is meant for one class against the background; here `class_weights` weighs the classes, so
    # that gamma=0 is cross-entropy (https://arxiv.org/abs/1708.02002, equations 3 to 5).
    return keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=options.focal_gamma, label_smoothing=options.label_smoothing
    )
