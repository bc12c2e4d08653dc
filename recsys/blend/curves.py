"""The second head of the blend: orders given articles for a reader, as an editor chose them.

The linear score of `recsys.blend.linear` finds a page's articles among all that are live. This
one re-orders articles somebody already chose - the boxes of a front page - where most of
what makes an article worth finding no longer tells it apart. It is a sum of curves, one a
feature, learned from what readers clicked among what they were shown:

    score(u, j) = sum over features f of curve_f(f(u, j))

Pure numpy: what is learned from is computed here as well as what is served.

References
----------
Hastie, Tibshirani, "Generalized additive models", Statistical Science 1(3), 1986.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import context_signals, score, text_of_recent
from recsys.blend.live_model import LiveModel, Rows, UserState
from recsys.rows import HOUR_MS, UNKNOWN_TIME

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Half-lives tried on EB-NeRD and MIND; each alone is worth little, together they say how
# an article's clicks came: just now, all day, or long ago.
POPULARITY_HOURS = (0.25, 0.5, 1.0, 3.0, 8.0, 24.0)
RATE_HOURS = (1.0, 6.0, 24.0, 72.0)
SHOWN_HOURS = (1.0, 12.0, 1000.0)  # the last is "ever"
READ_HOURS = (12.0, 1000.0)
ARTICLE_FEATURES = (
    *(f"popularity_{hours:g}h" for hours in POPULARITY_HOURS),
    *(f"click_rate_{hours:g}h" for hours in RATE_HOURS),
    *(f"views_{hours:g}h" for hours in RATE_HOURS),
    "seen_age",
    "unseen",
)
USER_FEATURES = (
    *(f"shown_{hours:g}h" for hours in SHOWN_HOURS),
    *(f"read_{hours:g}h" for hours in READ_HOURS),
)
PERSONAL_FEATURES = (
    "text",
    "recent_text",
    "als",
    "affinity",
    "context_text",
    "context_item_item",
    "context_category",
)
CLOCK_FEATURES = ("age", "age_distance", "itself")
# Of these also the place within the choice: "the newest of what is shown".
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


@dataclass(frozen=True, slots=True)
class RankModel:
    """What ordering given articles needs beside the live model.

    Attributes
    ----------
    vectors : Rows, n_known x n_terms
        The heaviest terms of the known articles' unit-length TF-IDF vectors.
    article_features : dict of array of float32, shape (n_known,)
        `ARTICLE_FEATURES` as of the run.
    written_ms : array of int64, shape (n_known,)
        When each was written; UNKNOWN_TIME for not known.
    curves : dict of array of float64, shape (2, n_knots)
        By feature: where the curve bends, and its values there; straight between, level
        beyond. Empty where nothing was learned.
    refresh_curves
        The same, learned with counts of the hour: those of a refresh.
    """

    vectors: Rows
    article_features: dict[str, NDArray[np.float32]]
    written_ms: Ints
    curves: dict[str, Floats]
    refresh_curves: dict[str, Floats]


def signed_log(values: Floats) -> Floats:
    """Return sign(x) log(1 + |x|)."""
    result: Floats = np.sign(values) * np.log1p(np.abs(values))
    return result


def age_hours(born_ms: Ints, now_ms: Ints | int) -> Floats:
    """Return ages in hours; 0 for an article of which nothing is known: it is new here."""
    known = born_ms != UNKNOWN_TIME
    return np.where(known, (now_ms - np.where(known, born_ms, 0)) / HOUR_MS, 0.0)


def clock_features(
    written_ms: Ints, now_ms: Ints | int, context_written_ms: Ints | int, itself: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Return `CLOCK_FEATURES` of candidates.

    Parameters
    ----------
    written_ms
        Of the candidates.
    now_ms
        Of the request, which comes later than the counts.
    context_written_ms
        Of the article being read; UNKNOWN_TIME without one.
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
    model: RankModel, live: LiveModel, reader: UserState | None, context: int | None, known: Ints
) -> dict[str, Floats]:
    """Return `PERSONAL_FEATURES` of a reader, an article being read, and candidates.

    Parameters
    ----------
    model, live
        The run.
    reader, context
        None for an anonymous reader, and for a front page.
    known : array of int64, shape (n_candidates,)
        Known indices, -1 for an article the run does not know: all its features are 0.
    """
    place = live.live_index_of(known)
    here, is_live = known >= 0, place >= 0
    found = {name: np.zeros(len(known)) for name in PERSONAL_FEATURES}

    def of_live(values: NDArray[np.float32]) -> Floats:
        return np.where(is_live, values[place], 0.0) if len(values) else np.zeros(len(known))

    for name, values in context_signals(live, context).items():
        found[name] = of_live(values)
    if reader is not None:
        found["recent_text"] = of_live(text_of_recent(live, reader.reads))
        found["als"][is_live] = live.factors[place[is_live]] @ reader.factors
        section = live.category[np.maximum(known, 0)]
        found["affinity"] = np.where(here, reader.affinity[section], 0.0)
        found["text"] = likeness_to_reads(model, reader.reads, known)
    return found


def likeness_to_reads(model: RankModel, reads: Ints, known: Ints) -> Floats:
    """Return how like candidates are to all of a reader's latest reads.

    Notes
    -----
    sum over reads r of cos(r, j) / sqrt(number of reads): the cosine to their sum, if reads
    had nothing in common; within one choice it orders as the cosine does.
    """
    likeness = np.zeros(len(known))
    here = np.flatnonzero(known >= 0)
    term, value, owner = _terms(model.vectors, known[here])
    read_term, read_value, _ = _terms(model.vectors, reads)
    if not len(term) or not len(read_term):
        return likeness
    asked, place = np.unique(term, return_inverse=True)
    at = np.minimum(np.searchsorted(asked, read_term), len(asked) - 1)
    found = asked[at] == read_term
    weight = np.bincount(at[found], weights=read_value[found], minlength=len(asked))
    total_score = np.bincount(owner, weights=value * weight[place], minlength=len(here))
    likeness[here] = total_score / np.sqrt(len(reads))
    return likeness


def _terms(vectors: Rows, rows: Ints) -> tuple[NDArray[np.int32], NDArray[np.float32], Ints]:
    """Return terms and values of some rows end to end, and the place in `rows` of each."""
    size = vectors.start[rows + 1] - vectors.start[rows]
    owner = np.repeat(np.arange(len(rows)), size)
    first = np.cumsum(size) - size
    at = np.arange(len(owner)) - first[owner] + vectors.start[rows][owner]
    return vectors.column[at], vectors.value[at], owner


def ranks_within(values: Floats, start: Ints) -> Floats:
    """Return each candidate's place within its choice by value, 0 lowest to 1 highest.

    Ties share the mean of their places; one alone is in the middle.

    Examples
    --------
    >>> ranks_within(np.array([5.0, 9.0, 5.0, 1.0]), np.array([0, 3, 4])).tolist()
    [0.25, 1.0, 0.25, 0.5]
    """
    if not len(values):
        return np.zeros(0)
    size = np.diff(start)
    choice = np.repeat(np.arange(len(size)), size)
    # Rounded, so that the same ties come of float32 and float64 arithmetic.
    near = np.round(values, 4)
    order = np.lexsort((near, choice))
    new_tie = np.ones(len(order), dtype=bool)
    new_tie[1:] = np.diff(near[order]) != 0
    new_tie[1:] |= np.diff(choice[order]) != 0
    first = np.flatnonzero(new_tie)
    middle = first + (np.diff(np.append(first, len(order))) - 1) / 2
    place = np.empty(len(values))
    place[order] = middle[np.cumsum(new_tie) - 1] - start[choice[order]]
    result: Floats = np.where(size[choice] > 1, place / np.maximum(size - 1, 1)[choice], 0.5)
    return result


def with_ranks(features: Mapping[str, Floats], start: Ints) -> dict[str, Floats]:
    """Return features and, of those in `RANKED_FEATURES`, the place within the choice."""
    return dict(features) | {
        f"place_{name}": ranks_within(features[name], start) for name in RANKED_FEATURES
    }


def curve_parts(curves: Mapping[str, Floats], features: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return what each feature adds to the score, shape (n_candidates,) each."""
    return {name: np.interp(features[name], *curve) for name, curve in curves.items()}


