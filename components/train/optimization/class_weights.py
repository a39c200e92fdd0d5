"""Class weights, for data sets in which some classes are rare."""

import math
from collections.abc import Mapping
from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig

ClassWeighting = Literal["none", "balanced", "sensitivity"]
_SENSITIVITY = 0.5


class ClassWeightOptions(StepConfig):
    """Weights of the classes in the training loss."""

    class_weights: ClassWeighting | dict[str, float] = Field(
        default="none",
        description="none; balanced: all classes weigh the same in total; sensitivity: between the two; "
        "or a mapping from class name to weight",
    )
    class_weight_sensitivity: float = Field(
        default=_SENSITIVITY,
        gt=0,
        le=4,
        description="Exponent s in (tiles of the largest class / tiles of the class) ** s; 1 equals balanced",
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _one_of_both(cls, given: object) -> object:
        # One message here: pydantic reports one error per member of a union.
        if given in get_args(ClassWeighting):
            return given
        if isinstance(given, Mapping) and given and all(isinstance(k, str) and _is_weight(w) for k, w in given.items()):
            return dict(given)
        raise ValueError(
            "`class_weights` must be none, balanced, sensitivity, or a number above 0 for each class name. "
            f"Received: class_weights={given!r}. For example, use class_weights='balanced'."
        )

    @model_validator(mode="after")
    def _class_weights_agree(self) -> Self:
        if self.class_weight_sensitivity != _SENSITIVITY and self.class_weights != "sensitivity":
            raise ValueError(
                "`class_weight_sensitivity` must be left out unless `class_weights` is sensitivity. "
                f"Received: class_weight_sensitivity={self.class_weight_sensitivity:g} with "
                f"class_weights={self.class_weights!r}. Use class_weights='sensitivity'."
            )
        return self


def class_weights(options: ClassWeightOptions, manifest: Manifest) -> tuple[float, ...] | None:
    """Compute the weight of each class.

    Computed weights have a mean of 1 over the training tiles, so that the learning rate keeps its scale. Given weights
    are used unchanged.

    Returns:
        One weight per class of the manifest, in its order; None if all tiles weigh the same. The weight of a tile is
        `labels @ weights`, also for mixed labels.

    Raises:
        ParameterError: the weights name unknown classes or omit some, or a class has no training tiles to compute its
            weight from.
    """
    if options.class_weights == "none":
        return None
    if isinstance(options.class_weights, dict):
        return _given(options.class_weights, manifest.class_names)
    counts = [manifest.splits["train"].tiles_per_class[name] for name in manifest.class_names]
    empty = [name for name, count in zip(manifest.class_names, counts, strict=True) if not count]
    if empty:
        raise ParameterError(
            "Class weights can be computed only if every class has training tiles. "
            f"Received: class_weights={options.class_weights!r} and no training tiles of {', '.join(empty)}. "
            "Add tiles for these classes, remove them from the source, or give a weight for each class by name."
        )
    # Balanced weights, tiles / (classes * tiles of the class), equal these with an exponent of 1.
    exponent = 1.0 if options.class_weights == "balanced" else options.class_weight_sensitivity
    raw = [(max(counts) / count) ** exponent for count in counts]
    mean = sum(weight * count for weight, count in zip(raw, counts, strict=True)) / sum(counts)
    return tuple(weight / mean for weight in raw)


def _given(weights: Mapping[str, float], class_names: tuple[str, ...]) -> tuple[float, ...]:
    unknown = [name for name in weights if name not in class_names]
    missing = [name for name in class_names if name not in weights]
    if unknown or missing:
        problems = [
            f"{problem} {', '.join(names)}"
            for problem, names in (("unknown:", unknown), ("missing:", missing))
            if names
        ]
        raise ParameterError(
            f"`class_weights` must give one weight for each of the classes {', '.join(class_names)}. "
            f"Received: class_weights={dict(weights)}; {'; '.join(problems)}. Spell the names as in the manifest."
        )
    return tuple(weights[name] for name in class_names)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
