"""Parameters of the `propose` step."""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.prepare.networks.networks import Architecture
from tilepipe.components.propose.candidate_configs import BEST_METRIC, PARAMETERS, candidate_configs, check_metric
from tilepipe.components.propose.space import Search, candidates, extremes, with_whole_numbers
from tilepipe.components.shared.contracts.candidates import Candidate, Share, Study
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage import storage
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.figures.epoch_figures import check_name_of_metric
from tilepipe.components.train.input.augmentation import Augmentation
from tilepipe.components.train.optimization.optimizers import Optimizer

MOST_CANDIDATES = 200
_LONGEST_PLAN = 60_000  # characters: KFP's database holds 65,535 bytes per parameter


class TuneOptions(StepConfig):
    """Early stops of unpromising candidates, and the study of a search that continues."""

    rungs: tuple[int, ...] = Field(
        default=(),
        max_length=10,
        description="Epochs after which each worker continues only its best candidates, such as [2, 6]; [] for none",
    )
    reduction_factor: int = Field(
        default=3, ge=2, le=10, description="At each rung, one in this many candidates continues"
    )
    startup_candidates: int = Field(
        default=10,
        ge=1,
        le=MOST_CANDIDATES,
        description="Number of results that a TPE search needs; until then, its candidates are random",
    )
    study_uri: str = Field(
        default="",
        description="Folder or s3://bucket/prefix that keeps the results of the candidates. A later run with the same "
        "data, metric and parameters of all candidates continues from them: it trains only candidates without a "
        "result. Default: a folder in train_checkpoint_uri, for this run only",
    )

    @field_validator("study_uri")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        if value:
            storage.normalize_place("study_uri", value)
        return value

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(rung < 1 for rung in self.rungs) or list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(
                f"`rungs` must be epochs from 1, in ascending order. Received: rungs={list(self.rungs)}. Give for "
                "example rungs=[2, 6]."
            )
        return self


