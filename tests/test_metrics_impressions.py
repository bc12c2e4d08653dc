import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import ndcg_score, roc_auc_score

from recsys import metrics

DCG_2 = 1 / math.log2(3)  # gain of a hit at rank 2


def judge(*impressions):
    """Judge impressions given as (scores, clicked)."""
    scores = np.concatenate([np.array(s, dtype=float) for s, _ in impressions])
    clicked = np.concatenate([np.array(c, dtype=bool) for _, c in impressions])
    start = np.concatenate(([0], np.cumsum([len(s) for s, _ in impressions])))
    return metrics.judge(scores, clicked, start)


def mind_official(scores, clicked):
    """The metrics of MIND's evaluate.py: a reversed argsort puts the last listed of a tie first."""
    order = np.argsort(scores, kind="stable")[::-1]
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


@settings(deadline=None)
@given(st.lists(impression, min_size=1, max_size=6))
def test_mind_metrics_equal_those_of_the_official_script(impressions):
    judged = judge(*impressions)
    found = np.stack(
        [
            metrics.auc(judged),
            metrics.mind_mrr(judged),
            metrics.mind_ndcg_at_k(judged, 5),
            metrics.mind_ndcg_at_k(judged, 10),
        ],
        axis=1,
    )
    expected = [mind_official(np.array(s), np.array(c)) for s, c in impressions]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


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


@pytest.mark.parametrize(
    ("hits", "n_relevant", "k", "expected"),
    [
        ([1, 0], 1, 2, (1, 1 / 2, 1, 1, 1)),
        ([0, 1], 1, 2, (1, 1 / 2, 1, 1 / 2, DCG_2)),
        ([0, 1], 1, 1, (0, 0, 0, 0, 0)),
        ([1, 1], 4, 2, (1, 1, 1 / 2, 1, 1)),
        ([1, 0], 2, 2, (1, 1 / 2, 1 / 2, 1 / 2, 1 / (1 + DCG_2))),
    ],
)
def test_list_metrics_agree_with_hand_arithmetic(hits, n_relevant, k, expected):
    given_hits, relevant = np.array([hits], dtype=bool), np.array([n_relevant])
    found = [
        metric(given_hits, relevant, k)[0]
        for metric in (
            metrics.hit_rate_at_k,
            metrics.precision_at_k,
            metrics.recall_at_k,
            metrics.map_at_k,
            metrics.ndcg_at_k,
        )
    ]
    assert found == pytest.approx(expected)


def test_a_list_without_relevant_articles_is_nan_and_an_empty_slot_is_no_hit():
    hits = metrics.hits_of(np.array([[3, -1], [2, 3]]), [{3, -1}, set()])
    assert hits.tolist() == [[True, False], [False, False]]
    assert np.isnan(metrics.hit_rate_at_k(hits, np.array([1, 0]), 2)).tolist() == [False, True]


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=10), st.integers(0, 10), st.integers(1, 12))
def test_ndcg_is_between_0_and_1(hits, more, k):
    value = metrics.ndcg_at_k(np.array([hits]), np.array([sum(hits) + more]), k)[0]
    assert np.isnan(value) or 0 <= value <= 1 + 1e-12


def test_exposure_coverage_and_gini_agree_with_hand_arithmetic():
    n_entries = metrics.exposure(np.array([[0, 1], [0, -1]]), 4)
    assert n_entries.tolist() == [2, 1, 0, 0]
    assert metrics.catalog_coverage(n_entries) == 0.5
    # Ascending 0 0 1 2: (-3 x 0 - 1 x 0 + 1 x 1 + 3 x 2) / (4 x 3).
    assert metrics.gini(n_entries) == pytest.approx(7 / 12)
    assert metrics.gini(np.array([3, 3])) == 0.0
    assert metrics.gini(np.zeros(3, dtype=int)) == 0.0


def test_novelty_and_similarity_agree_with_hand_arithmetic():
    share = np.array([0.5, 0.25])
    lists = np.array([[0, 1], [0, -1], [-1, -1]])
    assert metrics.novelty(lists, share).tolist()[:2] == [1.5, 1.0]
    vectors = csr_matrix(np.array([[1.0, 0.0], [0.3, math.sqrt(1 - 0.09)]]))
    found = metrics.intra_list_similarity(lists, vectors)
    assert found[0] == pytest.approx(0.3)
    assert np.isnan(found[1:]).all()


def test_redundancy_is_the_share_of_slots_that_repeat_a_story():
    story = np.array([0, 0, 2, 3])
    assert metrics.redundancy([[[0, 2], [1]], [[3], [2]]], story) == pytest.approx(1 / 5)


def test_the_interval_of_a_constant_is_the_constant():
    assert metrics.bootstrap(np.ones(9), np.arange(9)) == metrics.Interval(1.0, 1.0, 1.0)


def test_clustered_intervals_are_wider_than_unclustered_ones():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(40), 25)
    values = np.repeat(rng.normal(size=40), 25)
    clustered = metrics.bootstrap(values, cluster)
    unclustered = metrics.bootstrap(values, np.arange(1000))
    assert clustered.high - clustered.low > 3 * (unclustered.high - unclustered.low)
    assert clustered.low < clustered.mean < clustered.high
    # The standard error of 40 independent means: 1.96 x std / sqrt(40) each way.
    width = 2 * 1.96 * values.std() / math.sqrt(40)
    assert clustered.high - clustered.low == pytest.approx(width, rel=0.15)


def test_gain_ndcg_agrees_with_hand_arithmetic():
    gains = np.array([0.0, 4.0, 2.0])
    lists = np.array([[2, 1], [1, 2], [0, -1]])
    best = 4.0 + 2.0 / np.log2(3)
    found = metrics.gain_ndcg_at_k(lists, gains, np.array([best, best, 0.0]), 2)
    assert found[:2] == pytest.approx([(2.0 + 4.0 / np.log2(3)) / best, 1.0])
    assert np.isnan(found[2])
