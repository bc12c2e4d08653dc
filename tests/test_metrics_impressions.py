from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from recsys import metrics


def judge(*impressions):
    """Judge impressions given as (scores, clicked)."""
    scores = np.concatenate([np.array(s, dtype=float) for s, _ in impressions])
    clicked = np.concatenate([np.array(c, dtype=bool) for _, c in impressions])
    start = np.concatenate(([0], np.cumsum([len(s) for s, _ in impressions])))
    return metrics.judge(scores, clicked, start)


def mind_official(scores, clicked, kind=None):
    """The metrics of MIND's evaluate.py, whose argsort is not stable unless `kind` says so."""
    order = np.argsort(scores, kind=kind)[::-1]
    hit = np.take(clicked, order).astype(float)
    ranks = np.arange(len(hit)) + 1

    def dcg(h, k):
        return ((2 ** h[:k] - 1) / np.log2(np.arange(len(h[:k])) + 2)).sum()

    ideal = np.sort(hit)[::-1]
    return (
        roc_auc_score(clicked, scores),
        (hit / ranks).sum() / hit.sum(),
        dcg(hit, 5) / dcg(ideal, 5),
        dcg(hit, 10) / dcg(ideal, 10),
    )


impression = st.integers(2, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda c: 0 < sum(c) < len(c)),
    )
)


impression_without_ties = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        st.permutations(range(n)),
        st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda c: 0 < sum(c) < len(c)),
    )
)


def mind_metrics(impressions):
    judged = judge(*impressions)
    return np.stack(
        [
            metrics.auc(judged),
            metrics.mind_mrr(judged),
            metrics.mind_ndcg_at_k(judged, 5),
            metrics.mind_ndcg_at_k(judged, 10),
        ],
        axis=1,
    )


@settings(deadline=None)
@given(st.lists(impression_without_ties, min_size=1, max_size=6))
def test_mind_metrics_equal_those_of_the_official_script_where_no_scores_are_equal(impressions):
    expected = [mind_official(np.array(s), np.array(c)) for s, c in impressions]
    np.testing.assert_allclose(mind_metrics(impressions), expected, rtol=1e-9)


@settings(deadline=None)
@given(st.lists(impression, min_size=1, max_size=6))
def test_of_tied_candidates_the_last_listed_one_comes_first(impressions):
    expected = [mind_official(np.array(s), np.array(c), "stable") for s, c in impressions]
    np.testing.assert_allclose(mind_metrics(impressions), expected, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(2, 5).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 2), min_size=n, max_size=n),
            st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda c: 0 < sum(c) < len(c)),
        )
    )
)
def test_fair_metrics_are_the_mean_over_all_orders_of_the_candidates(one):
    scores, clicked = np.array(one[0]), np.array(one[1])
    of_orders = []
    for order in permutations(range(len(scores))):
        shuffled = judge((scores[list(order)], clicked[list(order)]))
        of_orders.append([metrics.mind_mrr(shuffled)[0], metrics.mind_ndcg_at_k(shuffled, 2)[0]])
    judged = judge(one)
    fair = [metrics.fair_mrr(judged)[0], metrics.fair_ndcg_at_k(judged, 2)[0]]
    assert fair == pytest.approx(np.mean(of_orders, axis=0).tolist())


@settings(deadline=None)
@given(impression)
def test_fair_ndcg_equals_scikit_learns_which_averages_ties_too(one):
    judged = judge(one)
    expected = ndcg_score([np.array(one[1], dtype=float)], [np.array(one[0], dtype=float)], k=5)
    assert metrics.fair_ndcg_at_k(judged, 5)[0] == pytest.approx(expected)


def test_a_constant_score_gains_nothing_by_fair_metrics():
    judged = judge(([1, 1, 1, 1], [0, 0, 0, 1]), ([1, 1, 1, 1], [1, 0, 0, 0]))
    assert metrics.auc(judged).tolist() == [0.5, 0.5]
    # The official script puts the last listed first, so the order of the file decides.
    assert metrics.mind_mrr(judged).tolist() == [1.0, 0.25]
    mean = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    assert metrics.fair_mrr(judged).tolist() == pytest.approx([mean, mean])


def test_impressions_with_all_or_no_candidates_clicked_are_nan():
    judged = judge(([1, 2], [0, 0]), ([1, 2], [1, 1]), ([1, 2], [0, 1]))
    assert judged.judgeable.tolist() == [False, False, True]
    for metric in (metrics.auc, metrics.mind_mrr, metrics.fair_mrr):
        assert np.isnan(metric(judged)).tolist() == [True, True, False]


def test_no_impressions_give_no_values():
    judged = metrics.judge(np.zeros(0), np.zeros(0, dtype=bool), np.array([0]))
    assert len(metrics.auc(judged)) == len(metrics.fair_mrr(judged)) == 0


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        judge(([1, np.nan], [0, 1]))


def test_weighted_auc_agrees_with_plain_auc_and_with_counting_pairs():
    rng = np.random.default_rng(2)
    scores, clicked = rng.integers(0, 4, 60).astype(float), rng.random(60) < 0.3
    start = np.array([0, 7, 7, 20, 41, 60])
    plain = metrics.auc(metrics.judge(scores, clicked, start))
    same = metrics.weighted_auc(scores, clicked, start, np.full(60, 3.0))
    np.testing.assert_allclose(same, plain)
    weight = rng.uniform(0.5, 5, 60)
    found = metrics.weighted_auc(scores, clicked, start, weight)
    for i in range(5):
        rows = range(start[i], start[i + 1])
        pairs = [(p, q) for p in rows for q in rows if clicked[p] and not clicked[q]]
        won = sum(
            weight[p] * weight[q] * ((scores[p] > scores[q]) + (scores[p] == scores[q]) / 2)
            for p, q in pairs
        )
        if pairs:
            assert found[i] == pytest.approx(won / sum(weight[p] * weight[q] for p, q in pairs))
        else:
            assert np.isnan(found[i])
