"""Scored impressions and lists into one report: means with intervals, beside baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.evaluation.backtest import PAGES, FullList, InView
from recsys.learn.regimes import DAY_MS, Protocol
from recsys.metrics import Interval, bootstrap
from recsys.rows import iso

Floats = NDArray[np.float64]

IN_VIEW: dict[str, Callable[[metrics.Judged], Floats]] = {
    "auc": metrics.auc,
    "mrr": metrics.mind_mrr,
    "ndcg@5": lambda judged: metrics.mind_ndcg_at_k(judged, 5),
    "ndcg@10": lambda judged: metrics.mind_ndcg_at_k(judged, 10),
    "fair_mrr": metrics.fair_mrr,
    "fair_ndcg@10": lambda judged: metrics.fair_ndcg_at_k(judged, 10),
}
OF_LISTS: dict[str, Callable[[NDArray[np.bool_], NDArray[np.int64]], Floats]] = {
    "hit@5": lambda hits, n: metrics.hit_rate_at_k(hits, n, 5),
    "hit@10": lambda hits, n: metrics.hit_rate_at_k(hits, n, 10),
    "precision@5": lambda hits, n: metrics.precision_at_k(hits, n, 5),
    "recall@10": lambda hits, n: metrics.recall_at_k(hits, n, 10),
    "map@10": lambda hits, n: metrics.map_at_k(hits, n, 10),
    "ndcg@10": lambda hits, n: metrics.ndcg_at_k(hits, n, 10),
}
BASELINE = "popularity"
READS = (("cold", 0, 0), ("1-9 reads", 1, 9), ("10-49 reads", 10, 49), ("50+ reads", 50, 10**9))
SECTIONS = 8  # the most clicked ones
BINS = 10


@dataclass(frozen=True, slots=True)
class InViewReport:
    """Of what was shown.

    Attributes
    ----------
    n_impressions, n_single_class, n_users
        Impressions judged, those left out because all or none was clicked, readers judged.
    popularity
        Which half-life the popularity baseline has: the best on this very test.
    systems
        By system, by metric; "auc, unbiased" only where the log tells positions or draws.
    against_baseline
        By system: AUC less that of popularity on the same impressions (paired).
    strata
        By kind of stratum (reader, article, section, day), stratum, system: AUC.
    counts
        Impressions of each stratum, by kind.
    calibration
        By bin of the blend's predicted share of clicks: candidates, mean predicted, real.
    contributions
        By feature: how much its part varies within an impression (standard deviation).
    heads
        How the blend was learned, by night.
    """

    n_impressions: int
    n_single_class: int
    n_users: int
    popularity: str
    systems: dict[str, dict[str, Interval]]
    against_baseline: dict[str, Interval]
    strata: dict[str, dict[str, dict[str, Interval]]]
    counts: dict[str, dict[str, int]]
    calibration: list[tuple[int, float, float]]
    contributions: dict[str, float]
    heads: dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class FullListReport:
    """Of lists from all live articles.

    Attributes
    ----------
    n_lists, n_users
        Lists, and readers they are of.
    systems
        By system, by metric.
    strata
        By stratum of readers, by system: hit@5.
    pages
        Of whole pages by way of composing: `redundancy`, the share of slots whose story
        stood there already, `coverage` and `gini`.
    cold_users
        Share of readers the model knew nothing of.
    purposes
        By list with a purpose of its own, nDCG@5 of what articles in it turned out to be
        worth to that purpose (`recsys.evaluation.backtest.GAINS`): the list, the same by other
        ways of composing, and baselines.
    """

    n_lists: int
    n_users: int
    systems: dict[str, dict[str, Interval]]
    strata: dict[str, dict[str, Interval]]
    pages: dict[str, dict[str, float]]
    cold_users: float
    purposes: dict[str, dict[str, Interval]]


def in_view_report(seen: InView) -> InViewReport:
    """Return the report of impressions."""
    systems: dict[str, dict[str, Interval]] = {}
    aucs: dict[str, Floats] = {}
    judgeable = np.zeros(0, dtype=bool)
    is_weighted = bool((seen.weight != 1.0).any())
    group = np.repeat(np.arange(len(seen.user_key)), np.diff(seen.start))
    clicks: Floats = np.bincount(
        group, weights=seen.weight * seen.clicked, minlength=len(seen.user_key)
    ).astype(np.float64)
    for name, scores in seen.scores.items():
        judged = metrics.judge(scores, seen.clicked, seen.start)
        judgeable = judged.judgeable
        aucs[name] = metrics.auc(judged)
        systems[name] = {
            metric: bootstrap(compute(judged), seen.user_key) for metric, compute in IN_VIEW.items()
        }
        if is_weighted:
            unbiased = metrics.weighted_auc(scores, seen.clicked, seen.start, seen.weight)
            systems[name]["auc, unbiased"] = bootstrap(unbiased, seen.user_key, weight=clicks)
    strata = _strata(seen, judgeable)
    return InViewReport(
        n_impressions=int(judgeable.sum()),
        n_single_class=int((~judgeable).sum()),
        n_users=len(np.unique(seen.user_key[judgeable])),
        popularity=seen.popularity,
        systems=systems,
        against_baseline={
            name: bootstrap(values - aucs[BASELINE], seen.user_key)
            for name, values in aucs.items()
            if name != BASELINE
        },
        strata={
            kind: {
                title: {
                    name: bootstrap(values[inside], seen.user_key[inside])
                    for name, values in aucs.items()
                }
                for title, inside in groups.items()
            }
            for kind, groups in strata.items()
        },
        counts={
            kind: {title: int(inside.sum()) for title, inside in groups.items()}
            for kind, groups in strata.items()
        },
        calibration=calibration(seen.scores["blend"], seen.clicked, seen.start),
        contributions=contributions(seen.parts, seen.start),
        heads={
            night: {name: asdict(report) for name, report in reports.items()}
            for night, reports in seen.heads.items()
        },
    )


def _strata(seen: InView, judgeable: NDArray[np.bool_]) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Return the judgeable impressions of each stratum, by kind; empty strata left out."""
    day = seen.shown_ms // DAY_MS
    sections, n = np.unique(seen.section[judgeable], return_counts=True)
    most = sections[np.argsort(-n, kind="stable")][:SECTIONS]
    groups = {
        "reader": {
            title: (seen.n_reads >= least) & (seen.n_reads <= top) for title, least, top in READS
        },
        "article clicked": {"cold": seen.unseen, "warm": ~seen.unseen},
        "section clicked": {str(name): seen.section == name for name in most if name},
        "day": {iso(int(d) * DAY_MS)[:10]: day == d for d in np.unique(day)},
    }
    return {
        kind: {t: inside & judgeable for t, inside in found.items() if (inside & judgeable).any()}
        for kind, found in groups.items()
    }


