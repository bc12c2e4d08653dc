"""Compute discounted cumulative gain (DCG), with the discount log2(rank + 1).

References
----------
Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
Transactions on Information Systems 20(4), 2002.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def dcg(gains: NDArray[Any]) -> Floats:
    """Return the sum over ranks of gain / log2(rank + 1).

    Parameters
    ----------
    gains : array, shape (..., n_ranks)
        Gain at each rank; the first has rank 1.

    Returns
    -------
    array of float64, shape (...)
    """
    total: Floats = (gains / np.log2(np.arange(gains.shape[-1]) + 2.0)).sum(axis=-1)
    return total


def ideal_dcg(n_relevant: Ints, k: int) -> Floats:
    """Return the DCG at k of the best order, in which all relevant articles come first.

    Parameters
    ----------
    n_relevant : array of int64, shape (n,)
        Number of relevant articles, each with gain 1.
    k : int
        Cut-off.

    Raises
    ------
    ValueError
        If `k` is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    gains = 1.0 / np.log2(np.arange(1, k + 1) + 1.0)
    cumulated = np.concatenate(([0.0], np.cumsum(gains)))
    ideal: Floats = cumulated[np.minimum(n_relevant, k)]
    return ideal
