"""Judge the order of the candidates of impressions, by their scores and which were clicked.

`mind_*` metrics have the definitions of MIND's official script, for numbers comparable with the
literature; without ties they equal it. The script sorts by `numpy.argsort`, whose default sort is
not stable, so that its order of tied candidates depends on numpy and on the processor. Here the
last listed of tied candidates comes first, as if the script sorted stably.
`fair_*` metrics are the expectation over all orders of tied candidates, so that a constant score
gains nothing. An impression in which all or no candidates were
clicked has no order to judge; its value is NaN, and callers leave it out and report how many there
are.

The candidates of all impressions are in one array: those of impression i are
`start[i]:start[i + 1]`.

References
----------
Wu et al., "MIND: A Large-scale Dataset for News Recommendation", ACL 2020 (script:
msnews.github.io). Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR
techniques", TOIS 20(4), 2002. McSherry, Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores", ECIR 2008.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.metrics.discounted_gain import Floats, Ints, ideal_dcg


@dataclass(frozen=True, slots=True)
class Judged:
    """Impressions whose candidates are sorted by score, once for all metrics.

    Attributes
    ----------
    n, n_clicked : array of int64, shape (n_impressions,)
        Number of candidates, and number of clicked ones.
    impression : array of int64, shape (n_candidates,)
        Impression of each candidate; within an impression the best candidate comes first.
    clicked : array of bool, shape (n_candidates,)
        Whether each candidate was clicked.
    tie_first : array of int64, shape (n_candidates,)
        0-based position, within the impression, of the first candidate with the same score.
    tie_size : array of int64, shape (n_candidates,)
        Number of candidates of the impression with the same score.
    rank : array of int64, shape (n_candidates,)
        1-based; of tied candidates the last listed one comes first.
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
        """Whether each impression has both clicked and unclicked candidates."""
        both: NDArray[np.bool_] = (self.n_clicked > 0) & (self.n_clicked < self.n)
        return both


def judge(scores: Floats, clicked: NDArray[np.bool_], start: Ints) -> Judged:
    """Sort the candidates of impressions by score, for the metrics below.

    Parameters
    ----------
    scores : array of float, shape (n_candidates,)
        Higher is better; must be finite.
    clicked : array of bool, shape (n_candidates,)
        Whether each candidate was clicked.
    start : array of int, shape (n_impressions + 1,)
        Index of the first candidate of each impression, and the number of candidates.

    Raises
    ------
    ValueError
        If a score is not finite, or the lengths differ.
    """
    if not len(scores) == len(clicked) == start[-1]:
        raise ValueError(f"{len(scores)} scores, {len(clicked)} clicks, {start[-1]} candidates")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be finite, candidate {np.argmin(np.isfinite(scores))} is not"
        )
    n = np.diff(start)
    impression = np.repeat(np.arange(len(n)), n)
    index = np.arange(len(scores))
    order = np.lexsort((-index, -scores, impression))
    begins_tie = _begins_tie(scores[order], impression)
    tie = np.cumsum(begins_tie) - 1
    tie_start = np.flatnonzero(begins_tie)
    tie_size = np.diff(np.append(tie_start, len(order)))
    tie_first = tie_start - start[:-1][impression[tie_start]]
    n_clicked = np.bincount(impression, weights=clicked, minlength=len(n)).astype(np.int64)
    return Judged(
        n=n,
        n_clicked=n_clicked,
        impression=impression,
        clicked=clicked[order],
        tie_first=tie_first[tie],
        tie_size=tie_size[tie],
        rank=index - start[:-1][impression] + 1,
    )


def _begins_tie(scores: Floats, impression: Ints) -> NDArray[np.bool_]:
    """Mark sorted candidates that differ from the previous one in score or impression."""
    begins = np.ones(len(scores), dtype=bool)
    begins[1:] = (scores[1:] != scores[:-1]) | (impression[1:] != impression[:-1])
    return begins


def _per_impression(judged: Judged, values: Floats, divisor: Floats | Ints) -> Floats:
    """Return the sum of the candidates' values / `divisor`; NaN where not judgeable."""
    total = np.bincount(judged.impression, weights=values, minlength=len(judged.n))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(judged.judgeable, total / divisor, np.nan)