def _met(reader: UserState | None, known: Ints) -> Floats:
    """Return `USER_FEATURES` of candidates, shape (n_features, n_candidates)."""
    found = np.zeros((len(USER_FEATURES), len(known)))
    if reader is not None and len(reader.exposed):
        place = np.minimum(np.searchsorted(reader.exposed, known), len(reader.exposed) - 1)
        has = reader.exposed[place] == known
        found[:, has] = reader.exposure_counts[:, place[has]]
    return found


def given_features(
    model: RankModel,
    live: LiveModel,
    reader: UserState | None,
    context: int | None,
    known: Ints,
    now_ms: int,
) -> dict[str, Floats]:
    """Return every feature of candidates in one choice, as a run knows them.

    Parameters
    ----------
    model, live, reader, context, known
        As of `personal_features`.
    now_ms
        Of the request.
    """
    here = known >= 0
    row = np.maximum(known, 0)
    features = personal_features(model, live, reader, context, known)
    for name, values in model.article_features.items():
        # Of an article the run does not know only that: it was never seen.
        features[name] = np.where(here, values[row], float(name == "unseen"))
    features |= dict(zip(USER_FEATURES, _met(reader, known), strict=True))
    written = np.where(here, model.written_ms[row], UNKNOWN_TIME)
    context_written = UNKNOWN_TIME if context is None else int(model.written_ms[context])
    itself = here & (known == (-2 if context is None else context))
    features |= clock_features(written, now_ms, context_written, itself)
    return with_ranks(features, np.array([0, len(known)]))


def rank_parts(
    model: RankModel,
    live: LiveModel,
    reader: UserState | None,
    context: int | None,
    known: Ints,
    now_ms: int,
) -> dict[str, Floats]:
    """Return the parts of candidates' scores; parameters as of `given_features`.

    Where no curves were learned, the parts are those of `recsys.blend.linear.score`, 0 for an
    article that is not live.
    """
    if model.curves:
        features = given_features(model, live, reader, context, known, now_ms)
        return curve_parts(model.curves, features)
    place = live.live_index_of(known)
    return {
        name: np.where(place >= 0, part[place], 0.0)
        for name, part in score(live, reader, context).items()
        if len(part)
    }


def after_reads(reader: UserState, known: Ints) -> UserState:
    """Return a reader whose counts say that some articles (known indices) were read just now."""
    exposed = np.union1d(reader.exposed, known)
    counts = np.zeros((len(USER_FEATURES), len(exposed)), dtype=np.float32)
    counts[:, np.searchsorted(exposed, reader.exposed)] = reader.exposure_counts
    of_reads = np.flatnonzero([name.startswith("read_") for name in USER_FEATURES])
    counts[np.ix_(of_reads, np.searchsorted(exposed, known))] = np.log(2.0)  # one read, just now
    return dataclasses.replace(reader, exposed=exposed, exposure_counts=counts)
