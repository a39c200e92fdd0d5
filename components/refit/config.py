"""Parameters of the `refit` step."""

from pydantic import Field

from tilepipe.components.tune.config import TrainingPodConfig


class RefitConfig(TrainingPodConfig):
    """Whether to train the winner again, and the resources of its pod."""

    enabled: bool = Field(
        default=False,
        description="Train the best candidate again, on training and validation tiles together, for as many epochs as "
        "its best one; else its model is used as it is",
    )
