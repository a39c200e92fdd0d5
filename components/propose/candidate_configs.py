"""Configurations of `prepare` and `train` for a candidate, from parameters with the names of the pipeline."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from tilepipe.components.prepare.config import ModelOptions, PrepareConfig
from tilepipe.components.shared.errors import ParameterError, closest
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.train.config import TrainConfig, TrainOptions

SEED = "seed"
BEST_METRIC = "train_options.best_metric"

PARAMETERS: Mapping[str, tuple[tuple[type[StepConfig], str], ...]] = {
    SEED: ((PrepareConfig, "seed"), (TrainConfig, "seed")),
    "model_architecture": ((PrepareConfig, "architecture"),),
    "model_options": ((PrepareConfig, "options"),),
    "model_weights_uri": ((PrepareConfig, "weights_uri"),),
    "train_augmentation": ((TrainConfig, "augmentation"),),
    "train_batch_size": ((TrainConfig, "batch_size"),),
    "train_epochs": ((TrainConfig, "epochs"),),
    "train_learning_rate": ((TrainConfig, "learning_rate"),),
    "train_optimizer": ((TrainConfig, "optimizer"),),
    "train_options": ((TrainConfig, "options"),),
}
"""Parameters that candidates can differ in: name in the pipeline -> fields of the steps."""

STRUCTS: Mapping[str, type[StepConfig]] = {"model_options": ModelOptions, "train_options": TrainOptions}
"""Structs of options; an option is named after a dot, as in `model_options.dropout`."""


@dataclass(frozen=True)
class CandidateConfigs:
    """Configurations of the two steps that a candidate consists of."""

    prepare: PrepareConfig
    train: TrainConfig

    def of_network(self) -> dict[str, Any]:
        """Return every parameter and option of the network by its name in the pipeline, also those with defaults."""
        values = {name: getattr(self.prepare, field) for name, field in _fields_of(PrepareConfig)}
        options = values.pop("model_options").model_dump(mode="json")
        return values | {f"model_options.{name}": value for name, value in options.items()}


def check_name(name: str) -> None:
    """Check the name of a parameter or option that candidates may differ in.

    Raises:
        ParameterError: there is no such parameter, or candidates cannot differ in it.
    """
    parameter, dot, option = name.partition(".")
    struct = STRUCTS.get(parameter)
    if (parameter in PARAMETERS and not dot) or (struct and option in struct.model_fields):
        if name == BEST_METRIC:
            raise ParameterError(_other_metric(f"{BEST_METRIC} in tune_space", "`tune_metric`"))
        return
    known = [*PARAMETERS, *(f"{key}.{field}" for key, kind in STRUCTS.items() for field in kind.model_fields)]
    close = closest(name, known) or next(
        (full for full in known if option == "" and full.endswith(f".{name.removeprefix('train_')}")), ""
    )
    hint = f"Did you mean {close}?" if close else f"Use {', '.join(PARAMETERS)}, or an option such as {known[-1]}."
    raise ParameterError(
        f"`tune_space` must consist of parameters of the model and the training. Received: {name}. {hint}"
    )


def check_metric(options: Mapping[str, Any], metric: str) -> None:
    """Check that the options of all candidates name no other metric than that of the sweep.

    Args:
        options: `train_options`.
        metric: `tune_metric`.

    Raises:
        ParameterError: they do, and the best epoch of each candidate would be chosen by another metric.
    """
    given = options.get(BEST_METRIC.partition(".")[2], metric)
    if given != metric:
        raise ParameterError(
            _other_metric(f"{BEST_METRIC}={given!r} with tune_metric={metric!r}", f"tune_metric={given}")
        )


def _other_metric(received: str, instead: str) -> str:
    return (
        "One metric must rank the candidates and select the best epoch of each. Received: "
        f"{received}. Give {instead} instead of best_metric."
    )


def field_of(name: str) -> FieldInfo:
    """Return the field of a parameter or option that `check_name` accepts."""
    parameter, dot, option = name.partition(".")
    config, field = PARAMETERS[parameter][0]
    return STRUCTS[parameter].model_fields[option] if dot else config.model_fields[field]


def candidate_configs(base: Mapping[str, Any], parameters: Mapping[str, Any], **train: Any) -> CandidateConfigs:  # noqa: ANN401
    """Build the configurations of a candidate.

    Args:
        base: parameters of all candidates, by the names of the pipeline.
        parameters: those of this candidate. A struct replaces only the options that it has, not the whole struct of
            the base.
        **train: further fields of `TrainConfig`.

    Raises:
        ParameterError: a step would refuse a value; the message uses the names of the pipeline.
    """
    merged = copy.deepcopy(dict(base))
    for name, value in parameters.items():
        parameter, dot, option = name.partition(".")
        if dot:
            merged[parameter] = {**merged.get(parameter, {}), option: value}
        elif parameter in STRUCTS and isinstance(value, Mapping):
            merged[parameter] = {**merged.get(parameter, {}), **value}
        else:
            merged[parameter] = value
    return CandidateConfigs(_config(PrepareConfig, merged, {}), _config(TrainConfig, merged, train))


def _config(kind: type[Any], merged: Mapping[str, Any], more: Mapping[str, Any]) -> Any:  # noqa: ANN401
    names = dict(_fields_of(kind))
    try:
        return kind.parse(**{names[name]: value for name, value in merged.items() if name in names}, **more)
    except ParameterError as error:
        raise ParameterError(in_pipeline_terms(kind, str(error))) from None


def in_pipeline_terms(kind: type[StepConfig], message: str) -> str:
    """Replace the names of a step's parameters in its message by those of the pipeline, as in `tune_space`."""
    by_field = {field: name for name, field in _fields_of(kind)}
    pattern = rf"(?<![\w.])({'|'.join(by_field)})(?=[.=`])"
    return re.sub(pattern, lambda match: by_field[match[1]], message)


def _fields_of(kind: type[StepConfig]) -> Iterator[tuple[str, str]]:
    for name, places in PARAMETERS.items():
        yield from ((name, field) for config, field in places if config is kind)