def calibration(
    scores: Floats, clicked: NDArray[np.bool_], start: NDArray[np.int64]
) -> list[tuple[int, float, float]]:
    """Return by bin of predicted share: candidates, mean predicted and real share of clicks.

    The prediction is the softmax of the scores within an impression with one click or
    more; bins are of equal numbers of candidates.
    """
    if not len(scores):
        return []
    size = np.diff(start)
    group = np.repeat(np.arange(len(size)), size)
    peak = np.full(len(size), -np.inf)
    np.maximum.at(peak, group, scores)
    raw = np.exp(scores - peak[group])
    n_clicked = np.bincount(group, weights=clicked, minlength=len(size))
    share = raw / np.bincount(group, weights=raw, minlength=len(size))[group]
    share, real = share * np.minimum(n_clicked, 1)[group], clicked / np.maximum(n_clicked, 1)[group]
    order = np.argsort(share, kind="stable")
    return [
        (len(rows), float(share[rows].mean()), float(real[rows].mean()))
        for rows in np.array_split(order[n_clicked[group][order] > 0], BINS)
        if len(rows)
    ]


def contributions(parts: Mapping[str, Floats], start: NDArray[np.int64]) -> dict[str, float]:
    """Return how much each part varies within an impression, largest first."""
    size = np.diff(start)
    group = np.repeat(np.arange(len(size)), size)
    found = {}
    for name, part in parts.items():
        mean = np.bincount(group, weights=part, minlength=len(size)) / np.maximum(size, 1)
        found[name] = float(np.sqrt(np.mean((part - mean[group]) ** 2))) if len(part) else 0.0
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def full_list_report(lists: FullList) -> FullListReport:
    """Return the report of lists."""
    n_relevant = np.array([len(wanted) for wanted in lists.relevant], dtype=np.int64)
    hits = {name: metrics.hits_of(found, lists.relevant) for name, found in lists.lists.items()}
    strata = {
        title: {
            name: bootstrap(
                metrics.hit_rate_at_k(h[inside], n_relevant[inside], 5), lists.user_key[inside]
            )
            for name, h in hits.items()
        }
        for title, least, most in READS
        for inside in [(lists.n_reads >= least) & (lists.n_reads <= most)]
        if inside.any()
    }
    return FullListReport(
        n_lists=len(lists.relevant),
        n_users=len(np.unique(lists.user_key)),
        systems={
            name: _of_lists(found[:, :5], hits[name], n_relevant, lists)
            for name, found in lists.lists.items()
        },
        strata=strata,
        pages={name: page_metrics(pages, lists.story) for name, pages in lists.pages.items()},
        cold_users=float((lists.n_reads == 0).mean()) if len(lists.n_reads) else 0.0,
        purposes={name: _of_purpose(name, lists) for name in lists.gains},
    )


