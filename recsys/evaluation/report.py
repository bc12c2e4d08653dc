"""Scored impressions and lists into one report: means with intervals, beside baselines."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation import metrics
from recsys.evaluation.backtest import FullList, InView
from recsys.evaluation.metrics import Interval, bootstrap
from recsys.evaluation.protocol import Protocol

IN_VIEW: dict[str, Callable[[metrics.Judged], NDArray[np.float64]]] = {
    "auc": metrics.auc,
    "mrr": metrics.mind_mrr,
    "ndcg@5": lambda judged: metrics.mind_ndcg_at_k(judged, 5),
    "ndcg@10": lambda judged: metrics.mind_ndcg_at_k(judged, 10),
    "fair_mrr": metrics.fair_mrr,
    "fair_ndcg@10": lambda judged: metrics.fair_ndcg_at_k(judged, 10),
}
BASELINE = "popularity"
STRATA = (("cold", 0, 0), ("1-9 reads", 1, 9), ("10-49 reads", 10, 49), ("50+ reads", 50, 10**9))


@dataclass(frozen=True, slots=True)
class Report:
    """What `recsys evaluate` prints and writes.

    Attributes
    ----------
    protocol
        What was known when.
    n_impressions, n_single_class, n_users
        Impressions judged, those left out because all or none was clicked, readers judged.
    systems
        By system, by metric, over impressions.
    against_baseline
        By system: AUC less that of popularity on the same impressions (paired).
    strata
        By stratum of readers, by system: AUC.
    n_lists
        Readers and noons of the full-list task.
    full_list
        By system, by metric.
    """

    protocol: Protocol
    n_impressions: int
    n_single_class: int
    n_users: int
    systems: dict[str, dict[str, Interval]]
    against_baseline: dict[str, Interval]
    strata: dict[str, dict[str, Interval]]
    n_lists: int
    full_list: dict[str, dict[str, Interval]]

    def as_json(self) -> dict[str, object]:
        """Return plain values, NaN as None."""
        plain = _plain(asdict(self))
        return plain if isinstance(plain, dict) else {}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 5) if np.isfinite(value) else None
    return value


def make_report(protocol: Protocol, seen: InView, lists: FullList) -> Report:
    """Return the report of both tasks."""
    systems: dict[str, dict[str, Interval]] = {}
    aucs: dict[str, NDArray[np.float64]] = {}
    judgeable = np.zeros(0, dtype=bool)
    for name, scores in seen.scores.items():
        judged = metrics.judge(scores, seen.clicked, seen.start)
        judgeable = judged.judgeable
        aucs[name] = metrics.auc(judged)
        systems[name] = {
            metric: bootstrap(compute(judged), seen.user_key) for metric, compute in IN_VIEW.items()
        }
    return Report(
        protocol=protocol,
        n_impressions=int(judgeable.sum()),
        n_single_class=int((~judgeable).sum()),
        n_users=len(np.unique(seen.user_key[judgeable])),
        systems=systems,
        against_baseline={
            name: bootstrap(values - aucs[BASELINE], seen.user_key)
            for name, values in aucs.items()
            if name != BASELINE
        },
        strata=_strata(seen, aucs),
        n_lists=len(lists.relevant),
        full_list={name: _of_lists(found, lists) for name, found in lists.lists.items()},
    )


def _strata(seen: InView, aucs: dict[str, NDArray[np.float64]]) -> dict[str, dict[str, Interval]]:
    strata = {}
    for title, least, most in STRATA:
        inside = (seen.n_reads >= least) & (seen.n_reads <= most)
        if inside.any():
            strata[title] = {
                name: bootstrap(values[inside], seen.user_key[inside])
                for name, values in aucs.items()
            }
    return strata


def _of_lists(found: NDArray[np.int64], lists: FullList) -> dict[str, Interval]:
    hits = metrics.hits_of(found, lists.relevant)
    n_relevant = np.array([len(wanted) for wanted in lists.relevant], dtype=np.int64)
    result = {
        "hit@5": bootstrap(metrics.hit_rate_at_k(hits, n_relevant, 5), lists.user_key),
        "hit@10": bootstrap(metrics.hit_rate_at_k(hits, n_relevant, 10), lists.user_key),
        "ndcg@10": bootstrap(metrics.ndcg_at_k(hits, n_relevant, 10), lists.user_key),
    }
    shown = metrics.exposure(found[:, :5], lists.n_live)
    for name, value in (
        ("coverage@5", metrics.catalog_coverage(shown)),
        ("gini@5", metrics.gini(shown)),
    ):
        result[name] = Interval(value, value, value)  # of the whole: no reader to resample
    return result
