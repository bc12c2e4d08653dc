"""The most similar of many: what `recsys.signals.text` asks of a block of articles."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import address, done, library, pointer, size

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Floats = NDArray[np.float32]
Sparse = tuple[Ints, Places, Floats]  # start, column and value of the rows of a sparse matrix

library.recsys_neighbours.argtypes = [
    pointer,
    size,
    size,
    *[pointer] * 7,
    size,
    ctypes.c_float,
    *[pointer] * 3,
]

library.recsys_heaviest.argtypes = [pointer, pointer, size, size, pointer]


def heaviest(start: Ints, value: Floats, n: int) -> NDArray[np.bool_]:
    """Return which values are among the `n` largest of their row, of equal ones the first.

    Parameters
    ----------
    start, value
        Of the rows of a sparse matrix.

    Examples
    --------
    >>> values = np.array([0.5, 0.1, 0.5, 0.7], dtype=np.float32)
    >>> heaviest(np.array([0, 4]), values, 2).tolist()
    [True, False, False, True]
    """
    keep = np.zeros(len(value), dtype=bool)
    done(
        library.recsys_heaviest(
            address(start, np.int64, len(start)),
            address(value, np.float32, len(value)),
            len(start) - 1,
            n,
            address(keep, np.bool_, len(value)),
        )
    )
    return keep


def neighbours(
    scores: Floats, rows: Sparse, live: Sparse, own: Ints, *, n: int, least: float
) -> tuple[Ints, Places, Floats]:
    """Return the live articles most like each of a block, and how much.

    Parameters
    ----------
    scores : array of float32, shape (n_rows, n_live)
        Products over the terms that many live articles have; used up.
    rows
        The terms of each article of the block, n_rows x n_terms.
    live
        The live articles that have each of the other terms, n_terms x n_live.
    own : array of int64, shape (n_rows,)
        Live place of each article, -1 for none: nothing is like itself.
    n, least
        How many of each at most, and the least likeness.

    Returns
    -------
    sizes, places, values
        How many of each row; and they, places ascending, end to end.
    """
    n_rows, n_live = scores.shape
    n = min(n, n_live)
    sizes = np.empty(n_rows, dtype=np.int64)
    places, values = np.empty((n_rows, n), np.int32), np.empty((n_rows, n), np.float32)
    start, term, value = rows
    live_start, live_index_of, live_value = live
    done(
        library.recsys_neighbours(
            address(scores, np.float32, n_rows, n_live),
            n_rows,
            n_live,
            address(start, np.int64, n_rows + 1),
            address(term, np.int32, len(term)),
            address(value, np.float32, len(term)),
            address(live_start, np.int64, len(live_start)),
            address(live_index_of, np.int32, len(live_index_of)),
            address(live_value, np.float32, len(live_index_of)),
            address(own, np.int64, n_rows),
            n,
            least,
            address(places, np.int32, n_rows, n),
            address(values, np.float32, n_rows, n),
            address(sizes, np.int64, n_rows),
        )
    )
    there = np.arange(n) < sizes[:, np.newaxis]
    return sizes, places[there], values[there]
