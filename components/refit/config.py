"""Parameters of the `refit` step."""

from tilepipe.components.propose.config import ProposeConfig
from tilepipe.components.tune.config import TrainingPodConfig


class RefitConfig(TrainingPodConfig):
    """Whether to train the winner again, and the resources of its pod."""

    enabled: bool = ProposeConfig.field("tune_refit")
