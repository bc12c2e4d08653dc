"""Compute ranking metrics: one value for each impression or list, NaN where one is not defined.

`impressions` judges the order of the candidates of an impression, `lists` judges recommended lists,
and `intervals` gives a mean its 95 % interval.
"""

from recsys.metrics.discounted_gain import dcg
from recsys.metrics.impressions import (
    Judged,
    auc,
    fair_mrr,
    fair_ndcg_at_k,
    judge,
    mind_mrr,
    mind_ndcg_at_k,
    weighted_auc,
)
from recsys.metrics.intervals import Interval, bootstrap
from recsys.metrics.lists import (
    catalog_coverage,
    exposure,
    gain_ndcg_at_k,
    gini,
    hit_rate_at_k,
    hits_of,
    intra_list_similarity,
    map_at_k,
    ndcg_at_k,
    novelty,
    precision_at_k,
    recall_at_k,
    redundancy,
)

__all__ = [
    "Interval",
    "Judged",
    "auc",
    "bootstrap",
    "catalog_coverage",
    "dcg",
    "exposure",
    "fair_mrr",
    "fair_ndcg_at_k",
    "gain_ndcg_at_k",
    "gini",
    "hit_rate_at_k",
    "hits_of",
    "intra_list_similarity",
    "judge",
    "map_at_k",
    "mind_mrr",
    "mind_ndcg_at_k",
    "ndcg_at_k",
    "novelty",
    "precision_at_k",
    "recall_at_k",
    "redundancy",
    "weighted_auc",
]
