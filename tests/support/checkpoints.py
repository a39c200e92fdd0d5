"""States of a training that identify themselves, for the tests of checkpoints."""

import numpy as np

from tilepipe.components.train.checkpoints.checkpoints import FOLDER, State

KEY = "0123456789abcdef"


def make_state(step, *, best=None, size=100):
    """Create a state in which all values equal its step, and all best weights equal theirs."""
    weights = {} if best is None else {"kernel": np.full((7, 3), best, "float32")}
    return State({"kernel": np.full(size, step, "float32"), "seed": np.uint32([step, 1])}, weights, {"step": step})


def step_of(state):
    """Return the step of a state after checking that it is consistent; None without a state."""
    if state is None:
        return None
    step = state.facts["step"]
    assert (state.arrays["kernel"] == step).all()
    assert list(state.arrays["seed"]) == [step, 1]
    return step


def best_of(state):
    (best,) = set(state.best["kernel"].ravel())
    return best


def save(checkpoints, *states):
    for state in states:
        checkpoints.save(state)
        assert checkpoints.wait(60)


def files(tmp_path):
    """Open the checkpoints in a test's folder."""
    return sorted((tmp_path / "checkpoints" / FOLDER / KEY).iterdir())
