"""The most similar articles of a block, and the heaviest terms of each article."""

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import (
    done,
    library,
    pointer,
    require_indices,
    require_starts,
)

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Floats = NDArray[np.float32]
Sparse = tuple[Ints, Indices, Floats]  # start, column and value of the rows of a sparse matrix


def heaviest(start: Ints, value: Floats, n: int) -> NDArray[np.bool_]:
    """Return a mask of the `n` largest values of each row; of equal values the first.

    Parameters
    ----------
    start : array of int64, shape (n_rows + 1,)
    value : array of float32, shape (nnz,)
        Rows of a sparse matrix.

    Examples
    --------
    >>> values = np.array([0.5, 0.1, 0.5, 0.7], dtype=np.float32)
    >>> heaviest(np.array([0, 4]), values, 2).tolist()
    [True, False, False, True]
    """
    require_starts("start", start, len(value))
    keep = np.zeros(len(value), dtype=bool)
    done(
        library.recsys_heaviest(
            pointer("start", start, np.int64, len(start)),
            pointer("value", value, np.float32, len(value)),
            len(start) - 1,
            max(n, 0),
            pointer("keep", keep, np.bool_, len(value)),
        )
    )
    return keep


class LiveTerms:
    """The live articles that have each term; checked once, for all blocks of articles.

    Parameters
    ----------
    start : array of int64, shape (n_terms + 1,)
    index : array of int32
    value : array of float32
        The terms of the live articles as a sparse matrix, n_terms x n_live.
    n_live
        Number of live articles.

    Raises
    ------
    ValueError
        If an index is out of range.
    """

    def __init__(self, start: Ints, index: Indices, value: Floats, *, n_live: int) -> None:
        require_starts("start", start, len(index))
        require_indices("index", index, n_live)
        self._start, self._index, self._value, self._n_live = start, index, value, n_live

    def neighbours(
        self, scores: Floats, rows: Sparse, own: Ints, *, n: int, least: float
    ) -> tuple[Ints, Indices, Floats]:
        """Return the live articles most similar to each article of a block, and how similar.

        Parameters
        ----------
        scores : array of float32, shape (n_rows, n_live)
            Products over the terms that many live articles have; overwritten.
        rows
            The other terms of each article of the block, n_rows x n_terms.
        own : array of int64, shape (n_rows,)
            Live index of each article, -1 if it is not live: no article is similar to itself.
        n, least
            How many of each article at most, and the least similarity.

        Returns
        -------
        sizes : array of int64, shape (n_rows,)
            How many were found for each article.
        index : array of int32, value : array of float32
            Their live indices, ascending within an article, and similarities, end to end.
        """
        n_rows, n_live = len(scores), self._n_live
        n = min(n, n_live)
        sizes = np.empty(n_rows, dtype=np.int64)
        index, values = np.empty((n_rows, n), np.int32), np.empty((n_rows, n), np.float32)
        start, term, value = rows
        require_starts("rows", start, len(term))
        require_indices("term", term, len(self._start) - 1)
        require_indices("own", own, n_live, least=-1)
        done(
            library.recsys_neighbours(
                pointer("scores", scores, np.float32, n_rows, n_live),
                n_rows,
                n_live,
                pointer("start", start, np.int64, n_rows + 1),
                pointer("term", term, np.int32, len(term)),
                pointer("value", value, np.float32, len(term)),
                pointer("live_start", self._start, np.int64, len(self._start)),
                pointer("live_index", self._index, np.int32, len(self._index)),
                pointer("live_value", self._value, np.float32, len(self._index)),
                pointer("own", own, np.int64, n_rows),
                n,
                least,
                pointer("index", index, np.int32, n_rows, n),
                pointer("values", values, np.float32, n_rows, n),
                pointer("sizes", sizes, np.int64, n_rows),
            )
        )
        is_found = np.arange(n) < sizes[:, np.newaxis]
        return sizes, index[is_found], values[is_found]
