"""The ranking head: orders given articles for a user, such as the boxes that an editor chose.

The retrieval head of `recsys.blend.linear` finds a page's articles among all live ones. Articles
that were chosen before share most of what makes an article worth finding, so this head learns
from clicks among the articles that were shown. It is a sum of curves, one for each feature:

    score(u, j) = sum over features f of curve_f(f(u, j))

Learning and serving compute the features by the same functions, in numpy.

References
----------
Hastie, Tibshirani, "Generalized additive models", Statistical Science 1(3), 1986.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import context_signals, score_parts, text_of_recent
from recsys.blend.live_model import LiveModel, Rows, UserState
from recsys.blend.signal_table import signal_names
from recsys.rows import HOUR_MS, UNKNOWN_TIME
from recsys.signals.event_features import ARTICLE_FEATURES, USER_FEATURES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Dense vectors of articles: learned from words and what users read, and brought by the publisher.
WORDS, GIVEN = "words", "given"
VECTOR_KINDS = (WORDS, GIVEN)
PERSONAL_FEATURES = (
    "text",
    "recent_text",
    "als",
    "affinity",
    "context_text",
    "context_item_item",
    "context_category",
    *(f"{kind}_{to}" for kind in VECTOR_KINDS for to in ("taste", "context")),
)
CLOCK_FEATURES = ("age", "age_distance", "itself")
# Of these also the rank within the choice is a feature: "the newest of what is shown".
RANKED_FEATURES = (
    "age",
    "popularity_1h",
    "popularity_3h",
    "popularity_24h",
    "click_rate_6h",
    "click_rate_24h",
    "views_6h",
    "text",
)


def taken_names() -> frozenset[str]:
    """Return the names that a user's own signal must not have: of signals and of features."""
    return feature_names() | {*signal_names(), "position"}


def feature_names() -> frozenset[str]:
    """Return the names of all features that may have a curve."""
    names = (*PERSONAL_FEATURES, *CLOCK_FEATURES, *ARTICLE_FEATURES, *USER_FEATURES)
    return frozenset((*names, *(f"rank_{name}" for name in RANKED_FEATURES)))


@dataclass(frozen=True, slots=True)
class RankModel:
    """The articles' side of the ranking head, beside the live model.

    Attributes
    ----------
    vectors : Rows, n_known x n_terms
        The heaviest terms of the known articles' unit-length TF-IDF vectors.
    word_vectors : array of float32, shape (n_known, n_dimensions)
        See `recsys.signals.word_vectors`: of unit length or zero.
    article_features : dict of array of float32, shape (n_known,)
        `ARTICLE_FEATURES` as of the run.
    written_ms : array of int64, shape (n_known,)
        When each was written; UNKNOWN_TIME for not known.
    curves : dict of array of float64, shape (2, n_knots)
        By feature: the knots of the curve and its values there, linear between the knots and
        constant beyond them. Empty if nothing was learned.
    refresh_curves
        The curves of a refresh, learned from counts that are at most an hour old.
    """

    vectors: Rows
    word_vectors: NDArray[np.float32]
    article_features: dict[str, NDArray[np.float32]]
    written_ms: Ints
    curves: dict[str, Floats]
    refresh_curves: dict[str, Floats]


def signed_log(values: Floats) -> Floats:
    """Return sign(x) log(1 + |x|)."""
    result: Floats = np.sign(values) * np.log1p(np.abs(values))
    return result


def age_hours(born_ms: Ints, now_ms: Ints | int) -> Floats:
    """Return ages in hours; 0 for an article that the run does not know: it is new."""
    known = born_ms != UNKNOWN_TIME
    return np.where(known, (now_ms - np.where(known, born_ms, 0)) / HOUR_MS, 0.0)


