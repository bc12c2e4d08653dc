"""Report full lists and whole pages: metrics of each system with intervals, beside baselines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.evaluation.full_list import FullList
from recsys.evaluation.in_view_report import USER_STRATA
from recsys.evaluation.page_methods import FRONTIER, PAGE_METHODS, PAGE_TITLES
from recsys.evaluation.page_report import page_report
from recsys.evaluation.systems import compared, in_order
from recsys.metrics import Interval, bootstrap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METRICS: dict[str, Callable[[NDArray[np.bool_], Ints], Floats]] = {
    "hit@5": lambda hits, n: metrics.hit_rate_at_k(hits, n, 5),
    "hit@10": lambda hits, n: metrics.hit_rate_at_k(hits, n, 10),
    "precision@5": lambda hits, n: metrics.precision_at_k(hits, n, 5),
    "recall@10": lambda hits, n: metrics.recall_at_k(hits, n, 10),
    "map@10": lambda hits, n: metrics.map_at_k(hits, n, 10),
    "ndcg@10": lambda hits, n: metrics.ndcg_at_k(hits, n, 10),
}
K = 5  # the cut-off of what lists of a page are judged by
COMPARED = ("hit@5", "ndcg@10")  # the metrics whose differences between systems are reported


@dataclass(frozen=True, slots=True)
class FullListReport:
    """Metrics of each system on lists from all live articles, made at several moments.

    Intervals resample users and moments.

    Attributes
    ----------
    n_lists, n_users, n_moments
        The number of lists, of different users that they were made for, and of moments.
    systems
        By system and metric.
    differences
        By system (the blend and the caller's own), other system, and metric of `COMPARED`: the
        metric of the first less that of the second on the same lists (paired).
    n_scored
        By system of the caller: how many lists it made. Only these count for it.
    strata
        By stratum of users and system: hit@5.
    pages
        By method of filling a page: the metrics of `recsys.evaluation.page_report.page_report`;
        `hit@5`, `coverage@5` and `gini@5` of the personal list, if the layout has one; and
        "LIST: ndcg@5" by the gain of each list that has a purpose of its own.
    frontier
        The same by point of `recsys.evaluation.page_methods.FRONTIER`.
    cold_users
        Share of the lists whose user the run did not know.
    purposes
        By list that has a purpose of its own: nDCG@5 of the gains of its articles (see
        `recsys.page.list_table.ScorerRow`), as each method fills it, and of baselines.
    purpose_titles
        Title and gain of each of those lists, in words.
    """

    n_lists: int
    n_users: int
    n_moments: int
    systems: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, dict[str, Interval]]]
    n_scored: dict[str, int]
    strata: dict[str, dict[str, Interval]]
    pages: dict[str, dict[str, Interval]]
    frontier: dict[str, dict[str, Interval]]
    cold_users: float
    purposes: dict[str, dict[str, Interval]]
    purpose_titles: dict[str, str]


def full_list_report(full: FullList) -> FullListReport:
    """Return the report of full lists."""
    n_relevant = np.array([len(clicked) for clicked in full.relevant], dtype=np.int64)
    is_made: dict[str, NDArray[np.bool_]] = {
        name: np.any(full.lists[name] >= 0, axis=1) for name in full.own
    }
    lists_of = in_order(
        {
            name: lists
            for name, lists in full.lists.items()
            if name not in full.own or is_made[name].any()
        }
    )
    values_of = {
        name: _values_of(full, lists, n_relevant, is_made.get(name))
        for name, lists in lists_of.items()
    }
    strata = {
        title: {
            name: _interval(full, np.where(inside, values["hit@5"], np.nan))
            for name, values in values_of.items()
        }
        for title, least, most in USER_STRATA
        for inside in [(full.n_reads >= least) & (full.n_reads <= most)]
        if inside.any()
    }
    of_pages = {name: _of_pages(full, name, n_relevant) for name in full.pages}
    return FullListReport(
        n_lists=len(full.relevant),
        n_users=len(np.unique(full.user_key)),
        n_moments=len(np.unique(full.moment)),
        systems={
            name: _metrics_of(full, lists_of[name][:, :5], values)
            for name, values in values_of.items()
        },
        differences={
            name: {
                other: {
                    metric: _interval(full, values_of[name][metric] - values_of[other][metric])
                    for metric in COMPARED
                }
                for other in others
            }
            for name, others in compared(lists_of, full.own).items()
        },
        n_scored={name: int(made.sum()) for name, made in is_made.items()},
        strata=strata,
        pages={name: of_pages[name] for name in PAGE_TITLES if name in of_pages},
        frontier={name: of_pages[name] for name in FRONTIER if name in of_pages},
        cold_users=float((full.n_reads == 0).mean()) if len(full.n_reads) else 0.0,
        purposes={name: _gain_ndcg(full, name) for name in full.gains},
        purpose_titles=full.gain_titles,
    )


def _interval(full: FullList, values: Floats) -> Interval:
    """Return the mean of one value of each list, and its interval over users and moments."""
    return bootstrap(values, full.user_key, crossed=full.moment)


def _of_pages(full: FullList, method: str, n_relevant: Ints) -> dict[str, Interval]:
    """Return the metrics of whole pages, and those of their lists by themselves."""
    pages = full.pages[method]
    found = page_report(pages, full.relevant, full.story, full.user_key, full.moment)
    if full.personal:
        first = pages[full.personal][:, :K]
        hits = metrics.hits_of(first, full.relevant)
        found["hit@5"] = _interval(full, metrics.hit_rate_at_k(hits, n_relevant, K))
        found |= _exposure(full, first)
    for name in full.gains:
        found[f"{name}: ndcg@5"] = _interval(full, _gain_values(full, name, pages[name]))
    return found


def _gain_ndcg(full: FullList, name: str) -> dict[str, Interval]:
    """Return nDCG@5 of the gains of a list, as each method fills it, and of baselines."""
    lists = {title: full.lists[title] for title in ("random", "popularity", "recency")}
    lists |= {f"{name}, {method}": full.pages[method][name] for method in PAGE_METHODS}
    return {
        title: _interval(full, _gain_values(full, name, found)) for title, found in lists.items()
    }


def _gain_values(full: FullList, name: str, lists: Ints) -> Floats:
    """Return nDCG@5 of each list, by the gains of the list with this name."""
    gains = full.gains[name]
    best = [np.sort(gains[begin:end])[::-1][:K] for begin, end in pairwise(full.start.tolist())]
    ideal = np.array([metrics.dcg(found) for found in best])[full.moment]
    return metrics.gain_ndcg_at_k(lists, gains, ideal, K)


def _values_of(
    full: FullList, lists: Ints, n_relevant: Ints, is_made: NDArray[np.bool_] | None
) -> dict[str, Floats]:
    """Return the metrics of each list of one system, NaN for a list that it did not make.

    `is_made` is None for a system that made all lists.
    """
    hits, first = metrics.hits_of(lists, full.relevant), lists[:, :5]
    values = {name: compute(hits, n_relevant) for name, compute in METRICS.items()}
    values["novelty@5"] = metrics.novelty(first, full.read_share)
    values["similarity@5"] = metrics.intra_list_similarity(first, full.vectors)
    is_cold = first
    if first.size:
        is_cold = np.where(first >= 0, full.is_cold[np.maximum(first, 0)], False)
    n_filled = (first >= 0).sum(axis=1)
    share = np.where(n_filled > 0, is_cold.sum(axis=1) / np.maximum(n_filled, 1), 0.0)
    values["cold_articles@5"] = share
    if is_made is not None:
        values = {name: np.where(is_made, value, np.nan) for name, value in values.items()}
    return values


def _metrics_of(full: FullList, first: Ints, values: Mapping[str, Floats]) -> dict[str, Interval]:
    """Return the metrics of one system; `first` holds the first five entries of its lists."""
    return {name: _interval(full, value) for name, value in values.items()} | _exposure(full, first)


def _exposure(full: FullList, first: Ints) -> dict[str, Interval]:
    """Return what lists show of all articles; without an interval, for no mean over users."""
    shown = metrics.exposure(first, len(full.read_share))
    found = {"coverage@5": metrics.catalog_coverage(shown), "gini@5": metrics.gini(shown)}
    return {name: Interval(value, value, value) for name, value in found.items()}
