"""Types of the arrays of an evaluation."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]