def clock_features(
    written_ms: Ints, now_ms: Ints | int, context_written_ms: Ints | int, itself: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Return `CLOCK_FEATURES` of candidates.

    Parameters
    ----------
    written_ms
        When the candidates were written.
    now_ms
        The time of the request, which is later than that of the counts.
    context_written_ms
        When the article being read was written; UNKNOWN_TIME without one.
    itself
        Whether the candidate is the article being read.
    """
    known = (np.asarray(context_written_ms) != UNKNOWN_TIME) & (written_ms != UNKNOWN_TIME)
    apart = np.where(known, (written_ms - np.where(known, context_written_ms, 0)) / HOUR_MS, 0.0)
    return {
        "age": signed_log(age_hours(written_ms, now_ms)),
        "age_distance": np.log1p(np.abs(apart)),
        "itself": itself.astype(np.float64),
    }


def personal_features(
    model: RankModel, live: LiveModel, user: UserState | None, context: int | None, known: Ints
) -> dict[str, Floats]:
    """Return `PERSONAL_FEATURES` of a user, an article being read, and candidates.

    Parameters
    ----------
    model, live
        The run.
    user, context
        None for an anonymous user, and for a page without an article being read.
    known : array of int64, shape (n_candidates,)
        Known indices, -1 for an article the run does not know: all its features are 0.
    """
    index = live.live_index_of(known)
    is_known, is_live = known >= 0, index >= 0
    found = {name: np.zeros(len(known)) for name in PERSONAL_FEATURES}

    def of_live(values: NDArray[np.float32]) -> Floats:
        return np.where(is_live, values[index], 0.0) if len(values) else np.zeros(len(known))

    for name, values in context_signals(live, context).items():
        found[name] = of_live(values)
    for kind, vectors in ((WORDS, model.word_vectors), (GIVEN, live.vectors)):
        if context is not None:
            found[f"{kind}_context"] = _cosines(vectors, known, vectors[context])
        if user is not None:
            found[f"{kind}_taste"] = _cosines(vectors, known, vectors[user.reads].sum(axis=0))
    if user is not None:
        found["recent_text"] = of_live(text_of_recent(live, user.reads))
        found["als"][is_live] = live.factors[index[is_live]] @ user.factors
        section = live.category[np.maximum(known, 0)]
        found["affinity"] = np.where(is_known, user.affinity[section], 0.0)
        found["text"] = likeness_to_reads(model, user.reads, known)
    return found


def _cosines(vectors: NDArray[np.float32], known: Ints, to: NDArray[np.float32]) -> Floats:
    """Return the cosine of candidates with a vector; 0 where either is unknown or zero."""
    length = float(np.linalg.norm(to))
    cosines = vectors[np.maximum(known, 0)] @ (to / (length or 1.0))
    return np.where(known >= 0, cosines, 0.0)


def likeness_to_reads(model: RankModel, reads: Ints, known: Ints) -> Floats:
    """Return how similar the text of candidates is to all of a user's latest reads.

    Notes
    -----
    The sum over reads r of cos(r, j) / sqrt(number of reads). It is the cosine to the sum of the
    reads if these have no term in common, and orders one choice as that cosine does.
    """
    likeness = np.zeros(len(known))
    is_known = np.flatnonzero(known >= 0)
    term, value, owner = _terms(model.vectors, known[is_known])
    read_term, read_value, _ = _terms(model.vectors, reads)
    if not len(term) or not len(read_term):
        return likeness
    asked, term_index = np.unique(term, return_inverse=True)
    at = np.minimum(np.searchsorted(asked, read_term), len(asked) - 1)
    found = asked[at] == read_term
    weight = np.bincount(at[found], weights=read_value[found], minlength=len(asked))
    total_score = np.bincount(owner, weights=value * weight[term_index], minlength=len(is_known))
    likeness[is_known] = total_score / np.sqrt(len(reads))
    return likeness


def _terms(vectors: Rows, rows: Ints) -> tuple[NDArray[np.int32], NDArray[np.float32], Ints]:
    """Return the terms and values of some rows end to end, and the index in `rows` of each."""
    size = vectors.start[rows + 1] - vectors.start[rows]
    owner = np.repeat(np.arange(len(rows)), size)
    first = np.cumsum(size) - size
    at = np.arange(len(owner)) - first[owner] + vectors.start[rows][owner]
    return vectors.column[at], vectors.value[at], owner


def ranks_within(values: Floats, start: Ints) -> Floats:
    """Return each candidate's rank within its choice by value, from 0 (lowest) to 1 (highest).

    Ties share the mean of their ranks; a candidate that is alone in its choice has 0.5.

    Examples
    --------
    >>> ranks_within(np.array([5.0, 9.0, 5.0, 1.0]), np.array([0, 3, 4])).tolist()
    [0.25, 1.0, 0.25, 0.5]
    """
    if not len(values):
        return np.zeros(0)
    size = np.diff(start)
    choice = np.repeat(np.arange(len(size)), size)
    # Rounded, so that float32 and float64 arithmetic give the same ties.
    near = np.round(values, 4)
    order = np.lexsort((near, choice))
    new_tie = np.ones(len(order), dtype=bool)
    new_tie[1:] = np.diff(near[order]) != 0
    new_tie[1:] |= np.diff(choice[order]) != 0
    first = np.flatnonzero(new_tie)
    middle = first + (np.diff(np.append(first, len(order))) - 1) / 2
    rank = np.empty(len(values))
    rank[order] = middle[np.cumsum(new_tie) - 1] - start[choice[order]]
    result: Floats = np.where(size[choice] > 1, rank / np.maximum(size - 1, 1)[choice], 0.5)
    return result


def with_ranks(features: Mapping[str, Floats], start: Ints) -> dict[str, Floats]:
    """Return features, and the ranks within the choice of those in `RANKED_FEATURES`."""
    return dict(features) | {
        f"rank_{name}": ranks_within(features[name], start) for name in RANKED_FEATURES
    }


def curve_parts(curves: Mapping[str, Floats], features: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return what each feature adds to the scores, arrays of shape (n_candidates,) by name."""
    return {name: np.interp(features[name], *curve) for name, curve in curves.items()}


def _user_features(user: UserState | None, known: Ints) -> Floats:
    """Return `USER_FEATURES` of candidates, shape (n_features, n_candidates)."""
    found = np.zeros((len(USER_FEATURES), len(known)))
    if user is not None and len(user.exposed):
        index = np.minimum(np.searchsorted(user.exposed, known), len(user.exposed) - 1)
        has = user.exposed[index] == known
        found[:, has] = user.exposure_counts[:, index[has]]
    return found


def given_features(
    model: RankModel,
    live: LiveModel,
    user: UserState | None,
    context: int | None,
    known: Ints,
    now_ms: int,
) -> dict[str, Floats]:
    """Return every feature of candidates in one choice, as a run knows them.

    Parameters
    ----------
    model, live, user, context, known
        See `personal_features`.
    now_ms
        The time of the request.
    """
    is_known = known >= 0
    row = np.maximum(known, 0)
    features = personal_features(model, live, user, context, known)
    for name, values in model.article_features.items():
        # An article that the run does not know has one feature: it was never seen.
        features[name] = np.where(is_known, values[row], float(name == "unseen"))
    features |= dict(zip(USER_FEATURES, _user_features(user, known), strict=True))
    written = np.where(is_known, model.written_ms[row], UNKNOWN_TIME)
    context_written = UNKNOWN_TIME if context is None else int(model.written_ms[context])
    itself = is_known & (known == (-2 if context is None else context))
    features |= clock_features(written, now_ms, context_written, itself)
    return with_ranks(features, np.array([0, len(known)]))


def rank_parts(
    model: RankModel,
    live: LiveModel,
    user: UserState | None,
    context: int | None,
    known: Ints,
    now_ms: int,
) -> dict[str, Floats]:
    """Return the parts of the candidates' scores; for the parameters see `given_features`.

    If no curves were learned, these are the weighted signals of `recsys.blend.linear`, which are 0
    for an article that is not live.
    """
    if model.curves:
        features = given_features(model, live, user, context, known, now_ms)
        return curve_parts(model.curves, features)
    index = live.live_index_of(known)
    return {
        name: np.where(index >= 0, part[index], 0.0)
        for name, part in score_parts(live, user, context).items()
        if len(part)
    }


def after_reads(user: UserState, known: Ints) -> UserState:
    """Return a user whose counts say that some articles (known indices) were read just now."""
    exposed = np.union1d(user.exposed, known)
    counts = np.zeros((len(USER_FEATURES), len(exposed)), dtype=np.float32)
    counts[:, np.searchsorted(exposed, user.exposed)] = user.exposure_counts
    of_reads = np.flatnonzero([name.startswith("read_") for name in USER_FEATURES])
    counts[np.ix_(of_reads, np.searchsorted(exposed, known))] = np.log(2.0)  # one read, just now
    return dataclasses.replace(user, exposed=exposed, exposure_counts=counts)
