"""Metrics, one value an impression or a list; NaN where a metric is not defined.

An impression is judged by its candidates' scores and which of them were clicked. Ties
are settled two ways: `mind_*` as MIND's official script settles them, for comparable
numbers, and `fair_*` as the expectation over all orders of the tied, which no constant
score can game. Impressions of a single class (all or nothing clicked) have no ranking
to judge and are NaN; callers leave them out and say how many.

Candidates of all impressions lie end to end: impression i is `start[i]:start[i + 1]`.

References
----------
Wu et al., "MIND: A Large-scale Dataset for News Recommendation", ACL 2020 (script:
msnews.github.io). Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR
techniques", TOIS 20(4), 2002. McSherry, Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores", ECIR 2008.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Scored impressions, sorted once for all metrics.

    Attributes
    ----------
    n, n_clicked : array of int64, shape (n_impressions,)
        Candidates, and clicked ones.
    impression, clicked : array, shape (n_candidates,)
        Of each candidate, best first within its impression.
    tie_first, tie_size : array of int64, shape (n_candidates,)
        0-based place of the first of those with the same score, and their number.
    rank : array of int64, shape (n_candidates,)
        1-based; among ties the last listed comes first, as in MIND's script.
    """

    n: Ints
    n_clicked: Ints
    impression: Ints
    clicked: NDArray[np.bool_]
    tie_first: Ints
    tie_size: Ints
    rank: Ints

    @property
    def judgeable(self) -> NDArray[np.bool_]:
        """Return which impressions have both clicked and unclicked candidates."""
        both: NDArray[np.bool_] = (self.n_clicked > 0) & (self.n_clicked < self.n)
        return both


def judge(scores: Floats, clicked: NDArray[np.bool_], start: Ints) -> Judged:
    """Return impressions ready for the metrics.

    Parameters
    ----------
    scores : array of float, shape (n_candidates,)
        Higher is better; must be finite.
    clicked : array of bool, shape (n_candidates,)
        Whether each was clicked.
    start : array of int, shape (n_impressions + 1,)
        Where each impression begins.

    Raises
    ------
    ValueError
        If a score is not finite, or the lengths disagree.
    """
    if not len(scores) == len(clicked) == start[-1]:
        raise ValueError(f"{len(scores)} scores, {len(clicked)} clicks, {start[-1]} candidates")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be finite, candidate {np.argmin(np.isfinite(scores))} is not"
        )
    n = np.diff(start)
    impression = np.repeat(np.arange(len(n)), n)
    place = np.arange(len(scores))
    order = np.lexsort((-place, -scores, impression))
    sorted_scores = scores[order]
    new_tie = _begins_tie(sorted_scores, impression)
    tie = np.cumsum(new_tie) - 1
    tie_start = np.flatnonzero(new_tie)
    tie_size = np.diff(np.append(tie_start, len(order)))
    hits = np.bincount(impression, weights=clicked, minlength=len(n)).astype(np.int64)
    return Judged(
        n=n,
        n_clicked=hits,
        impression=impression,
        clicked=clicked[order],
        tie_first=(tie_start - start[:-1][impression[tie_start]])[tie] if len(order) else tie,
        tie_size=tie_size[tie] if len(order) else tie,
        rank=place - start[:-1][impression] + 1,
    )


def _begins_tie(scores: Floats, impression: Ints) -> NDArray[np.bool_]:
    """Return which sorted candidates differ from the one before in score or impression."""
    begins = np.ones(len(scores), dtype=bool)
    begins[1:] = (scores[1:] != scores[:-1]) | (impression[1:] != impression[:-1])
    return begins


def _per_impression(judged: Judged, values: Floats, divisor: Floats | Ints) -> Floats:
    """Return the sum of candidates' values over `divisor`; NaN where not judgeable."""
    total = np.bincount(judged.impression, weights=values, minlength=len(judged.n))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(judged.judgeable, total / divisor, np.nan)