class ProposeConfig(StepConfig):
    """Search space, and the parameters that all candidates share, with the names of the pipeline."""

    tune_space: dict[str, Any] = Field(
        description='Search space: {"train_learning_rate": [0.001, 0.01], "train_options.schedule": ["constant", '
        '"cosine"], "model_options.indices": [[], ["NDVI"]]}; for a random or TPE search also ranges, {"low": 0.0001, '
        '"high": 0.01, "log": true}',
    )
    tune_search: Search = Field(
        default="grid",
        description="grid takes all combinations of the values, random draws `tune_candidates` of them, tpe chooses as "
        "many by the results of earlier ones",
    )
    tune_candidates: int = Field(
        default=20,
        ge=1,
        le=MOST_CANDIDATES,
        description="Number of random or TPE candidates, or size limit of the grid",
    )
    tune_workers: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Number of pods that train candidates at the same time; each trains its share one after another",
    )
    tune_metric: str = Field(
        default="val_accuracy",
        max_length=300,
        description="Validation metric that ranks the candidates, and selects the best epoch of each: val_accuracy, "
        "val_loss, val_macro_f1, val_recall/Forest and others",
    )
    tune_options: TuneOptions = Field(
        default=TuneOptions(),
        description='Rarely changed settings of the sweep: {"rungs": [2, 6]} stops unpromising candidates after 2 and '
        '6 epochs, {"study_uri": "s3://bucket/study"} continues an earlier sweep',
    )
    tune_refit: bool = Field(
        default=False,
        description="Train the best candidate again, on training and validation tiles together, for as many epochs as "
        "its best one; else its model is used as it is",
    )
    experiment: str = TrainConfig.field("experiment")
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Seed of the search, and of candidates without another seed"
    )
    model_architecture: Architecture = PrepareConfig.field("architecture")
    model_options: dict[str, Any] = Field(
        default={}, description=str(PrepareConfig.model_fields["options"].description)
    )
    model_weights_uri: str = PrepareConfig.field("weights_uri")
    train_augmentation: tuple[Augmentation, ...] = TrainConfig.field("augmentation")
    train_batch_size: int = TrainConfig.field("batch_size")
    train_epochs: int = TrainConfig.field("epochs")
    train_learning_rate: float = TrainConfig.field("learning_rate")
    train_optimizer: Optimizer = TrainConfig.field("optimizer")
    train_options: dict[str, Any] = Field(default={}, description=str(TrainConfig.model_fields["options"].description))

    @field_validator("tune_metric")
    @classmethod
    def _known_figure(cls, metric: str) -> str:
        check_name_of_metric(metric, "tune_metric")
        return metric

    @model_validator(mode="after")
    def _every_candidate_is_valid(self) -> Self:
        check_metric(self.train_options, self.tune_metric)
        problems: dict[str, str] = {}
        epochs = 0
        for parameters in self._checked():
            try:
                epochs = max(epochs, candidate_configs(self.base(), parameters).train.epochs)
            except ParameterError as error:
                problems.setdefault(str(error), shown(parameters))
        if problems:
            lines = [
                f"{problem} This is a candidate of `tune_space`: {chosen}." for problem, chosen in problems.items()
            ]
            raise ValueError("\n".join(lines[:5]))
        if self.tune_options.rungs and self.tune_options.rungs[-1] >= epochs:
            raise ValueError(
                "`rungs` must be below the number of epochs, since a candidate is stopped after one of them. Received: "
                f"rungs={list(self.tune_options.rungs)} with train_epochs={epochs}. Give for example "
                f"rungs={[max(1, epochs // 3)]}, or more train_epochs."
            )
        self.check_refit()
        length = sum(len(share) for share in self.shares())
        if length > _LONGEST_PLAN:
            raise ValueError(
                f"The candidates must fit into {_LONGEST_PLAN:,} characters of JSON. Received: {length:,}. Give fewer "
                "candidates, or shorter values."
            )
        return self

    def base(self) -> dict[str, Any]:
        """Return the parameters of all candidates that differ from their defaults, by the names of the pipeline."""
        given = {name: with_whole_numbers(_plain(getattr(self, name))) for name in PARAMETERS}
        given["train_options"] = {BEST_METRIC.partition(".")[2]: self.tune_metric, **self.train_options}
        return {name: value for name, value in given.items() if value != _default(name)}

    def check_refit(self) -> None:
        """Check that each candidate can be trained without validation tiles, as `tune_refit` does with the winner.

        Raises:
            ParameterError: a schedule needs figures of validation tiles.
        """
        for parameters in self._checked() if self.tune_refit else ():
            if candidate_configs(self.base(), parameters).train.options.schedule == "reduce_on_plateau":
                raise ParameterError(
                    "`tune_refit` trains on the validation tiles too, so a schedule must not need their figures. "
                    f"Received: tune_refit=true with schedule='reduce_on_plateau' in a candidate: {shown(parameters)}. "
                    "Give another schedule, such as cosine, or tune_refit=false."
                )

    @property
    def chooses_by_results(self) -> bool:
        """True if the workers choose the candidates, by the results of earlier ones."""
        return self.tune_search == "tpe"

    def listed(self) -> tuple[Candidate, ...]:
        """List the candidates; for a TPE search, which chooses them later, as many random examples.

        Raises:
            ValueError: the search space is empty, contradictory or too large.
        """
        return candidates(self.tune_space, search=self.tune_search, most=self.tune_candidates, seed=self.seed)

    def shares(self) -> list[str]:
        """Divide the candidates among the workers, as items of KFP's loop.

        Neighbors in a grid go to different workers, so that each worker compares candidates of the whole space.

        Returns:
            JSON of a `Share` for each worker; none is empty.
        """
        listed = self.listed()
        workers = min(self.tune_workers, len(listed))
        return [self._share(worker, listed[worker::workers]).model_dump_json() for worker in range(workers)]

    def _share(self, worker: int, own: tuple[Candidate, ...]) -> Share:
        study = None
        if self.chooses_by_results:
            study = Study(
                space=with_whole_numbers(self.tune_space),
                seed=self.seed,
                startup_candidates=self.tune_options.startup_candidates,
                candidates=self.tune_candidates,
                indices=tuple(candidate.index for candidate in own),
            )
        return Share(
            worker=worker,
            base=self.base(),
            metric=self.tune_metric,
            rungs=self.tune_options.rungs,
            reduction_factor=self.tune_options.reduction_factor,
            candidates=() if study else own,
            study=study,
            study_uri=self.tune_options.study_uri,
        )

    def _checked(self) -> list[Mapping[str, Any]]:
        """Return the parameters of the candidates to check; each value of the search space occurs in them."""
        listed: list[Mapping[str, Any]] = [candidate.parameters for candidate in self.listed()]
        return [*listed, *extremes(self.tune_space, seed=self.seed)] if self.chooses_by_results else listed


def shown(parameters: Mapping[str, Any]) -> str:
    """Format the parameters of a candidate, such as `train_learning_rate=0.01, seed=1`."""
    return ", ".join(
        f"{name}={json.dumps(value) if isinstance(value, list | dict) else value}" for name, value in parameters.items()
    )


def _default(name: str) -> Any:  # noqa: ANN401 - of any parameter
    config, field = PARAMETERS[name][0]
    default = config.model_fields[field].get_default(call_default_factory=True)
    return {} if isinstance(default, StepConfig) else _plain(default)


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any parameter
    return list(value) if isinstance(value, tuple) else value
