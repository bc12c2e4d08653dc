"""Which sections a reader prefers, against what all readers do."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

SMOOTHING = 5.0  # clicks of the average reader added to each reader
BOUND = 3.0  # e**3 = 20 times the average is as much as a preference says


def category_affinity(
    items: csr_matrix, category_index: NDArray[np.int64], *, n_categories: int
) -> NDArray[np.float32]:
    """Return the smoothed log-lift of each reader's share of clicks in each section.

    Parameters
    ----------
    items : csr_matrix, shape (n_users, n_articles)
        Weights of clicks.
    category_index : array of int, shape (n_articles,)
        Section of each article.
    n_categories : int
        Number of sections.

    Returns
    -------
    array of float32, shape (n_users, n_categories)
        log((n_uc + s p_c) / (n_u + s) / p_c), in -BOUND..BOUND; 0 for a reader
        without clicks and for a section nobody reads.
    """
    counts = _by_category(items, category_index, n_categories).astype(np.float64)
    total = counts.sum()
    if not total:
        return np.zeros(counts.shape, dtype=np.float32)
    share = counts.sum(axis=0) / total
    known = share > 0
    lift = np.ones_like(counts)
    lift[:, known] = (counts[:, known] + SMOOTHING * share[known]) / (
        (counts.sum(axis=1, keepdims=True) + SMOOTHING) * share[known]
    )
    return np.clip(np.log(lift), -BOUND, BOUND).astype(np.float32)


def home_category(items: csr_matrix, category_index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the section each reader reads most; the first of equals; 0 for none."""
    n_categories = int(category_index.max()) + 1 if len(category_index) else 1
    home: NDArray[np.int64] = _by_category(items, category_index, n_categories).argmax(axis=1)
    return home


def _by_category(
    items: csr_matrix, category_index: NDArray[np.int64], n_categories: int
) -> NDArray[np.float32]:
    """Return each reader's clicks in each section, shape (n_users, n_categories)."""
    n_articles = items.shape[1]
    member = csr_matrix(
        (np.ones(n_articles, np.float32), (np.arange(n_articles), category_index)),
        shape=(n_articles, n_categories),
    )
    return np.asarray((items @ member).todense())
