"""Rows of unit length, and some of the columns of a sparse matrix."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows scaled to length 1; rows of zeros stay.

    Examples
    --------
    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (rows / np.where(length > 0, length, 1.0)).astype(np.float32)
    return scaled


def drop_other_terms(vectors: csr_matrix, is_kept: NDArray[np.bool_]) -> csr_matrix:
    """Drop all terms that are not marked; the columns keep their numbers.

    Parameters
    ----------
    vectors : csr_matrix, shape (n_articles, n_features)
    is_kept : array of bool, shape (n_features,)
        Which terms to keep.

    Returns
    -------
    csr_matrix, shape (n_articles, n_features)
    """
    keep = is_kept[vectors.indices]
    if keep.all():
        return vectors
    start = np.concatenate(([0], np.cumsum(keep, dtype=np.int32)))[vectors.indptr]
    return csr_matrix((vectors.data[keep], vectors.indices[keep], start), vectors.shape)


def select_columns(vectors: csr_matrix, is_kept: NDArray[np.bool_]) -> csr_matrix:
    """Select the marked columns, in their order.

    Parameters
    ----------
    vectors : csr_matrix, shape (n_articles, n_features)
    is_kept : array of bool, shape (n_features,)
        Which columns to select.

    Returns
    -------
    csr_matrix, shape (n_articles, is_kept.sum())
    """
    kept, new_column = drop_other_terms(vectors, is_kept), np.cumsum(is_kept, dtype=np.int32) - 1
    shape = (vectors.shape[0], int(is_kept.sum()))
    return csr_matrix((kept.data, new_column[kept.indices], kept.indptr), shape)
