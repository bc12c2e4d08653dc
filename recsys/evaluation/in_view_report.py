"""Report scored impressions: metrics of each system with intervals, beside baselines."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.evaluation.in_view import InView
from recsys.evaluation.systems import POPULARITY, compared, in_order
from recsys.learn.protocols import DAY_MS
from recsys.metrics import Interval, bootstrap
from recsys.rows import iso

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

METRICS: dict[str, Callable[[metrics.Judged], Floats]] = {
    "auc": metrics.auc,
    "mrr": metrics.mind_mrr,
    "ndcg@5": lambda judged: metrics.mind_ndcg_at_k(judged, 5),
    "ndcg@10": lambda judged: metrics.mind_ndcg_at_k(judged, 10),
    "fair_mrr": metrics.fair_mrr,
    "fair_ndcg@10": lambda judged: metrics.fair_ndcg_at_k(judged, 10),
}
COMPARED = ("auc", "ndcg@10")  # the metrics whose differences between systems are reported
# Strata of users: name, and least and most reads that the run knew of the user.
USER_STRATA = (
    ("cold", 0, 0),
    ("1-9 reads", 1, 9),
    ("10-49 reads", 10, 49),
    ("50+ reads", 50, 10**9),
)
N_SECTIONS = 8  # the most clicked ones have strata of their own
N_BINS = 10  # of the calibration


@dataclass(frozen=True, slots=True)
class InViewReport:
    """Metrics of each system on what was shown.

    Attributes
    ----------
    n_impressions
        Impressions judged.
    n_single_class
        Impressions left out because all or none of their candidates were clicked.
    n_users
        Users of the impressions judged.
    popularity
        The feature that is the popularity baseline: the one whose half-life did best on these
        very impressions.
    systems
        By system and metric; "auc, unbiased" only where the log has positions or propensities.
    against_baseline
        By system: its AUC less that of popularity on the same impressions (paired).
    differences
        By system (the blend and the caller's own), other system, and metric of `COMPARED`: the
        metric of the first less that of the second on the same impressions (paired).
    n_scored
        By system of the caller: how many of the impressions it scored in full. Only these count
        for it.
    strata
        By kind of stratum (user, article, section, day), stratum and system: AUC.
    counts
        Impressions of each stratum, by kind.
    calibration
        By bin of the blend's predicted share of clicks: number of candidates, mean predicted
        share, real share.
    contributions
        By feature: how much its part of the blend's score varies within an impression
        (standard deviation).
    heads
        How the heads were learned, by `as_of` of the run and by head.
    """

    n_impressions: int
    n_single_class: int
    n_users: int
    popularity: str
    systems: dict[str, dict[str, Interval]]
    against_baseline: dict[str, Interval]
    differences: dict[str, dict[str, dict[str, Interval]]]
    n_scored: dict[str, int]
    strata: dict[str, dict[str, dict[str, Interval]]]
    counts: dict[str, dict[str, int]]
    calibration: list[tuple[int, float, float]]
    contributions: dict[str, float]
    heads: dict[str, dict[str, dict[str, Any]]]


def in_view_report(scored: InView) -> InViewReport:
    """Return the report of scored impressions."""
    scores = in_order(scored.scores)
    is_scored = {name: _scored_in_full(values, scored.start) for name, values in scores.items()}
    judged = {
        name: metrics.judge(np.nan_to_num(values), scored.clicked, scored.start)
        for name, values in scores.items()
    }
    values_of = {
        name: {
            metric: np.where(is_scored[name], compute(found), np.nan)
            for metric, compute in METRICS.items()
        }
        for name, found in judged.items()
    }
    aucs = {name: values["auc"] for name, values in values_of.items()}
    judgeable = next((found.judgeable for found in judged.values()), np.zeros(0, dtype=bool))
    strata = _strata(scored, judgeable)
    return InViewReport(
        n_impressions=int(judgeable.sum()),
        n_single_class=int((~judgeable).sum()),
        n_users=len(np.unique(scored.user_key[judgeable])),
        popularity=scored.popularity,
        systems={
            name: _metrics_of(scored, name, values, is_scored[name])
            for name, values in values_of.items()
        },
        against_baseline={
            name: bootstrap(values - aucs[POPULARITY], scored.user_key)
            for name, values in aucs.items()
            if name != POPULARITY
        },
        differences={
            name: {
                other: {
                    metric: bootstrap(
                        values_of[name][metric] - values_of[other][metric], scored.user_key
                    )
                    for metric in COMPARED
                }
                for other in others
            }
            for name, others in compared(scores, scored.own).items()
        },
        n_scored={name: int((is_scored[name] & judgeable).sum()) for name in scored.own},
        strata={
            kind: {
                title: {
                    name: bootstrap(values[inside], scored.user_key[inside])
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
        calibration=calibration(scored.scores["blend"], scored.clicked, scored.start),
        contributions=contributions(scored.parts, scored.start),
        heads={
            as_of: {name: asdict(report) for name, report in reports.items()}
            for as_of, reports in scored.heads.items()
        },
    )


def _scored_in_full(scores: Floats, start: NDArray[np.int64]) -> Mask:
    """Return whether each impression has a score for all of its candidates."""
    n_missing = np.concatenate(([0], np.cumsum(np.isnan(scores))))
    complete: Mask = np.diff(n_missing[start]) == 0
    return complete


def _metrics_of(
    scored: InView, system: str, values: Mapping[str, Floats], is_scored: Mask
) -> dict[str, Interval]:
    """Return the metrics of one system; also an unbiased AUC if the impressions have weights."""
    users = scored.user_key
    result = {name: bootstrap(value, users) for name, value in values.items()}
    if (scored.weight != 1.0).any():
        impression = np.repeat(np.arange(len(users)), np.diff(scored.start))
        clicks = np.bincount(
            impression, weights=scored.weight * scored.clicked, minlength=len(users)
        ).astype(np.float64)
        unbiased = metrics.weighted_auc(
            np.nan_to_num(scored.scores[system]), scored.clicked, scored.start, scored.weight
        )
        unbiased = np.where(is_scored, unbiased, np.nan)
        result["auc, unbiased"] = bootstrap(unbiased, users, weight=clicks)
    return result


def _strata(scored: InView, judgeable: Mask) -> dict[str, dict[str, Mask]]:
    """Return the judgeable impressions of each stratum, by kind; empty strata are left out."""
    day = scored.shown_ms // DAY_MS
    sections, n = np.unique(scored.clicked_section[judgeable], return_counts=True)
    most_clicked = sections[np.argsort(-n, kind="stable")][:N_SECTIONS]
    groups = {
        "user": {
            title: (scored.n_reads >= least) & (scored.n_reads <= most)
            for title, least, most in USER_STRATA
        },
        "article clicked": {"cold": scored.clicked_is_cold, "warm": ~scored.clicked_is_cold},
        "section clicked": {
            str(name): scored.clicked_section == name for name in most_clicked if name
        },
        "day": {iso(int(d) * DAY_MS)[:10]: day == d for d in np.unique(day)},
    }
    return {
        kind: {
            title: inside & judgeable
            for title, inside in found.items()
            if (inside & judgeable).any()
        }
        for kind, found in groups.items()
    }


def calibration(
    scores: Floats, clicked: Mask, start: NDArray[np.int64]
) -> list[tuple[int, float, float]]:
    """Compare predicted with real shares of clicks.

    The prediction is the softmax of the scores within an impression, over impressions with a
    click.

    Returns
    -------
    list of (int, float, float)
        For each bin of the prediction: number of candidates, mean predicted share, real share.
        The bins have equal numbers of candidates.
    """
    if not len(scores):
        return []
    size = np.diff(start)
    impression = np.repeat(np.arange(len(size)), size)
    peak = np.full(len(size), -np.inf)
    np.maximum.at(peak, impression, scores)
    raw = np.exp(scores - peak[impression])
    n_clicked = np.bincount(impression, weights=clicked, minlength=len(size))[impression]
    share = raw / np.bincount(impression, weights=raw, minlength=len(size))[impression]
    share, real = share * np.minimum(n_clicked, 1), clicked / np.maximum(n_clicked, 1)
    order = np.argsort(share, kind="stable")
    return [
        (len(rows), float(share[rows].mean()), float(real[rows].mean()))
        for rows in np.array_split(order[n_clicked[order] > 0], N_BINS)
        if len(rows)
    ]


def contributions(parts: Mapping[str, Floats], start: NDArray[np.int64]) -> dict[str, float]:
    """Return how much each part of a score varies within an impression, largest first."""
    size = np.diff(start)
    impression = np.repeat(np.arange(len(size)), size)
    spread = {}
    for name, part in parts.items():
        total = np.bincount(impression, weights=part, minlength=len(size))
        mean = (total / np.maximum(size, 1))[impression]
        spread[name] = float(np.sqrt(np.mean((part - mean) ** 2))) if len(part) else 0.0
    return dict(sorted(spread.items(), key=lambda item: (-item[1], item[0])))


def paired_difference(better: InView, worse: InView) -> Interval:
    """Return by how much the AUC of the first blend is higher on the same impressions."""
    aucs = [
        metrics.auc(metrics.judge(scored.scores["blend"], scored.clicked, scored.start))
        for scored in (better, worse)
    ]
    return bootstrap(aucs[0] - aucs[1], better.user_key)