def auc(judged: Judged) -> Floats:
    """Return the chance that a clicked candidate is above an unclicked one; ties .5.

    Notes
    -----
    Mann-Whitney: (sum of the clicked's midranks from below - p (p + 1) / 2) / (p q).
    The same as scikit-learn's roc_auc_score, so MIND's and tie-fair AUC are one.
    """
    n = judged.n[judged.impression]
    midrank = n - judged.tie_first - (judged.tie_size - 1) / 2
    hits = judged.n_clicked
    total = np.bincount(
        judged.impression, weights=midrank * judged.clicked, minlength=len(judged.n)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (total - hits * (hits + 1) / 2) / (hits * (judged.n - hits))
    return np.where(judged.judgeable, value, np.nan)


def weighted_auc(scores: Floats, clicked: NDArray[np.bool_], start: Ints, weight: Floats) -> Floats:
    """Return the AUC with each candidate counted by a weight; ties .5; `auc` where all are 1.

    Parameters
    ----------
    scores, clicked, start
        As of `judge`.
    weight : array of float64, shape (n_candidates,)
        Above 0, such as the inverse of the chance that the candidate was shown.

    Notes
    -----
    sum over pairs of a clicked i and an unclicked j of w_i w_j [s_i > s_j], over the sum of
    w_i w_j. Average it over impressions by the weight of their clicks: with inverse
    propensities, the self-normalised estimate of the AUC a click would have had, had
    everything been shown and looked at.
    """
    group = np.repeat(np.arange(len(start) - 1), np.diff(start))
    order = np.lexsort((scores, group))
    g, s, hit = group[order], scores[order], clicked[order]
    plus, minus = np.where(hit, weight[order], 0.0), np.where(hit, 0.0, weight[order])
    new_tie = _begins_tie(s, g)
    tie = np.cumsum(new_tie) - 1
    below = np.concatenate(([0.0], np.cumsum(minus)))
    first = np.flatnonzero(new_tie)
    last = np.append(first[1:], len(order))
    before_group = below[start[:-1]][g]
    won = (below[first][tie] - before_group) + (below[last] - below[first])[tie] / 2
    n = len(start) - 1
    total_plus, total_minus = (np.bincount(g, weights=w, minlength=n) for w in (plus, minus))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.bincount(g, weights=plus * won, minlength=n) / (total_plus * total_minus)
    return np.where((total_plus > 0) & (total_minus > 0), value, np.nan)


def mind_mrr(judged: Judged) -> Floats:
    """Return the mean over *all* clicked candidates of 1 / rank (not the first hit's)."""
    return _per_impression(judged, judged.clicked / judged.rank, judged.n_clicked)


def fair_mrr(judged: Judged) -> Floats:
    """Return the expectation of `mind_mrr` over all orders of tied candidates."""
    return _expected(judged, lambda rank: 1.0 / rank, judged.n_clicked)


def mind_ndcg_at_k(judged: Judged, k: int) -> Floats:
    """Return DCG / ideal DCG at k, gain 1 (2^1 - 1) and discount log2(rank + 1)."""
    gain = np.where(judged.rank <= k, judged.clicked / np.log2(judged.rank + 1.0), 0.0)
    return _per_impression(judged, gain, _ideal_dcg(judged.n_clicked, k))


def fair_ndcg_at_k(judged: Judged, k: int) -> Floats:
    """Return the expectation of `mind_ndcg_at_k` over all orders of tied candidates."""
    return _expected(
        judged,
        lambda rank: np.where(rank <= k, 1.0 / np.log2(rank + 1.0), 0.0),
        _ideal_dcg(judged.n_clicked, k),
    )


def _ideal_dcg(n_clicked: Ints, k: int) -> Floats:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    gains = 1.0 / np.log2(np.arange(1, k + 1) + 1.0)
    cumulated = np.concatenate(([0.0], np.cumsum(gains)))
    ideal: Floats = cumulated[np.minimum(n_clicked, k)]
    return ideal


def _expected(
    judged: Judged, gain_of_rank: Callable[[Floats], Floats], divisor: Floats | Ints
) -> Floats:
    """Return per impression the sum of each click's gain, averaged over its tie's places."""
    longest = int(judged.n.max(initial=0))
    gains = np.concatenate(([0.0], np.cumsum(gain_of_rank(np.arange(1.0, longest + 1)))))
    first, size = judged.tie_first, judged.tie_size
    mean_gain = (gains[first + size] - gains[first]) / np.maximum(size, 1)
    return _per_impression(judged, mean_gain * judged.clicked, divisor)


# ---- lists --------------------------------------------------------------------------


def hits_of(lists: NDArray[np.int64], relevant: Sequence[set[int]]) -> NDArray[np.bool_]:
    """Return which entries of lists are relevant, shape of `lists`; -1 (no entry) never is."""
    hits = np.zeros(lists.shape, dtype=bool)
    for row, wanted in enumerate(relevant):
        hits[row] = [place in wanted for place in lists[row].tolist()]
    return hits & (lists >= 0)


def hit_rate_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return 1 for each list with a relevant article among its first k, else 0."""
    return np.where(n_relevant > 0, hits[:, :k].any(axis=1), np.nan)


def precision_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return relevant among the first k / k, also where fewer than k are relevant."""
    return np.where(n_relevant > 0, hits[:, :k].sum(axis=1) / k, np.nan)


def recall_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return relevant among the first k / all relevant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n_relevant > 0, hits[:, :k].sum(axis=1) / n_relevant, np.nan)


def map_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return average precision at k, divided by min(k, relevant) so that 1 is reachable."""
    top = hits[:, :k]
    precision = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (precision * top).sum(axis=1) / np.minimum(n_relevant, k)
    return np.where(n_relevant > 0, value, np.nan)


def ndcg_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return nDCG of lists with gain 1 a relevant article; in 0..1."""
    top = hits[:, :k]
    gained = dcg(top)
    ideal = _ideal_dcg(n_relevant, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n_relevant > 0, gained / ideal, np.nan)


