"""Factorise clicks by implicit's ALS, and compute which articles the same users click.

Oddities of implicit 0.7.3 that this module handles: a row or column without clicks gets arbitrary
factors, so both are set to zero. The fit ends with the articles, so the factors of users fit the
article factors of the iteration before, and are solved once more. The linear system takes the
value of a click as its whole confidence, and 1 means "like an article without a click", so values
are at least 1. BLAS must run on one thread from the construction of the model on.
"""

from dataclasses import dataclass

import numpy as np
from implicit.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sparse_dot_topn import sp_matmul_topn

from recsys.blas import blas_on_one_thread
from recsys.config import N_THREADS, CollaborativeConfig

MIN_DWELL_SHARE = 0.2  # weight of the shortest reading time
SHRINKAGE_USERS = 2.0  # common users at which a cosine is halved


@dataclass(frozen=True, slots=True)
class Factors:
    """A factorisation; the preference of a user for an article is about `user @ article`.

    The preference is 1 for a click of full weight.

    Attributes
    ----------
    user : array of float32, shape (n_users, factors)
        Zeros for a user without clicks.
    article : array of float32, shape (n_articles, factors)
        Zeros for an article with fewer than `min_users` users.
    gram : array of float32, shape (factors, factors)
        article.T @ article + regularization x identity. Later clicks of a user are folded in with
        it, see `recsys.blend.linear.fold_in`.
    user_gram : array of float32, shape (factors, factors)
        user.T @ user + regularization x identity, to fold in the users of a new article.
    """

    user: NDArray[np.float32]
    article: NDArray[np.float32]
    gram: NDArray[np.float32]
    user_gram: NDArray[np.float32]


def click_weights(
    age_hours: NDArray[np.float64], dwell_seconds: NDArray[np.float32], config: CollaborativeConfig
) -> NDArray[np.float32]:
    """Compute the weight of clicks, which halves every half-life and grows with reading time.

    Parameters
    ----------
    age_hours : array, shape (n_clicks,)
        Age of each click; not negative.
    dwell_seconds : array, shape (n_clicks,)
        Reading time. An unknown one (NaN) counts as the median of the known ones, or as a full read
        if none is known.
    config
        Half-life, and the reading time that counts as a full read.

    Returns
    -------
    array of float32, shape (n_clicks,)
        In (0, 1].

    Raises
    ------
    ValueError
        If an age is negative.
    """
    if (age_hours < 0).any():
        raise ValueError(f"click from the future: age {age_hours.min():.2f} h")
    share = np.clip(dwell_seconds / config.full_dwell_seconds, MIN_DWELL_SHARE, 1.0)
    is_known = ~np.isnan(share)
    share = np.where(is_known, share, np.median(share[is_known]) if is_known.any() else 1.0)
    return (np.exp2(-age_hours / config.half_life_hours) * share).astype(np.float32)


def build_user_items(
    user_index: NDArray[np.int64],
    article_index: NDArray[np.int64],
    weights: NDArray[np.float32],
    *,
    shape: tuple[int, int],
) -> csr_matrix:
    """Build the matrix of users and articles from weighted clicks.

    Parameters
    ----------
    user_index, article_index : array of int, shape (n_clicks,)
        User and article of each click; at most one click of a user on an article.
    weights : array of float, shape (n_clicks,)
        Weight of each click.
    shape
        (n_users, n_articles).

    Returns
    -------
    csr_matrix of float32, shape (n_users, n_articles)
        With sorted indices.
    """
    matrix = csr_matrix((weights, (user_index, article_index)), shape=shape)
    matrix.sort_indices()
    return matrix


def fit_als(user_items: csr_matrix, config: CollaborativeConfig) -> Factors:
    """Factorise weighted clicks by alternating least squares.

    Parameters
    ----------
    user_items : csr_matrix, shape (n_users, n_articles)
        Weights in (0, 1], from `build_user_items`.
    config
        Parameters of the model, named as in implicit, and `min_users`.

    Notes
    -----
    Minimises sum c (p - x.y)^2 + regularization (|x|^2 + |y|^2) with p = 1 for a
    click and confidence c = 1 + alpha x weight. At the end the factors of each user are the exact
    minimum for the final article factors. So they follow from those and the clicks of this user
    alone, as if later clicks were folded in.

    References
    ----------
    Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
    ICDM 2008. Takács, Pilászy, Tikk, "Applications of the Conjugate Gradient Method
    for Implicit Feedback Collaborative Filtering", RecSys 2011 (implicit's solver).
    """
    n_users_of = np.bincount(user_items.indices, minlength=user_items.shape[1])
    is_warm = n_users_of >= config.min_users
    trained = user_items[:, is_warm]
    user = np.zeros((user_items.shape[0], config.factors), dtype=np.float32)
    article = np.zeros((user_items.shape[1], config.factors), dtype=np.float32)
    ridge = config.regularization * np.eye(config.factors, dtype=np.float32)
    with blas_on_one_thread():
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
            rows = np.flatnonzero(has_clicks)
            user[rows] = model.recalculate_user(rows, trained[rows])
            article[is_warm] = model.item_factors
        return Factors(user, article, article.T @ article + ridge, user.T @ user + ridge)


