"""Floors: the smallest values that figures of a challenger may have."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tilepipe.components.shared.errors import ParameterError, suggestion
from tilepipe.components.shared.figures import OVERALL, PER_CLASS, ClassificationFigures

EVERY_CLASS = "*"
_NAME = re.compile(r"(\w+)(?:\[(.+)\])?", re.DOTALL)


class Floor(NamedTuple):
    """The smallest accepted value of one figure."""

    figure: str
    """A figure of `OVERALL`, or one of `PER_CLASS`."""
    label: str
    """Class of the figure, `*` for every class; empty for a figure of all tiles."""
    minimum: float

    @property
    def name(self) -> str:
        """Name as in the parameter: `accuracy` or `recall[Forest]`."""
        return f"{self.figure}[{self.label}]" if self.label else self.figure


class FloorResult(NamedTuple):
    """A floor and the value that it is compared with."""

    name: str
    """`accuracy` or `recall[Forest]`."""
    minimum: float
    value: float
    """NaN if the figure is undefined, since the class has no test tiles."""

    @property
    def is_measured(self) -> bool:
        """Whether the figure is defined."""
        return not math.isnan(self.value)

    @property
    def is_met(self) -> bool:
        """Whether the value is at least the minimum; False for an undefined one."""
        return self.value >= self.minimum


def parse_floors(floors: Mapping[str, float]) -> tuple[Floor, ...]:
    """Parse floors such as `{"accuracy": 0.9, "recall[Forest]": 0.8, "f1[*]": 0.5}`, where `*` is every class.

    Raises:
        ParameterError: a figure is unknown, or a value is not a fraction.
    """
    return tuple(_parse(name, value) for name, value in floors.items())


def _parse(name: str, minimum: float) -> Floor:
    found = _NAME.fullmatch(name)
    figure, label = (found[1], found[2] or "") if found else (name, "")
    if figure not in (PER_CLASS if label else OVERALL):
        hint = suggestion(name, OVERALL, "Correct the name.")
        raise ParameterError(
            f"A floor must be of one of {', '.join(OVERALL)}, or of {', '.join(PER_CLASS)} with a class, such as "
            f"recall[Forest] or recall[*]. Received: floors={{{name!r}: {minimum}}}. {hint}"
        )
    if isinstance(minimum, bool) or not isinstance(minimum, int | float) or not 0 <= minimum <= 1:
        is_percent = isinstance(minimum, int | float) and 1 < minimum <= 100
        share = f"Give {minimum / 100:g} for {minimum:g} %." if is_percent else "Give 0.9 for 90 %."
        raise ParameterError(
            f"A floor must be a number from 0 to 1. Received: floors={{{name!r}: {minimum!r}}}. {share}"
        )
    return Floor(figure, label, float(minimum))


def check_floors(
    floors: Iterable[Floor], figures: ClassificationFigures, class_names: Sequence[str]
) -> list[FloorResult]:
    """Compare the figures of a model with floors.

    Returns:
        One result per floor, and one per class that has test tiles for a floor of every class.

    Raises:
        ParameterError: a floor is of a class that the model does not have.
    """
    results: list[FloorResult] = []
    for floor in floors:
        if not floor.label:
            value = figures.overall.get(floor.figure, math.nan)
            results.append(FloorResult(floor.name, floor.minimum, value))
            continue
        if floor.label not in (EVERY_CLASS, *class_names):
            raise ParameterError(
                f"A floor must be of a class of the model: {', '.join(class_names)}. "
                f"Received: floors={{{floor.name!r}: {floor.minimum}}}. "
                f"{suggestion(floor.label, class_names, 'Correct the class.')}"
            )
        values = dict(zip(class_names, map(float, getattr(figures, floor.figure)), strict=True))
        wanted = [floor.label] if floor.label != EVERY_CLASS else [n for n, v in values.items() if not math.isnan(v)]
        results += [FloorResult(f"{floor.figure}[{name}]", floor.minimum, values[name]) for name in wanted]
    return results
