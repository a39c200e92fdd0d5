"""One-to-one assignment of rows to columns with the lowest cost (Hungarian method)."""

import numpy as np
import numpy.typing as npt


def best_assignment(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Assign each row to a different column with the lowest sum of costs.

    Shortest augmenting paths with potentials, in cubic time: Jonker and Volgenant 1987, doi:10.1007/BF02278710. SciPy
    would be too large a dependency for matrices of 13 by 13.

    Args:
        costs: float64, `(n, n)`.

    Returns:
        The column of each row, `(n,)`.
    """
    size = len(costs)
    row_potential, column_potential = np.zeros(size), np.zeros(size + 1)
    row_of = np.full(size + 1, -1)  # the last column is the start of each search
    for row in range(size):
        row_of[size] = row
        column, distance = size, np.full(size, np.inf)
        came_from, visited = np.full(size, size), np.zeros(size + 1, dtype=bool)
        while row_of[column] >= 0:
            visited[column] = True
            current = row_of[column]
            reduced = costs[current] - row_potential[current] - column_potential[:size]
            closer = ~visited[:size] & (reduced < distance)
            distance[closer], came_from[closer] = reduced[closer], column
            following = int(np.argmin(np.where(visited[:size], np.inf, distance)))
            step = distance[following]
            row_potential[row_of[visited]] += step
            column_potential[visited] -= step
            distance[~visited[:size]] -= step
            column = following
        while column != size:
            row_of[column] = row_of[came_from[column]]
            column = int(came_from[column])
    columns = np.empty(size, dtype=np.intp)
    columns[row_of[:size]] = np.arange(size)
    return columns