def auc(judged: Judged) -> Floats:
    """Return the chance that a clicked candidate scores above an unclicked one; ties count .5.

    Notes
    -----
    Mann-Whitney: (sum of the midranks of clicked candidates - p (p + 1) / 2) / (p q), with midranks
    counted from the worst candidate, p clicked and q unclicked candidates. This is scikit-learn's
    roc_auc_score, and so MIND's AUC; it treats ties fairly already.
    """
    n = judged.n[judged.impression]
    midrank = n - judged.tie_first - (judged.tie_size - 1) / 2
    n_clicked = judged.n_clicked
    total = np.bincount(
        judged.impression, weights=midrank * judged.clicked, minlength=len(judged.n)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (total - n_clicked * (n_clicked + 1) / 2) / (n_clicked * (judged.n - n_clicked))
    return np.where(judged.judgeable, value, np.nan)


def weighted_auc(scores: Floats, clicked: NDArray[np.bool_], start: Ints, weight: Floats) -> Floats:
    """Return the AUC with weighted candidates; ties count .5. If all weights are 1, it is `auc`.

    Parameters
    ----------
    scores, clicked, start
        See `judge`.
    weight : array of float64, shape (n_candidates,)
        Positive, for example the inverse of the probability that the candidate was shown.

    Returns
    -------
    array of float64, shape (n_impressions,)
        NaN for an impression in which all or no candidates were clicked.

    Notes
    -----
    sum over pairs of a clicked i and an unclicked j of w_i w_j [s_i > s_j], over the sum of
    w_i w_j. Average it over impressions, weighted by the weight of their clicks. With inverse
    propensities as weights, this is the self-normalised estimate of the AUC that a click would have
    had if everything had been shown and looked at.
    """
    n_impressions = len(start) - 1
    impression = np.repeat(np.arange(n_impressions), np.diff(start))
    order = np.lexsort((scores, impression))  # within an impression the worst candidate comes first
    clicked_weight = np.where(clicked[order], weight[order], 0.0)
    unclicked_weight = np.where(clicked[order], 0.0, weight[order])
    begins_tie = _begins_tie(scores[order], impression)
    tie = np.cumsum(begins_tie) - 1
    tie_start = np.flatnonzero(begins_tie)
    tie_end = np.append(tie_start[1:], len(order))
    unclicked_before = np.concatenate(([0.0], np.cumsum(unclicked_weight)))
    before_impression = unclicked_before[start[:-1]][impression]
    below = unclicked_before[tie_start][tie] - before_impression
    tied = (unclicked_before[tie_end] - unclicked_before[tie_start])[tie]
    won = below + tied / 2

    def per_impression(values: Floats) -> Floats:
        return np.bincount(impression, weights=values, minlength=n_impressions).astype(np.float64)

    total_clicked, total_unclicked = (
        per_impression(clicked_weight),
        per_impression(unclicked_weight),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        value = per_impression(clicked_weight * won) / (total_clicked * total_unclicked)
    return np.where((total_clicked > 0) & (total_unclicked > 0), value, np.nan)


def mind_mrr(judged: Judged) -> Floats:
    """Return the mean of 1 / rank over *all* clicked candidates, not only the first."""
    return _per_impression(judged, judged.clicked / judged.rank, judged.n_clicked)


def fair_mrr(judged: Judged) -> Floats:
    """Return the expectation of `mind_mrr` over all orders of tied candidates."""
    return _expected(judged, lambda rank: 1.0 / rank, judged.n_clicked)


def mind_ndcg_at_k(judged: Judged, k: int) -> Floats:
    """Return DCG / ideal DCG at k, with gain 1 (2^1 - 1) and discount log2(rank + 1)."""
    gain = np.where(judged.rank <= k, judged.clicked / np.log2(judged.rank + 1.0), 0.0)
    return _per_impression(judged, gain, ideal_dcg(judged.n_clicked, k))


def fair_ndcg_at_k(judged: Judged, k: int) -> Floats:
    """Return the expectation of `mind_ndcg_at_k` over all orders of tied candidates."""
    return _expected(
        judged,
        lambda rank: np.where(rank <= k, 1.0 / np.log2(rank + 1.0), 0.0),
        ideal_dcg(judged.n_clicked, k),
    )


def _expected(
    judged: Judged, gain_of_rank: Callable[[Floats], Floats], divisor: Floats | Ints
) -> Floats:
    """Return the sum of the clicks' gains / `divisor`, each gain averaged over its tie's ranks."""
    n_ranks = int(judged.n.max(initial=0))
    cumulated = np.concatenate(([0.0], np.cumsum(gain_of_rank(np.arange(1.0, n_ranks + 1)))))
    first, size = judged.tie_first, judged.tie_size
    mean_gain = (cumulated[first + size] - cumulated[first]) / np.maximum(size, 1)
    return _per_impression(judged, mean_gain * judged.clicked, divisor)
