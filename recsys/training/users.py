"""What a run knows of users: ALS factors, section affinities, reads, and exposures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blend.linear import spans
from recsys.blend.live_model import UserState
from recsys.training.window import TrainingWindow

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class UserFactors:
    """ALS factors and section affinities, one row a user."""

    factors: NDArray[np.float32]
    affinity: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TrainedUsers:
    """What a run knows of its users, one row a user.

    Attributes
    ----------
    user_ids
        The users, in the order of the rows.
    factors : array of float32, shape (n_users, factors)
        ALS factors.
    affinity : array of float32, shape (n_users, n_sections)
        Affinity to each section.
    live_reads : csr_matrix, shape (n_users, n_live)
        Live articles that each user has read.
    latest_reads : csr_matrix, shape (n_users, n_articles)
        The latest reads of each user, newest first within a row.
    exposed : csr_matrix, shape (n_users, n_articles)
        Ones for the live articles that each user was shown or has read.
    exposure_counts : array of float32, shape (n_features, exposed.nnz)
        `recsys.blend.curves.USER_FEATURES` of each of those, in the order of `exposed.data`.
    """

    user_ids: Sequence[str]
    factors: NDArray[np.float32]
    affinity: NDArray[np.float32]
    live_reads: csr_matrix
    latest_reads: csr_matrix
    exposed: csr_matrix
    exposure_counts: NDArray[np.float32]

    def select(self, user_index: Sequence[int]) -> "TrainedUsers":
        """Return some of the users, in the order asked."""
        rows = list(user_index)
        inside = spans(self.exposed.indptr[rows], np.diff(self.exposed.indptr)[rows])
        return TrainedUsers(
            [self.user_ids[row] for row in rows],
            self.factors[rows],
            self.affinity[rows],
            self.live_reads[rows],
            self.latest_reads[rows],
            self.exposed[rows],
            self.exposure_counts[:, inside],
        )

    def state(self, user_index: int) -> UserState:
        """Return the state of one user, as a score needs it."""

        def row(matrix: csr_matrix) -> slice:
            return slice(matrix.indptr[user_index], matrix.indptr[user_index + 1])

        latest, live, exposed = self.latest_reads, self.live_reads, self.exposed
        return UserState(
            factors=self.factors[user_index],
            affinity=self.affinity[user_index],
            reads=latest.indices[row(latest)].astype(np.int64),
            read=np.sort(live.indices[row(live)]).astype(np.int64),
            exposed=exposed.indices[row(exposed)].astype(np.int64),
            exposure_counts=self.exposure_counts[:, row(exposed)],
        )


def factors_of_base(window: TrainingWindow, base_users: TrainedUsers) -> UserFactors:
    """Return the base run's factors and affinities of a window's users; zeros for new users.

    Parameters
    ----------
    window
        The training window of the refresh.
    base_users
        The users of the base run.
    """
    index_of = {user_id: index for index, user_id in enumerate(base_users.user_ids)}
    base_index = np.array([index_of.get(user_id, -1) for user_id in window.users.ids], np.int64)
    known = base_index >= 0

    def on_window(values: NDArray[np.float32]) -> NDArray[np.float32]:
        result = np.zeros((len(base_index), values.shape[1]), dtype=np.float32)
        result[known] = values[base_index[known]]
        return result

    return UserFactors(on_window(base_users.factors), on_window(base_users.affinity))


def latest_reads(window: TrainingWindow, n: int) -> csr_matrix:
    """Return the latest `n` reads of each user, newest first within a row, all values 1.

    Returns
    -------
    csr_matrix of float32, shape (n_users, n_articles)
    """
    n_users = len(window.users)
    order = np.lexsort((-np.arange(len(window.user_index)), window.user_index))
    users, articles = window.user_index[order], window.article_index[order]
    start = np.searchsorted(users, np.arange(n_users + 1))
    kept = articles[np.arange(len(users)) - start[users] < n]
    indptr = np.concatenate(([0], np.cumsum(np.minimum(np.diff(start), n))))
    shape = (n_users, len(window.articles.id_map))
    return csr_matrix((np.ones(len(kept), dtype=np.float32), kept, indptr), shape=shape)


def exposures(window: TrainingWindow) -> tuple[csr_matrix, NDArray[np.float32]]:
    """Return which live articles each user was shown or has read, and how often.

    Returns
    -------
    exposed, exposure_counts
        See `TrainedUsers`.
    """
    keys = window.articles.id_map.keys
    events = window.events.restricted_to(keys[window.live_rows])
    user_key, article_key = events.user_article_pairs()
    user_index = window.users.index_of_keys(user_key)
    article_index = window.articles.id_map.index_of_keys(article_key)
    kept = np.flatnonzero(user_index >= 0)
    kept = kept[np.lexsort((article_index[kept], user_index[kept]))]
    as_of_ms = np.full(len(kept), window.as_of_ms)
    counts = events.user_features(user_key[kept], article_key[kept], as_of_ms)
    indptr = np.searchsorted(user_index[kept], np.arange(len(window.users) + 1))
    ones = np.ones(len(kept), np.float32)
    shape = (len(window.users), len(keys))
    exposed = csr_matrix((ones, article_index[kept], indptr), shape=shape)
    return exposed, np.array(list(counts.values()), dtype=np.float32)
