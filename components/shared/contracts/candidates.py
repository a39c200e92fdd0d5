"""Candidates of a sweep and their outcomes, which `propose`, `tune`, `select` and `refit` exchange."""

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tilepipe.components.shared.contracts.history import History, lower_is_better
from tilepipe.components.shared.contracts.json_model import FrozenModel, JsonModel, read_json

SCHEMA_VERSION: Literal[1] = 1

Status = Literal["finished", "stopped", "failed"]
"""Trained to the end; stopped at a rung since others were better; failed, with a reason."""

OUTCOME_FILE, MODEL_FILE = "outcome.json", "model.keras"
"""Files in the folder of a candidate; only the best candidates of a worker have a model."""


class Candidate(FrozenModel):
    """One choice of parameters."""

    index: int = Field(ge=0)
    parameters: dict[str, Any]
    """Values by the names of the pipeline's parameters, options after a dot: `train_options.schedule`."""

    @property
    def name(self) -> str:
        """Name of the candidate's folder and MLflow run."""
        return f"candidate-{self.index:03d}"


class Study(FrozenModel):
    """Search that chooses candidates by the results of earlier ones."""

    space: dict[str, Any]
    """Search space, as in `tune_space`."""
    seed: int
    startup_candidates: int = Field(ge=1)
    """Results that the search needs; until then, candidates are random."""
    candidates: int = Field(ge=1)
    """Number of candidates of all workers."""
    indices: tuple[int, ...] = Field(min_length=1)
    """Indices of the candidates of this worker, in the order in which it chooses them."""


class Share(FrozenModel):
    """Candidates of one worker: an item of the loop, as JSON."""

    worker: int
    base: dict[str, Any]
    """Parameters of all candidates that differ from the pipeline's defaults."""
    metric: str
    """Validation figure that chooses the best epoch of a candidate, and the best candidate."""
    rungs: tuple[int, ...] = ()
    """Epochs after which only the best candidates of this worker continue."""
    reduction_factor: int = 3
    candidates: tuple[Candidate, ...] = ()
    """All candidates of this worker; empty with a study."""
    study: Study | None = None
    study_uri: str = ""
    """Location of the results, in which later runs find them; empty for one that only this run uses."""

    @model_validator(mode="after")
    def _has_candidates(self) -> Self:
        if bool(self.candidates) == bool(self.study):
            raise ValueError("it has neither candidates nor a study, or both")
        return self


class Outcome(JsonModel):
    """Result of one candidate."""

    schema_version: Literal[1] = SCHEMA_VERSION
    index: int
    parameters: dict[str, Any]
    base: dict[str, Any] = Field(default_factory=dict)
    """Parameters of all candidates that differ from the pipeline's defaults."""
    status: Status
    reason: str = ""
    """Reason of a failure, or of a stop."""
    metric: str
    history: History | None = None
    """Figures of its epochs; None if it failed."""
    weights: int | None = None
    """Number of weights of the model; None if it was never built."""
    training_seconds: float = 0.0
    """Time of preparation and training, in all rungs."""
    processor_seconds: float = 0.0
    """Processor time of preparation and training, in all rungs."""
    seconds: float = 0.0
    """`training_seconds` with the start and the end of its processes."""
    mlflow_run_id: str = ""

    @property
    def name(self) -> str:
        """Name of the candidate's folder and MLflow run."""
        return f"candidate-{self.index:03d}"

    @property
    def value(self) -> float:
        """The metric in the best epoch; NaN if it is undefined."""
        return self.history.best.get(self.metric, math.nan) if self.history else math.nan

    def rank(self) -> tuple[int, int, float, float, int]:
        """Compute the sort key: the best candidate has the smallest.

        Finished candidates come before stopped ones, and those before failed ones. Among the stopped, more epochs come
        first. Undefined values come last, and the model with fewer weights, then the lower index, decides between
        equal ones.
        """
        status = ("finished", "stopped", "failed").index(self.status)
        epochs = len(self.history.epochs) if self.history and self.status == "stopped" else 0
        value = self.value if lower_is_better(self.metric) else -self.value
        return (
            status,
            -epochs,
            math.inf if math.isnan(value) else value,
            math.inf if self.weights is None else self.weights,
            self.index,
        )


def ranked(outcomes: list[Outcome]) -> list[Outcome]:
    """Sort outcomes, the best first; their order does not matter."""
    return sorted(outcomes, key=Outcome.rank)


def read_outcomes(folder: Path) -> list[Outcome]:
    """Read the outcomes of a worker's candidates from the folder that `tune` wrote, in no particular order.

    Raises:
        ArtifactError: an outcome is damaged or of another schema version.
    """
    return [read_json(Outcome, path, "An outcome", "tune") for path in sorted(folder.glob(f"*/{OUTCOME_FILE}"))]
