"""Variables of Keras as arrays by name, and back: nothing is put back into variables that it was not taken from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tilepipe.components.shared.errors import ArtifactError

if TYPE_CHECKING:
    import keras

Groups = Mapping[str, "Sequence[keras.Variable]"]
"""Variables in their order, such as `{"model": model.variables, "optimizer": optimizer.variables}`."""


def values_of(groups: Groups) -> dict[str, npt.NDArray[Any]]:
    """The variables' values now, which later steps do not change.

    Args:
        groups: the variables.

    Returns:
        A copy of each value, of the variable's own dtype and shape, by group and place: paths repeat, and hold numbers
        that Keras counts on as a process makes layers and metrics.
    """
    return {name: variable.numpy() for name, variable in _named(groups).items()}


def put_back(groups: Groups, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give variables the values that they had; none is changed unless all fit.

    Args:
        groups: variables as they were when the values were taken, in the same order.
        arrays: what `values_of` gave of them; other names are let be.

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
                f"A checkpoint must fit the model that it is of. Received: {has} for {name} ({variable.path}), which "
                f"is {wants}. Train with the versions that wrote it, or from the start."
            )
    for name, variable in named.items():
        variable.assign(arrays[name])


def _named(groups: Groups) -> "dict[str, keras.Variable]":
    return {
        f"{group}/{place:05}": variable
        for group, variables in groups.items()
        for place, variable in enumerate(variables)
    }
