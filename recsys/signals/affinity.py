"""Compute which sections a user prefers, compared with all users.

A section is a value of the field `category`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

SMOOTHING = 5.0  # clicks, distributed like those of all users, added to those of each user
BOUND = 3.0  # largest absolute value: 20 times the average (e**3) is as much as counts


def category_affinity(
    user_items: csr_matrix, category_index: NDArray[np.int64], *, n_categories: int
) -> NDArray[np.float32]:
    """Compute the smoothed log-lift of each user's share of clicks in each section.

    Parameters
    ----------
    user_items : csr_matrix, shape (n_users, n_articles)
        Weights of clicks.
    category_index : array of int, shape (n_articles,)
        Section of each article, in [0, n_categories).
    n_categories : int
        Number of sections.

    Returns
    -------
    array of float32, shape (n_users, n_categories)
        In [-BOUND, BOUND]; 0 for a user without clicks and for a section without clicks.

    Notes
    -----
    affinity[u, c] = log((n_uc + s p_c) / (n_u + s) / p_c), with n_uc the weight of user u's clicks
    in section c, n_u that of all clicks of u, p_c the share of section c in all clicks, and
    s = SMOOTHING.
    """
    counts = _clicks_by_category(user_items, category_index, n_categories).astype(np.float64)
    total = counts.sum()
    if not total:
        return np.zeros(counts.shape, dtype=np.float32)
    share = counts.sum(axis=0) / total
    has_clicks = share > 0
    lift = np.ones_like(counts)
    lift[:, has_clicks] = (counts[:, has_clicks] + SMOOTHING * share[has_clicks]) / (
        (counts.sum(axis=1, keepdims=True) + SMOOTHING) * share[has_clicks]
    )
    return np.clip(np.log(lift), -BOUND, BOUND).astype(np.float32)


def home_category(user_items: csr_matrix, category_index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the section in which each user clicks most.

    Parameters
    ----------
    user_items : csr_matrix, shape (n_users, n_articles)
        Weights of clicks.
    category_index : array of int, shape (n_articles,)
        Section of each article.

    Returns
    -------
    array of int64, shape (n_users,)
        The first of equal sections; 0 for a user without clicks.
    """
    n_categories = int(category_index.max()) + 1 if len(category_index) else 1
    counts = _clicks_by_category(user_items, category_index, n_categories)
    home: NDArray[np.int64] = counts.argmax(axis=1)
    return home


def _clicks_by_category(
    user_items: csr_matrix, category_index: NDArray[np.int64], n_categories: int
) -> NDArray[np.float32]:
    """Return the weight of each user's clicks in each section, shape (n_users, n_categories)."""
    n_articles = user_items.shape[1]
    article_categories = csr_matrix(
        (np.ones(n_articles, np.float32), (np.arange(n_articles), category_index)),
        shape=(n_articles, n_categories),
    )
    return np.asarray((user_items @ article_categories).todense())
