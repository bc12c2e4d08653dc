"""What a refresh takes over from a run instead of learning it anew.

Factors, neighbours in text, and who is read together stay as the night learned them; an
article that came since gets all three from its text and from the readers it has found.
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
    """The run that is refreshed.

    Attributes
    ----------
    as_of_ms
        When it was made.
    article_ids
        Its known articles.
    live, vectors
        Of its models.
    carry
        What it kept for this.
    sample_one_in
        As of `recsys.training.window.TrainingWindow`.
    """

    as_of_ms: int
    article_ids: Sequence[str]
    live: LiveModel
    vectors: Rows
    carry: Carry
    sample_one_in: int = 1

    @property
    def earlier(self) -> BaseRunFacts:
        """Return what `read_training_window` wants to know of it."""
        return BaseRunFacts(
            self.article_ids, self.carry.first_ms, self.carry.bots, self.sample_one_in
        )


def live_since(last: BaseRun, live: Ints) -> NDArray[np.bool_]:
    """Return which live articles (known indices) were not live when factors were learned."""
    return ~np.isin(live, last.live.live_rows[~last.carry.live_since])


def _on_columns(
    rows: Rows, columns: Ints, keep: NDArray[np.bool_], shape: tuple[int, int]
) -> csr_matrix:
    """Return rows whose kept columns stand at new places, -1 for those that are gone."""
    here = np.flatnonzero(keep[rows.column] & (columns[rows.column] >= 0))
    start = np.searchsorted(here, rows.start)
    matrix = csr_matrix((rows.value[here], columns[rows.column[here]], start), shape=shape)
    matrix.sort_indices()
    return matrix


def carried_similar(
    last: BaseRun, vectors: csr_matrix, live: Ints, config: TextConfig
) -> csr_matrix:
    """Return the cosine of articles to live ones: the last run's, and those of what is new."""
    shape = (len(last.article_ids), len(live))
    everything = np.ones(len(last.live.live_rows), dtype=bool)
    before = _on_columns(
        last.live.similar, live_indices(live, last.live.live_rows), everything, shape
    )
    is_new = ~np.isin(live, last.live.live_rows)
    return text.more_similar(before, vectors, live, is_new, config)


def carried_vectors(last: BaseRun, after: csr_matrix, config: TextConfig) -> csr_matrix:
    """Return the heaviest terms of articles: the last run's, and those of what came after."""
    old = csr_matrix(
        (last.vectors.value, last.vectors.column, last.vectors.start),
        shape=(len(last.article_ids), after.shape[1]),
    )
    return vstack((old, text.heaviest(after, config.n_rank_terms)), format="csr", dtype=np.float32)


def carried_item_item(
    last: BaseRun, items: csr_matrix, live: Ints, config: CollaborativeConfig
) -> csr_matrix:
    """Return who is read together: as learned, counted for what has come to life since."""
    n_before, n_articles, n_live = len(last.article_ids), items.shape[1], len(live)
    since = live_since(last, live)
    columns = live_indices(live, last.live.live_rows)
    kept = _on_columns(last.live.item_item, columns, ~last.carry.live_since, (n_before, n_live))
    rows = np.arange(n_before, n_articles)
    older = np.flatnonzero(~since)
    fresh_rows = collaborative.item_item(items, rows, live[older], config)
    newer = np.flatnonzero(since)
    fresh = collaborative.item_item(items, np.arange(n_articles), live[newer], config)
    below = _wide(fresh_rows, older, n_live)
    together = vstack((kept, below), format="csr", dtype=np.float32) + _wide(fresh, newer, n_live)
    together.sort_indices()
    return together


def _wide(matrix: csr_matrix, columns: Ints, n_columns: int) -> csr_matrix:
    """Return a matrix with its columns at some ascending places among more."""
    return csr_matrix(
        (matrix.data, columns[matrix.indices], matrix.indptr), shape=(matrix.shape[0], n_columns)
    )


def users_needing_factors(
    window: TrainingWindow, last: BaseRun, config: CollaborativeConfig
) -> Ints:
    """Return the readers (rows of a night) whose factors `carried_factors` uses."""
    fresh = window.clicked_ms >= last.as_of_ms
    warm = np.zeros(len(window.articles.id_map), dtype=bool)
    warm[last.live.live_rows[last.live.warm]] = True
    found = _articles_with_enough_users(window, warm, config)
    return np.unique(window.user_index[fresh | found[window.article_index]])


def _articles_with_enough_users(
    window: TrainingWindow, warm: NDArray[np.bool_], config: CollaborativeConfig
) -> NDArray[np.bool_]:
    """Return which live articles have no factors yet, but readers enough to give them some."""
    n_users = np.bincount(window.article_index, minlength=len(warm))
    found = np.zeros(len(warm), dtype=bool)
    found[window.live_rows] = True
    return found & ~warm & (n_users >= config.min_users)


def carried_factors(
    window: TrainingWindow, last: BaseRun, user: NDArray[np.float32], config: CollaborativeConfig
) -> collaborative.Factors:
    """Return the last run's factors on a night's indices, clicks since folded in.

    Parameters
    ----------
    night, last
        The present, and the run.
    user : array of float32, shape (n_users, factors)
        The run's factors of the night's readers, at least of `users_needing_factors`.
    config
        Of the factors.
    """
    live = last.live
    article = np.zeros((len(window.articles.id_map), live.factors.shape[1]), dtype=np.float32)
    article[live.live_rows[live.warm]] = live.factors[live.warm]
    learned: NDArray[np.bool_] = np.zeros(len(article), dtype=bool)
    learned[live.live_rows[live.warm & ~last.carry.live_since]] = True
    user = user.copy()
    confidence = live.click_confidence
    fresh = np.flatnonzero(window.clicked_ms >= last.as_of_ms)
    for row, articles in grouped(window.user_index[fresh], window.article_index[fresh]):
        user[row] = fold_in(user[row], article[articles], gram=live.gram, confidence=confidence)
    # An article that has found its readers since gets the factors they give it: the other
    # half of an ALS step. On EB-NeRD three of four clicks of a day are on such articles.
    spread = last.carry.spread
    warm: NDArray[np.bool_] = (article != 0).any(axis=1)
    wanted = _articles_with_enough_users(window, warm, config)[window.article_index]
    wanted[fresh] |= (warm & ~learned)[window.article_index[fresh]]
    for column, users in grouped(window.article_index[wanted], window.user_index[wanted]):
        article[column] = fold_in(article[column], user[users], gram=spread, confidence=confidence)
    return collaborative.Factors(user, article, live.gram, spread)


def grouped(key: Ints, value: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield each key and the values that go with it."""
    order = np.argsort(key, kind="stable")
    keys, start = np.unique(key[order], return_index=True)
    if len(keys):
        yield from zip(keys.tolist(), np.split(value[order], start[1:]), strict=True)
