"""Learn vectors of words from what users read: articles that the same users read are close.

A vector of an article is a linear map of its TF-IDF terms, so an article that no user has read has
one too. The map starts from the truncated SVD of the terms and is learned so that the mean of some
reads of a user points at another read of the same user, more than at the reads of other users. It
needs no text from outside.

On MIND (9-12 November 2019) the cosine with the mean of a user's reads orders what was shown with
an AUC of .626; the cosine of the terms alone has .596, and the truncated SVD .606 (mean of four
days). Learning also from what users chose among what was shown makes the vectors better alone, and
the blend no better (docs/evaluation.md).

References
----------
Okura, Tagami, Ono, Tajima, "Embedding-based news recommendation for millions of users", KDD 2017;
Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys
2019 (the correction by popularity); Kingma, Ba, "Adam: a method for stochastic optimization", 2015.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.matrices import select_columns, unit_rows

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

N_DIMENSIONS = 64  # 128 gained nothing on MIND
MOST_TERMS = 15_000  # the most frequent ones; of rarer ones the map would learn accidents
FEWEST_ARTICLES = 2  # that have a term
MOST_SVD_ARTICLES = 5_000  # from which the map starts; more change no direction that matters
# Steps, users a step and step size were compared on MIND's 9-12 November 2019: larger steps, more
# of them and smaller batches overfit (AUC .62 and less).
MOST_STEPS = 160
DRAWS = 2  # of each read as the one to find; with fewer reads, fewer steps
USERS_PER_STEP = 512
MOST_READS = 30  # of a user in one step
STEP_SIZE = 3e-4
DROPPED_TERMS = 0.5  # share of the terms left out of each article in a step; without it, overfit
# How much the popularity of an article is taken out of its score in the softmax: at 1, what a user
# reads is compared with what all read; .5 was better than 0, .25, .75 and 1.
POPULARITY_POWER = 0.5
FIRST_SHARPNESS = 5.0  # factor on the cosine in the softmax, learned too
SHARPNESS_STEP = 0.01
AVERAGED_SHARE = 0.6  # of the steps, the last ones, whose maps are averaged


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Vectors of terms.

    Attributes
    ----------
    terms : array of int32, ascending
        Columns of the TF-IDF vectors.
    vectors : array of float32, shape (n_terms, N_DIMENSIONS)
        The vector of each.
    """

    terms: NDArray[np.int32]
    vectors: Floats

    def of_articles(self, tfidf: csr_matrix) -> Floats:
        """Return the vectors of articles.

        Parameters
        ----------
        tfidf : csr_matrix, shape (n_articles, n_features)
            Their terms.

        Returns
        -------
        array of float32, shape (n_articles, N_DIMENSIONS)
            Of unit length; zeros for an article that has none of the terms.
        """
        is_kept = np.zeros(tfidf.shape[1], dtype=bool)
        is_kept[self.terms] = True
        on_terms = select_columns(tfidf, is_kept)
        return unit_rows(np.asarray(on_terms @ self.vectors, dtype=np.float32))


def learn_word_vectors(
    tfidf: csr_matrix,
    user_items: csr_matrix,
    is_fitted: NDArray[np.bool_] | None = None,
    *,
    random_state: int = 0,
) -> WordVectors:
    """Learn vectors of terms from what users read.

    Parameters
    ----------
    tfidf : csr_matrix, shape (n_articles, n_features)
        Terms of the articles.
    user_items : csr_matrix, shape (n_users, n_articles)
        An entry for each article that a user read, whatever its value.
    is_fitted : array of bool, shape (n_articles,)
        Articles whose terms count; by default all. No user read another one.
    random_state
        Seed of the draws; the same input and seed give the same vectors.

    Returns
    -------
    WordVectors
        Without users who read two articles, those of the truncated SVD; without text, no terms.
    """
    fitted = np.arange(tfidf.shape[0]) if is_fitted is None else np.flatnonzero(is_fitted)
    n_having = np.bincount(tfidf[fitted].indices, minlength=tfidf.shape[1])
    order = np.argsort(-n_having, kind="stable")[:MOST_TERMS]
    is_kept = np.zeros(tfidf.shape[1], dtype=bool)
    is_kept[order[n_having[order] >= FEWEST_ARTICLES]] = True
    terms = np.flatnonzero(is_kept).astype(np.int32)
    on_terms = select_columns(tfidf, is_kept)
    first = _first_vectors(on_terms[fitted], random_state)
    reads = _Reads.of(user_items, np.diff(on_terms.indptr) > 0)
    if not len(reads.users) or not len(terms):
        return WordVectors(terms, first)
    return WordVectors(terms, _learned(on_terms, reads, first, random_state))


