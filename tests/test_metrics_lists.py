import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys import metrics

DCG_2 = 1 / math.log2(3)  # gain of a hit at rank 2


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


def test_gain_ndcg_agrees_with_hand_arithmetic():
    gains = np.array([0.0, 4.0, 2.0])
    lists = np.array([[2, 1], [1, 2], [0, -1]])
    best = 4.0 + 2.0 / np.log2(3)
    found = metrics.gain_ndcg_at_k(lists, gains, np.array([best, best, 0.0]), 2)
    assert found[:2] == pytest.approx([(2.0 + 4.0 / np.log2(3)) / best, 1.0])
    assert np.isnan(found[2])