def page_metrics(
    pages: Sequence[Mapping[str, Sequence[int]]], story: NDArray[np.int64]
) -> dict[str, float]:
    """Return redundancy, coverage and Gini of whole pages."""
    whole = [list(page.values()) for page in pages]
    shown = np.bincount(
        np.array([p for page in whole for found in page for p in found], dtype=np.int64),
        minlength=len(story),
    )
    return {
        "redundancy": metrics.redundancy(whole, story),
        "coverage": metrics.catalog_coverage(shown),
        "gini": metrics.gini(shown),
    }


def _of_purpose(name: str, lists: FullList) -> dict[str, Interval]:
    """Return nDCG@5 of a list by what it is for, beside that of other lists."""
    gains, k = lists.gains[name], 5
    best = [
        np.sort(gains[begin:end])[::-1][:k] for begin, end in pairwise(lists.first_place.tolist())
    ]
    dcg = np.array([metrics.dcg(top) for top in best])
    ideal = dcg[lists.noon] if len(lists.noon) else np.zeros(0)
    systems = {f"{name}, {way}": [page[name] for page in lists.pages[way]] for way in PAGES}
    padded = {
        title: np.array([[*found, *[-1] * k][:k] for found in rows], dtype=np.int64).reshape(-1, k)
        for title, rows in systems.items()
    }
    padded |= {title: lists.lists[title] for title in ("popularity", "recency", "random")}
    return {
        title: bootstrap(metrics.gain_ndcg_at_k(found, gains, ideal, k), lists.user_key)
        for title, found in padded.items()
    }


def _of_lists(
    first: NDArray[np.int64],
    hits: NDArray[np.bool_],
    n_relevant: NDArray[np.int64],
    lists: FullList,
) -> dict[str, Interval]:
    values = {name: compute(hits, n_relevant) for name, compute in OF_LISTS.items()}
    values["novelty@5"] = metrics.novelty(first, lists.share)
    values["similarity@5"] = metrics.intra_list_similarity(first, lists.vectors)
    cold = np.where(first >= 0, lists.unseen[np.maximum(first, 0)], False) if first.size else first
    filled = (first >= 0).sum(axis=1)
    values["cold_articles@5"] = np.where(filled > 0, cold.sum(axis=1) / np.maximum(filled, 1), 0.0)
    result = {name: bootstrap(value, lists.user_key) for name, value in values.items()}
    shown = metrics.exposure(first, len(lists.share))
    for name, whole in (
        ("coverage@5", metrics.catalog_coverage(shown)),
        ("gini@5", metrics.gini(shown)),
    ):
        result[name] = Interval(whole, whole, whole)  # of the whole: no reader to resample
    return result


def as_json(
    protocol: Protocol,
    in_view: InViewReport,
    full: FullListReport,
    ablation: Mapping[str, Interval],
) -> dict[str, object]:
    """Return a report as plain values, NaN as None: what `recsys evaluate --json` writes."""
    found = {"protocol": protocol} | asdict(in_view)
    found["full_list"] = {name: dict(values) for name, values in full.systems.items()}
    found |= {
        "n_lists": full.n_lists,
        "full_list_users": full.n_users,
        "full_list_strata": full.strata,
        "pages": full.pages,
        "cold_users": full.cold_users,
        "purposes": full.purposes,
        "ablation": dict(ablation),
    }
    plain = _plain(found)
    return plain if isinstance(plain, dict) else {}


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if np.isfinite(value) else None
    return value


def paired_difference(better: InView, worse: InView) -> Interval:
    """Return the AUC the first blend has over the second on the same impressions."""
    aucs = [
        metrics.auc(metrics.judge(seen.scores["blend"], seen.clicked, seen.start))
        for seen in (better, worse)
    ]
    return bootstrap(aucs[0] - aucs[1], better.user_key)
