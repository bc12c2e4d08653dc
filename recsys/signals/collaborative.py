"""The collaborative model: implicit's ALS, and item-item cosine of readers.

implicit 0.7.3's oddities stay here: a row or column without clicks gets junk
factors, so both are zeroed; the linear system takes a click's value as its whole
confidence (1 is "as an unseen article"), so values are at least 1; it wants BLAS at
one thread from its construction on.
"""

from dataclasses import dataclass

import numpy as np
from implicit.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sparse_dot_topn import sp_matmul_topn
from threadpoolctl import threadpool_limits

from recsys.config import N_THREADS, CollaborativeConfig


@dataclass(frozen=True, slots=True)
class Factors:
    """A factorisation; a preference is about `user @ article`, 1 for a sure click.

    Attributes
    ----------
    user : array of float32, shape (n_users, factors)
        Zeros for a reader without clicks.
    article : array of float32, shape (n_articles, factors)
        Zeros for an article with fewer than `min_users` readers.
    gram : array of float32, shape (factors, factors)
        article.T @ article + regularization x identity: what a later click of a
        reader is folded into (see `recsys.blend.linear.fold_in`).
    spread : array of float32, shape (factors, factors)
        The same of the readers: what the readers of a new article are folded into.
    """

    user: NDArray[np.float32]
    article: NDArray[np.float32]
    gram: NDArray[np.float32]
    spread: NDArray[np.float32]


def click_weights(
    age_hours: NDArray[np.float64], dwell_seconds: NDArray[np.float32], config: CollaborativeConfig
) -> NDArray[np.float32]:
    """Return the weight of clicks in 0..1: halved every half-life, times reading time.

    Parameters
    ----------
    age_hours : array, shape (n_clicks,)
        Not negative.
    dwell_seconds : array, shape (n_clicks,)
        NaN where unknown; then the median of the known ones stands in, or full
        weight where none is known.
    """
    if (age_hours < 0).any():
        raise ValueError(f"click from the future: age {age_hours.min():.2f} h")
    share = np.clip(dwell_seconds / config.full_dwell_seconds, 0.2, 1.0)
    known = ~np.isnan(share)
    share = np.where(known, share, np.median(share[known]) if known.any() else 1.0)
    return (np.exp2(-age_hours / config.half_life_hours) * share).astype(np.float32)


def user_items(
    user_index: NDArray[np.int64],
    article_index: NDArray[np.int64],
    weights: NDArray[np.float32],
    *,
    shape: tuple[int, int],
) -> csr_matrix:
    """Return clicks, one of a reader and article at most, as CSR (n_users, n_articles)."""
    items = csr_matrix((weights, (user_index, article_index)), shape=shape)
    items.sort_indices()
    return items


def fit_als(items: csr_matrix, config: CollaborativeConfig) -> Factors:
    """Return factors of weighted clicks.

    Parameters
    ----------
    items : csr_matrix, shape (n_users, n_articles)
        Weights in 0..1, as from `user_items`.

    Notes
    -----
    Minimises sum c (p - x.y)^2 + regularization (|x|^2 + |y|^2) with p = 1 for a
    click and confidence c = 1 + alpha x weight.

    References
    ----------
    Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
    ICDM 2008. Takács, Pilászy, Tikk, "Applications of the Conjugate Gradient Method
    for Implicit Feedback Collaborative Filtering", RecSys 2011 (implicit's solver).
    """
    n_users = np.bincount(items.indices, minlength=items.shape[1])
    warm = n_users >= config.min_users
    trained = items[:, warm]
    user = np.zeros((items.shape[0], config.factors), dtype=np.float32)
    article = np.zeros((items.shape[1], config.factors), dtype=np.float32)
    ridge = config.regularization * np.eye(config.factors, dtype=np.float32)
    with threadpool_limits(1, "blas"):  # sums by several are other sums, in the last digit
        if trained.nnz:
            trained.data = 1.0 + config.alpha * trained.data
            model = AlternatingLeastSquares(
                factors=config.factors,
                regularization=config.regularization,
                iterations=config.iterations,
                random_state=config.random_state,
            )
            model.fit(trained, show_progress=False)
            has_clicks = np.diff(trained.indptr) > 0
            user[has_clicks] = model.user_factors[has_clicks]
            article[warm] = model.item_factors
        return Factors(user, article, article.T @ article + ridge, user.T @ user + ridge)


def cold_factors(
    article: NDArray[np.float32], warm: NDArray[np.bool_], similar: csr_matrix
) -> NDArray[np.float32]:
    """Return the factors of live articles, cold ones estimated from text neighbours.

    Parameters
    ----------
    article : array, shape (n_live, factors)
        Factors; rows of cold articles are not read.
    warm : array of bool, shape (n_live,)
        Which rows are learned.
    similar : csr_matrix, shape (n_live, n_live)
        Cosine of live articles.

    Notes
    -----
    y[j] = sum over warm neighbours i of cos(i, j) y[i] / (1 + sum of those cosines):
    the 1 pulls an article with few and distant neighbours towards zero.
    """
    weights = similar.multiply(warm[np.newaxis, :]).tocsr()
    total = np.asarray(weights.sum(axis=1)).ravel()
    estimate = (weights @ article) / (1.0 + total)[:, np.newaxis]
    return np.where(warm[:, np.newaxis], article, estimate).astype(np.float32)


def item_item(
    items: csr_matrix,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    config: CollaborativeConfig,
) -> csr_matrix:
    """Return how much articles are read by the same readers.

    Parameters
    ----------
    items : csr_matrix, shape (n_users, n_articles)
        Weights of clicks.
    rows, columns : array of int
        The articles asked about, and those they are held against.

    Returns
    -------
    csr_matrix of float32, shape (len(rows), len(columns))
        Cosine of the articles' columns, shrunk by common / (common + 2) for
        articles with few common readers; at most `n_item_item` a row, none with itself.
    """
    shape = (len(rows), len(columns))
    if not items.nnz or not all(shape):
        return csr_matrix(shape, dtype=np.float32)
    n_users = np.bincount(items.indices, minlength=items.shape[1])
    by_reader = csr_matrix(
        (np.ones(items.nnz, dtype=np.float32), items.indices, items.indptr), shape=items.shape
    ) @ diags(1.0 / np.sqrt(np.maximum(n_users, 1))).astype(np.float32)
    found = sp_matmul_topn(
        by_reader.T.tocsr()[rows],
        by_reader.tocsr()[:, columns],
        top_n=config.n_item_item + 1,
        n_threads=N_THREADS,
    ).tocoo()
    one, other = rows[found.row], columns[found.col]
    keep = (one != other) & (found.data > 0)
    common = found.data[keep] * np.sqrt(n_users[one[keep]] * n_users[other[keep]])
    shrunk = found.data[keep] * common / (common + 2.0)
    result = csr_matrix(
        (shrunk.astype(np.float32), (found.row[keep], found.col[keep])), shape=shape
    )
    result.sort_indices()
    return result