def dcg(gains: NDArray[Any]) -> Floats:
    """Return the sum over ranks (the last axis) of gain / log2(rank + 1)."""
    total: Floats = (gains / np.log2(np.arange(gains.shape[-1]) + 2.0)).sum(axis=-1)
    return total


def gain_ndcg_at_k(lists: NDArray[np.int64], gains: Floats, ideal: Floats, k: int) -> Floats:
    """Return the discounted gain of lists against the best possible one.

    Parameters
    ----------
    lists : array of int, shape (n_lists, n_slots)
        Articles, -1 for no entry.
    gains : array of float64, shape (n_articles,)
        What each article was worth; not negative.
    ideal : array of float64, shape (n_lists,)
        DCG of the best list; NaN comes of 0.

    Notes
    -----
    sum of gain / log2(rank + 1) over the first k, over the same of the best k.

    References
    ----------
    Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
    Transactions on Information Systems 20(4), 2002.
    """
    first = lists[:, :k]
    worth = np.where(first >= 0, gains[np.maximum(first, 0)], 0.0) if gains.size else first * 0.0
    return np.where(ideal > 0, dcg(worth) / np.where(ideal > 0, ideal, 1.0), np.nan)


def exposure(lists: NDArray[np.int64], n_articles: int) -> Ints:
    """Return how often each article stands in a list."""
    return np.bincount(lists[lists >= 0], minlength=n_articles)


def catalog_coverage(shown: Ints) -> float:
    """Return the share of articles that stand in any list; 0.0 of none."""
    return float((shown > 0).mean()) if len(shown) else 0.0


def gini(shown: Ints) -> float:
    """Return the Gini coefficient of exposure: 0 all alike, towards 1 one takes all.

    Notes
    -----
    sum over articles in ascending order of (2 i - n - 1) x_i / (n sum x).
    """
    total = shown.sum()
    if not total:
        return 0.0
    n = len(shown)
    ordered = np.sort(shown)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * total))


def novelty(lists: NDArray[np.int64], share: Floats) -> Floats:
    """Return the mean self-information of each list's articles, in bits.

    Parameters
    ----------
    lists : array of int, shape (n_lists, n)
        Places of articles, -1 for no entry.
    share : array, shape (n_articles,)
        Share of readers who clicked each, above 0 (smoothed by the caller).

    References
    ----------
    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender
    systems", PNAS 107(10), 2010: -log2 of the chance that a random reader knows it.
    """
    if not (share > 0).all():
        raise ValueError("share must be above 0 for every article")
    bits = np.where(lists >= 0, -np.log2(share)[np.maximum(lists, 0)], 0.0)
    count = (lists >= 0).sum(axis=1)
    return np.where(count > 0, bits.sum(axis=1) / np.maximum(count, 1), np.nan)


def intra_list_similarity(lists: NDArray[np.int64], vectors: csr_matrix) -> Floats:
    """Return the mean cosine of pairs within each list; NaN for fewer than two.

    Parameters
    ----------
    lists : array of int, shape (n_lists, n)
        Places of articles, -1 for no entry.
    vectors : csr_matrix, shape (n_articles, n_terms)
        Unit-length vectors.

    References
    ----------
    Ziegler et al., "Improving recommendation lists through topic diversification",
    WWW 2005 (there a sum; the mean compares lists of unequal length).
    """
    values = np.full(len(lists), np.nan)
    for row, places in enumerate(lists):
        found = vectors[places[places >= 0]]
        n = found.shape[0]
        if n > 1:
            cosine = (found @ found.T).toarray()
            values[row] = (cosine.sum() - np.trace(cosine)) / (n * (n - 1))
    return values


def redundancy(pages: Sequence[Sequence[Sequence[int]]], story: Ints) -> float:
    """Return the share of slots whose story already stood on their page; 0.0 is the aim."""
    slots = repeats = 0
    for page in pages:
        stories = [int(story[place]) for places in page for place in places]
        slots += len(stories)
        repeats += len(stories) - len(set(stories))
    return repeats / slots if slots else 0.0


# ---- intervals ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: Floats,
    cluster: Ints,
    *,
    weight: Floats | None = None,
    n_resamples: int = 1000,
    random_state: int = 42,
) -> Interval:
    """Return the mean of values and its 95 % bootstrap interval, resampling clusters.

    Parameters
    ----------
    values : array of float
        NaN is left out. For a paired comparison, the differences of two systems.
    cluster : array of int
        The reader of each value: a reader's impressions are not independent.
    weight : array of float
        Of each value in the mean; by default all alike.

    References
    ----------
    Field, Welsh, "Bootstrapping clustered data", JRSS B 69(3), 2007; percentile method.
    """
    kept = ~np.isnan(values)
    if not kept.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    _, place = np.unique(cluster[kept], return_inverse=True)
    counted = np.ones(int(kept.sum())) if weight is None else weight[kept]
    sums = np.bincount(place, weights=values[kept] * counted)
    counts = np.bincount(place, weights=counted)
    rng = np.random.default_rng(random_state)
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n_resamples)
    means = (times @ sums) / (times @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))
