"""How much the tiles of each class count, for data sets in which some classes are rare."""

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.runtime.config import StepConfig

ClassWeighting = Literal["none", "balanced", "sensitivity"]
_WEIGHTINGS: tuple[ClassWeighting, ...] = ("none", "balanced", "sensitivity")
_SENSITIVITY = 0.5


class ClassWeightOptions(StepConfig):
    """How much the tiles of each class count."""

    class_weights: ClassWeighting | dict[str, float] = Field(
        default="none",
        description="none; balanced: each class counts as much as any other; sensitivity: between the two; "
        "or the weight of a tile by its class's name",
    )
    class_weight_sensitivity: float = Field(
        default=_SENSITIVITY,
        gt=0,
        le=4,
        description="Exponent s of (tiles of the largest class / tiles of the class) ** s; 1 is balanced",
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _one_of_both(cls, given: object) -> object:
        # Said in one message here: of a union, pydantic says for each member why it is not that.
        if given in _WEIGHTINGS:
            return given
        if isinstance(given, Mapping) and given and all(isinstance(k, str) and _is_weight(w) for k, w in given.items()):
            return dict(given)
        raise ValueError(
            "`class_weights` must be none, balanced, sensitivity, or a number above 0 for each class name. "
            f"Received: class_weights={given!r}. Use class_weights='balanced', say."
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
    """Find the weight of each class.

    Computed weights have a mean of 1 over the training tiles, so that the learning rate means what it means without
    weights. Given ones are taken as they are.

    Args:
        options: which weights.
        manifest: how many training tiles each class has.

    Returns:
        A weight for each of the manifest's classes, in its order; None where all tiles count the same. The weight of
        a tile is `labels @ weights`, for mixed labels too.

    Raises:
        ParameterError: weights for classes that there are not, none for classes that there are, or weights to be
            computed from no tiles at all.
    """
    if options.class_weights == "none":
        return None
    if isinstance(options.class_weights, dict):
        return _given(options.class_weights, manifest.class_names)
    counts = [manifest.splits["train"].tiles_per_class[name] for name in manifest.class_names]
    empty = [name for name, count in zip(manifest.class_names, counts, strict=True) if not count]
    if empty:
        raise ParameterError(
            "Weights can be computed only where each class has training tiles. "
            f"Received: class_weights={options.class_weights!r} and no training tiles of {', '.join(empty)}. "
            "Give such classes tiles, leave them out of the source, or give the weight of each class by its name."
        )
    # Balanced weights, tiles / (classes * tiles of the class), are the same as this with an exponent of 1.
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
            f"Received: class_weights={dict(weights)}; {'; '.join(problems)}. Write the names as the manifest does."
        )
    return tuple(weights[name] for name in class_names)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
