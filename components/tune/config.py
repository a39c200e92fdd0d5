"""Parameters of the `tune` step."""

from typing import Any

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.train.config import TrainConfig


class TrainingPodConfig(StepConfig):
    """Resources and services of a pod that trains."""

    checkpoint_uri: str = TrainConfig.field("checkpoint_uri")
    experiment: str = TrainConfig.field("experiment")
    gpu_count: str = TrainConfig.field("gpu_count")
    gpu_resource: str = TrainConfig.field("gpu_resource")
    memory: str = TrainConfig.field("memory")

    def for_candidate(self, name: str) -> dict[str, Any]:
        """Return the fields for the training of a candidate, whose checkpoints are in a folder of its own."""
        fields = {name: getattr(self, name) for name in TrainingPodConfig.model_fields}
        if self.checkpoint_uri:
            fields["checkpoint_uri"] = f"{self.checkpoint_uri.rstrip('/')}/{name}"
        return fields


class TuneConfig(TrainingPodConfig):
    """Candidates of one worker, and the resources of its pod."""

    share: str = Field(
        default="", description="Candidates of this worker, as JSON: an item of the list that `propose` returns"
    )
