"""Parameters of the `tune` step."""

import copy
from typing import Any

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.train.config import TrainConfig


def _as_in_train(name: str) -> Any:  # noqa: ANN401 - a FieldInfo, which pydantic takes as default
    return copy.copy(TrainConfig.model_fields[name])


class TrainingPodConfig(StepConfig):
    """Resources and services of a pod that trains."""

    checkpoint_uri: str = _as_in_train("checkpoint_uri")
    experiment: str = _as_in_train("experiment")
    gpu_count: str = _as_in_train("gpu_count")
    gpu_resource: str = _as_in_train("gpu_resource")
    memory: str = _as_in_train("memory")

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