def cold_factors(
    article: NDArray[np.float32], is_warm: NDArray[np.bool_], similar: csr_matrix
) -> NDArray[np.float32]:
    """Estimate the factors of cold live articles from their text neighbours.

    Parameters
    ----------
    article : array, shape (n_live, factors)
        Factors of the live articles; the rows of cold ones are ignored.
    is_warm : array of bool, shape (n_live,)
        Whether the factors of an article were learned.
    similar : csr_matrix, shape (n_live, n_live)
        Cosine of live articles.

    Returns
    -------
    array of float32, shape (n_live, factors)
        Learned factors of warm articles, and estimates for cold ones.

    Notes
    -----
    y[j] = sum over warm neighbours i of cos(i, j) y[i] / (1 + sum of those cosines):
    the 1 pulls an article with few and distant neighbours towards zero.
    """
    weights = similar.multiply(is_warm[np.newaxis, :]).tocsr()
    total = np.asarray(weights.sum(axis=1)).ravel()
    estimate = (weights @ article) / (1.0 + total)[:, np.newaxis]
    return np.where(is_warm[:, np.newaxis], article, estimate).astype(np.float32)


def pairing_users(user_items: csr_matrix, is_settled: NDArray[np.bool_]) -> csr_matrix:
    """Return the clicks that say which articles are read together: those of settled users.

    A new id costs nothing, and 40 of them that read the same two articles would pair these. Where
    settled users have made fewer than half of all pairs of clicks, as in a log whose ids last for
    a day, all users count.

    Parameters
    ----------
    user_items : csr_matrix, shape (n_users, n_articles)
        Weights of clicks.
    is_settled : array of bool, shape (n_users,)
        Users who are no newcomers; see `recsys.signals.newcomers`.

    Examples
    --------
    The first user makes one pair and the second three.

    >>> clicks = csr_matrix(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    >>> pairing_users(clicks, np.array([False, True])).toarray().tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    >>> pairing_users(clicks, np.array([True, False])).nnz
    5
    """
    n_clicks = np.diff(user_items.indptr).astype(np.float64)
    n_pairs = n_clicks * (n_clicks - 1) / 2
    if n_pairs[is_settled].sum() < n_pairs[~is_settled].sum():
        return user_items
    kept: csr_matrix = diags(is_settled.astype(user_items.dtype)) @ user_items
    kept = kept.tocsr()
    kept.eliminate_zeros()
    return kept


def item_item_similarity(
    user_items: csr_matrix,
    row_articles: NDArray[np.int64],
    column_articles: NDArray[np.int64],
    config: CollaborativeConfig,
) -> csr_matrix:
    """Compute the cosine of articles by the users who clicked them.

    Parameters
    ----------
    user_items : csr_matrix, shape (n_users, n_articles)
        Weights of clicks; here every click counts 1.
    row_articles, column_articles : array of int
        Indexes of the articles to compare.
    config
        `n_item_item` values are kept in a row.

    Returns
    -------
    csr_matrix of float32, shape (len(row_articles), len(column_articles))
        The largest cosines of each row, shrunk by common / (common + 2) for articles with few
        common users; nothing for an article and itself.
    """
    shape = (len(row_articles), len(column_articles))
    if not user_items.nnz or not all(shape):
        return csr_matrix(shape, dtype=np.float32)
    n_users_of = np.bincount(user_items.indices, minlength=user_items.shape[1])
    clicked = csr_matrix(
        (np.ones(user_items.nnz, dtype=np.float32), user_items.indices, user_items.indptr),
        shape=user_items.shape,
    )
    unit_columns = clicked @ diags(1.0 / np.sqrt(np.maximum(n_users_of, 1))).astype(np.float32)
    cosine = sp_matmul_topn(
        unit_columns.T.tocsr()[row_articles],
        unit_columns.tocsr()[:, column_articles],
        top_n=config.n_item_item + 1,  # one of them may be the article itself
        n_threads=N_THREADS,
    ).tocoo()
    row_article, column_article = row_articles[cosine.row], column_articles[cosine.col]
    keep = (row_article != column_article) & (cosine.data > 0)
    n_common = cosine.data[keep] * np.sqrt(
        n_users_of[row_article[keep]] * n_users_of[column_article[keep]]
    )
    shrunk = cosine.data[keep] * n_common / (n_common + SHRINKAGE_USERS)
    result = csr_matrix(
        (shrunk.astype(np.float32), (cosine.row[keep], cosine.col[keep])), shape=shape
    )
    result.sort_indices()
    return result