def _first_vectors(on_terms: csr_matrix, random_state: int) -> Floats:
    """Return vectors of terms by the truncated SVD, shape (n_terms, N_DIMENSIONS)."""
    from sklearn.utils.extmath import randomized_svd  # imported late: a refresh needs none

    first = np.zeros((on_terms.shape[1], N_DIMENSIONS), dtype=np.float32)
    filled = np.flatnonzero(np.diff(on_terms.indptr))
    every = max(len(filled) // MOST_SVD_ARTICLES, 1)
    sample = on_terms[filled[::every]]
    n = min(N_DIMENSIONS, *sample.shape)
    if n:
        _, _, axes = randomized_svd(sample, n, n_iter=2, random_state=random_state)
        first[:, :n] = axes.T
    return first


@dataclass(frozen=True, slots=True)
class _Reads:
    """Reads of users with two or more, end to end.

    Attributes
    ----------
    users : array of int64
        The users, by the position of their reads in `start`.
    start : array of int64, shape (n_all_users + 1,)
        Where the reads of each user begin.
    articles : array of int64
        The reads, each once a user.
    log_share : array of float32, shape (n_articles,)
        Logarithm of each article's share of all reads.
    """

    users: Ints
    start: Ints
    articles: Ints
    log_share: Floats

    @classmethod
    def of(cls, user_items: csr_matrix, has_text: NDArray[np.bool_]) -> "_Reads":
        keep = has_text[user_items.indices]
        start = np.concatenate(([0], np.cumsum(keep)))[user_items.indptr]
        articles = user_items.indices[keep].astype(np.int64)
        n_clicks = np.bincount(articles, minlength=len(has_text))
        log_share = np.log(np.maximum(n_clicks, 1) / max(len(articles), 1)).astype(np.float32)
        return cls(np.flatnonzero(np.diff(start) >= 2), start, articles, log_share)

    def drawn(self, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
        """Draw some users; return one read of each, and the owner and article of other reads."""
        users = rng.choice(self.users, USERS_PER_STEP)
        n = self.start[users + 1] - self.start[users]
        owner = np.repeat(np.arange(len(users)), n)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(n) - n, n)
        at = self.start[users][owner] + within
        shuffled = at[np.lexsort((rng.random(len(at)), owner))]
        others = (within > 0) & (within <= MOST_READS)
        return self.articles[shuffled[within == 0]], owner[others], self.articles[shuffled[others]]


def _learned(on_terms: csr_matrix, reads: _Reads, first: Floats, random_state: int) -> Floats:
    """Return the vectors of terms after some steps of Adam."""
    n_steps = min(-(-DRAWS * len(reads.articles) // USERS_PER_STEP), MOST_STEPS)
    rng = np.random.default_rng(random_state)
    vectors, adam = first.copy(), _Adam(first.shape, STEP_SIZE)
    log_sharpness, adam_of_sharpness = (
        np.log(np.full(1, FIRST_SHARPNESS)),
        _Adam((1,), SHARPNESS_STEP),
    )
    averaged, n_averaged = np.zeros_like(vectors), 0
    for step in range(n_steps):
        target, owner, article = reads.drawn(rng)
        rows, index = np.unique(np.concatenate((article, target)), return_inverse=True)
        of_article, of_target = index[: len(article)], index[len(article) :]
        text = on_terms[rows]
        is_kept = rng.random(len(text.data)) >= DROPPED_TERMS
        text.data = text.data * is_kept / np.float32(1 - DROPPED_TERMS)
        sums = csr_matrix(
            (np.ones(len(owner), dtype=np.float32), (owner, of_article)),
            shape=(len(target), len(rows)),
        )
        of_rows = text @ vectors
        slope, slope_of_sharpness = _slopes(
            sums @ of_rows,
            of_rows[of_target],
            float(np.exp(log_sharpness[0])),
            POPULARITY_POWER * reads.log_share[target],
            target,
        )
        of_users, of_targets = slope
        by_rows = np.asarray(sums.T @ of_users)
        np.add.at(by_rows, of_target, of_targets)
        vectors = vectors - adam.step(np.asarray(text.T @ by_rows))
        log_sharpness = log_sharpness - adam_of_sharpness.step(np.array([slope_of_sharpness]))
        if step >= int(n_steps * (1 - AVERAGED_SHARE)):
            averaged += vectors
            n_averaged += 1
    return averaged / np.float32(n_averaged)


def _slopes(
    user: Floats, read: Floats, sharpness: float, popularity: Floats, target: Ints
) -> tuple[tuple[Floats, Floats], float]:
    """Return the slopes of the cross entropy of each user's read among the reads of all users.

    Parameters
    ----------
    user, read : array of float32, shape (n, n_dimensions)
        Vectors of users and of their reads, of any length.
    sharpness
        Factor on the cosine.
    popularity : array of float32, shape (n,)
        Taken off the score of each read.
    target : array of int64, shape (n,)
        The articles: one that another user read too is no wrong answer.

    Returns
    -------
    (of `user`, of `read`), of the logarithm of `sharpness`
    """
    n = len(target)
    of_user, of_read = unit_rows(user), unit_rows(read)
    cosine = of_user @ of_read.T
    score = sharpness * cosine - popularity
    is_own = np.eye(n, dtype=bool)
    score[(target[:, np.newaxis] == target) & ~is_own] = -np.inf
    chance = np.exp(score - score.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    slope = (chance - is_own) / np.float32(n)
    return (
        (
            _through_length(user, of_user, sharpness * (slope @ of_read)),
            _through_length(read, of_read, sharpness * (slope.T @ of_user)),
        ),
        float((slope * cosine).sum() * sharpness),
    )


def _through_length(rows: Floats, of_unit_length: Floats, slope: Floats) -> Floats:
    """Return the slope by rows of what depends on them at unit length."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    along = (slope * of_unit_length).sum(axis=1, keepdims=True)
    through: Floats = (slope - of_unit_length * along) / np.where(length > 0, length, np.inf)
    return through


class _Adam:
    """Steps of Adam with its usual constants."""

    def __init__(self, shape: tuple[int, ...], step_size: float) -> None:
        self._size, self._n = step_size, 0
        self._mean, self._square = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def step(self, slope: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return what to subtract."""
        self._n += 1
        self._mean += np.float32(0.1) * (slope - self._mean)
        self._square += np.float32(0.001) * (slope * slope - self._square)
        mean = self._mean / np.float32(1 - 0.9**self._n)
        square = self._square / np.float32(1 - 0.999**self._n)
        step: NDArray[np.float32] = np.float32(self._size) * mean / (np.sqrt(square) + 1e-8)
        return step.astype(np.float32)
