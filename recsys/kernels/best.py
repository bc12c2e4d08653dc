"""The best of scores."""

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import done, library, pointer


def tops(scores: NDArray[np.float32], n: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the indices of each row's best scores, and the scores; ties by index.

    Parameters
    ----------
    scores : array of float32, shape (n_rows, n_live)
        A score that is not finite is never chosen; -inf marks what must not be.
    n
        How many of each row.

    Returns
    -------
    index, value : array of int64 and of float32, shape (n_rows, min(n, n_live))
        Best first; -1 and -inf where a row has no more.

    Examples
    --------
    >>> scores = np.array([[1.0, 3.0, -np.inf, 3.0]], dtype=np.float32)
    >>> tops(scores, 4)[0].tolist()
    [[1, 3, 0, -1]]
    """
    n_rows, n_live = scores.shape
    n = max(min(n, n_live), 0)
    index, value = np.empty((n_rows, n), np.int64), np.empty((n_rows, n), np.float32)
    scores = np.ascontiguousarray(scores)
    done(
        library.recsys_tops(
            pointer("scores", scores, np.float32, n_rows, n_live),
            n_rows,
            n_live,
            n,
            pointer("index", index, np.int64, n_rows, n),
            pointer("value", value, np.float32, n_rows, n),
        )
    )
    return index, value
