"""What a refresh takes over from its base run instead of learning it again.

The factors, the text neighbours and the item-item similarities stay as the nightly run learned
them. An article that has come since gets all three from its text and from the users who have
read it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from recsys.blend.linear import fold_in
from recsys.blend.live_model import LiveModel, Rows, live_indices
from recsys.config import CollaborativeConfig, TextConfig
from recsys.published.run_file import Carry
from recsys.signals import collaborative, text
from recsys.training.window import BaseRunFacts, TrainingWindow

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BaseRun:
    """The run that a refresh builds on.

    Attributes
    ----------
    as_of_ms
        The end of its training window.
    article_ids
        The articles it knows, in its order.
    live
        Its live model.
    vectors
        The heaviest terms of its articles (`recsys.blend.curves.RankModel.vectors`).
    carry
        What it keeps for a refresh alone.
    sample_one_in
        See `recsys.training.window.TrainingWindow`.
    """

    as_of_ms: int
    article_ids: Sequence[str]
    live: LiveModel
    vectors: Rows
    carry: Carry
    sample_one_in: int = 1

    @property
    def facts(self) -> BaseRunFacts:
        """Return what `read_training_window` takes over from this run."""
        return BaseRunFacts(
            self.article_ids, self.carry.first_ms, self.carry.bots, self.sample_one_in
        )


def came_live_since(base: BaseRun, live_rows: Ints) -> NDArray[np.bool_]:
    """Return which live articles were not live yet when the factors were learned.

    Parameters
    ----------
    base
        The base run. If it is itself a refresh, its factors are those of its nightly run.
    live_rows : array of int64, shape (n_live,)
        Article indices of the articles that are live now.
    """
    return ~np.isin(live_rows, base.live.live_rows[~base.carry.live_since])


def carried_similar(
    base: BaseRun, vectors: csr_matrix, live_rows: Ints, config: TextConfig
) -> csr_matrix:
    """Return the cosine of articles to live ones: those of the base run, and those of new ones.

    Parameters
    ----------
    base
        The base run.
    vectors, live_rows, config
        See `recsys.signals.text.more_similar`.
    """
    n_before = len(base.article_ids)
    before = _moved_columns(
        base.live.similar,
        live_indices(live_rows, base.live.live_rows),
        np.ones(len(base.live.live_rows), dtype=bool),
        (n_before, len(live_rows)),
    )
    is_new = ~np.isin(live_rows, base.live.live_rows)
    return text.add_similar_articles(before, vectors, live_rows, is_new, config)


def carried_vectors(base: BaseRun, new_vectors: csr_matrix, config: TextConfig) -> csr_matrix:
    """Return the heaviest terms of articles: those of the base run, then those of new articles.

    Parameters
    ----------
    base
        The base run.
    new_vectors : csr_matrix, shape (n_new, n_features)
        TF-IDF vectors of the articles that the base run does not know.
    config
        How many terms are kept of each article.
    """
    before = csr_matrix(
        (base.vectors.value, base.vectors.column, base.vectors.start),
        shape=(len(base.article_ids), new_vectors.shape[1]),
    )
    new = text.keep_heaviest_terms(new_vectors, config.n_rank_terms)
    return vstack((before, new), format="csr", dtype=np.float32)


def carried_item_item(
    base: BaseRun, user_items: csr_matrix, live_rows: Ints, config: CollaborativeConfig
) -> csr_matrix:
    """Return item-item similarities: those of the nightly run, and those of what came since.

    The similarities of known articles to articles that were live in the nightly run stay as
    learned. Those of new articles, and those to articles that came live since, are counted on
    `user_items`.

    Parameters
    ----------
    base
        The base run.
    user_items : csr_matrix, shape (n_users, n_articles)
        Confidence of the counted clicks.
    live_rows : array of int64, shape (n_live,)
        Article indices of the live articles.
    config
        How many similarities are kept of each article.

    Returns
    -------
    csr_matrix of float32, shape (n_articles, n_live)
    """
    n_before, n_articles, n_live = len(base.article_ids), user_items.shape[1], len(live_rows)
    since = came_live_since(base, live_rows)
    columns = live_indices(live_rows, base.live.live_rows)
    kept = _moved_columns(base.live.item_item, columns, ~base.carry.live_since, (n_before, n_live))
    new_articles = np.arange(n_before, n_articles)
    old_columns, new_columns = np.flatnonzero(~since), np.flatnonzero(since)
    of_new_articles = collaborative.item_item_similarity(
        user_items, new_articles, live_rows[old_columns], config
    )
    to_new_columns = collaborative.item_item_similarity(
        user_items, np.arange(n_articles), live_rows[new_columns], config
    )
    old = vstack(
        (kept, _spread_columns(of_new_articles, old_columns, n_live)),
        format="csr",
        dtype=np.float32,
    )
    result = old + _spread_columns(to_new_columns, new_columns, n_live)
    result.sort_indices()
    return result


def _moved_columns(
    rows: Rows, new_column: Ints, keep: NDArray[np.bool_], shape: tuple[int, int]
) -> csr_matrix:
    """Return a matrix with its columns moved, and some of them left out.

    Parameters
    ----------
    rows
        The matrix.
    new_column : array of int64, shape (n_columns,)
        Where each column goes; -1 for a column that is left out.
    keep : array of bool, shape (n_columns,)
        False for a column that is left out.
    shape
        Shape of the result.
    """
    here = np.flatnonzero(keep[rows.column] & (new_column[rows.column] >= 0))
    start = np.searchsorted(here, rows.start)
    matrix = csr_matrix((rows.value[here], new_column[rows.column[here]], start), shape=shape)
    matrix.sort_indices()
    return matrix


def _spread_columns(matrix: csr_matrix, columns: Ints, n_columns: int) -> csr_matrix:
    """Return a matrix of `n_columns` columns that has the given one's columns at `columns`.

    `columns` must ascend.
    """
    return csr_matrix(
        (matrix.data, columns[matrix.indices], matrix.indptr), shape=(matrix.shape[0], n_columns)
    )


def users_needing_factors(
    window: TrainingWindow, base: BaseRun, config: CollaborativeConfig
) -> Ints:
    """Return the user indices whose factors of the base run `carried_factors` uses, ascending."""
    is_new_click = window.clicked_ms >= base.as_of_ms
    warm = np.zeros(len(window.articles.id_map), dtype=bool)
    warm[base.live.live_rows[base.live.warm]] = True
    gets_factors = _articles_with_enough_users(window, warm, config)
    return np.unique(window.user_index[is_new_click | gets_factors[window.article_index]])


def _articles_with_enough_users(
    window: TrainingWindow, warm: NDArray[np.bool_], config: CollaborativeConfig
) -> NDArray[np.bool_]:
    """Return which live articles have no factors yet, but enough users to get some."""
    n_users = np.bincount(window.article_index, minlength=len(warm))
    is_live = np.zeros(len(warm), dtype=bool)
    is_live[window.live_rows] = True
    return is_live & ~warm & (n_users >= config.min_users)


def carried_factors(
    window: TrainingWindow,
    base: BaseRun,
    user_factors: NDArray[np.float32],
    config: CollaborativeConfig,
) -> collaborative.Factors:
    """Return the base run's factors on a window's indices, with the clicks since folded in.

    Parameters
    ----------
    window
        The training window of the refresh.
    base
        The base run.
    user_factors : array of float32, shape (n_users, factors)
        The base run's factors of the window's users. They are needed of
        `users_needing_factors`; the other rows may be zeros.
    config
        How many users an article needs for factors of its own.
    """
    live = base.live
    article_factors = np.zeros(
        (len(window.articles.id_map), live.factors.shape[1]), dtype=np.float32
    )
    article_factors[live.live_rows[live.warm]] = live.factors[live.warm]
    learned: NDArray[np.bool_] = np.zeros(len(article_factors), dtype=bool)
    learned[live.live_rows[live.warm & ~base.carry.live_since]] = True
    user_factors = user_factors.copy()
    confidence = live.click_confidence
    new_clicks = np.flatnonzero(window.clicked_ms >= base.as_of_ms)
    for user, articles in grouped(window.user_index[new_clicks], window.article_index[new_clicks]):
        user_factors[user] = fold_in(
            user_factors[user], article_factors[articles], gram=live.gram, confidence=confidence
        )
    # An article that enough users have read since gets the factors that they give it: the
    # other half of an ALS step. On EB-NeRD three of four clicks of a day are on such articles.
    spread = base.carry.spread
    warm: NDArray[np.bool_] = (article_factors != 0).any(axis=1)
    used = _articles_with_enough_users(window, warm, config)[window.article_index]
    used[new_clicks] |= (warm & ~learned)[window.article_index[new_clicks]]
    for article, users in grouped(window.article_index[used], window.user_index[used]):
        article_factors[article] = fold_in(
            article_factors[article], user_factors[users], gram=spread, confidence=confidence
        )
    return collaborative.Factors(user_factors, article_factors, live.gram, spread)


def grouped(key: Ints, value: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield each distinct key, ascending, with its values in their order."""
    order = np.argsort(key, kind="stable")
    keys, start = np.unique(key[order], return_index=True)
    if len(keys):
        yield from zip(keys.tolist(), np.split(value[order], start[1:]), strict=True)
