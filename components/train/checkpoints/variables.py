"""Conversion between Keras variables and named arrays."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tilepipe.components.shared.errors import ArtifactError

if TYPE_CHECKING:
    import keras

Groups = Mapping[str, "Sequence[keras.Variable]"]
"""Ordered variables by group, such as `{"model": model.variables, "optimizer": optimizer.variables}`."""


def values_of(groups: Groups) -> dict[str, npt.NDArray[Any]]:
    """Copy the current values of variables.

    Returns:
        A copy of each value, of the variable's dtype and shape, by group and index. Variable paths are not used: they
        are not unique, and contain counters of the process.
    """
    return {name: variable.numpy() for name, variable in _named(groups).items()}


def put_back(groups: Groups, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Assign saved values to variables; none is changed unless all fit.

    Args:
        groups: the variables, in the order in which the values were saved.
        arrays: result of `values_of`; other names are ignored.

    Raises:
        ArtifactError: a variable has no value, or one of another shape or dtype.
    """
    named = _named(groups)
    for name, variable in named.items():
        array = arrays.get(name)
        has = "no value" if array is None else f"{array.dtype} {array.shape}"
        wants = f"{variable.dtype} {tuple(variable.shape)}"
        if has != wants:
            raise ArtifactError(
                f"A checkpoint must match its model. Received: {has} for {name} ({variable.path}), which is {wants}. "
                "Train with the versions that wrote it, or start over."
            )
    for name, variable in named.items():
        variable.assign(arrays[name])


def _named(groups: Groups) -> "dict[str, keras.Variable]":
    return {
        f"{group}/{index:05}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }
