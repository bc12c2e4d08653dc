import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.config import CollaborativeConfig
from recsys.signals import collaborative


@pytest.fixture
def two_tastes():
    """40 users x 40 articles: even users click even articles, odd users odd ones.

    User i never clicks article i, so article i is the right recommendation for user i.
    """
    user, article = np.indices((40, 40))
    return csr_matrix(((user % 2 == article % 2) & (user != article)).astype(np.float32))


def test_als_finds_the_withheld_article(two_tastes):
    config = CollaborativeConfig(factors=8, alpha=1.0)
    factors = collaborative.fit_als(two_tastes, config)
    scores = factors.user @ factors.article.T
    scores[two_tastes.toarray() > 0] = -np.inf
    assert scores.argmax(axis=1).tolist() == list(range(40))


def test_als_is_reproducible(two_tastes):
    config = CollaborativeConfig(factors=8)
    first, second = (collaborative.fit_als(two_tastes, config) for _ in range(2))
    assert first.user.tobytes() == second.user.tobytes()
    assert first.article.tobytes() == second.article.tobytes()


def test_the_factors_of_a_user_follow_from_those_of_the_articles_and_the_clicks(two_tastes):
    config = CollaborativeConfig(factors=8)
    factors = collaborative.fit_als(two_tastes * 0.5, config)
    for user in range(40):
        clicked = factors.article[two_tastes[user].indices].astype(np.float64)
        # Confidence 1 + alpha x .5 on a click and 1 elsewhere; the preference is 1 and 0.
        extra = config.alpha * 0.5
        left = factors.gram + extra * clicked.T @ clicked
        right = (1.0 + extra) * clicked.sum(axis=0)
        expected = np.linalg.solve(left, right)
        assert factors.user[user] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_users_without_clicks_and_articles_with_few_have_zero_factors(two_tastes):
    items = two_tastes.tolil()
    items[0] = 0.0
    items[:, 1] = 0.0
    items[1, 3], items[3, 3] = 1.0, 1.0
    factors = collaborative.fit_als(items.tocsr(), CollaborativeConfig(factors=4))
    assert not factors.user[0].any()
    assert not factors.article[1].any()
    assert factors.article[2].any()


def test_factors_without_any_clicks_are_all_zero():
    factors = collaborative.fit_als(csr_matrix((3, 2), dtype=np.float32), CollaborativeConfig())
    assert not factors.user.any()
    assert not factors.article.any()


def test_cold_factors_are_the_shrunk_mean_of_text_neighbours():
    similar = csr_matrix(np.array([[0, 0.5, 0.5], [0.5, 0, 0], [0.5, 0, 0]], dtype=np.float32))
    article = np.array([[9, 9], [2, 0], [0, 4]], dtype=np.float32)
    warm = np.array([False, True, True])
    found = collaborative.cold_factors(article, warm, similar)
    # (0.5 x [2, 0] + 0.5 x [0, 4]) / (1 + 1)
    assert found.tolist() == [[0.5, 1.0], [2, 0], [0, 4]]


def test_item_item_similarity_agrees_with_hand_arithmetic():
    # Article 0 has 3 users and article 1 has 2, both in common: 2 / sqrt(6), shrunk by 2 / 4.
    items = csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], dtype=np.float32))
    rows, columns = np.arange(3), np.array([1, 2, 0])
    found = collaborative.item_item_similarity(
        items, rows, columns, CollaborativeConfig()
    ).toarray()
    found = found[:, np.argsort(columns)]
    assert found[0, 1] == pytest.approx(2 / math.sqrt(6) * 2 / 4)
    assert found[0, 2] == pytest.approx(1 / math.sqrt(3) * 1 / 3)
    assert found[1, 2] == 0.0
    assert not found.diagonal().any()


def test_click_weights_halve_with_age_and_with_half_the_reading_time():
    config = CollaborativeConfig(half_life_hours=10.0, full_dwell_seconds=20.0)
    ages = np.array([0.0, 10.0, 0.0, 0.0])
    dwell = np.array([40.0, 40.0, 10.0, np.nan], dtype=np.float32)
    # The unknown reading time counts as the median of 1, 1 and 0.5.
    assert collaborative.click_weights(ages, dwell, config).tolist() == [1.0, 0.5, 0.5, 1.0]


def test_user_items_hold_the_weights_of_clicks():
    user, article = np.array([0, 0, 1]), np.array([2, 1, 0])
    weights = np.array([0.2, 0.7, 0.5], dtype=np.float32)
    found = collaborative.build_user_items(user, article, weights, shape=(2, 3))
    np.testing.assert_allclose(found.toarray(), [[0, 0.7, 0.2], [0.5, 0, 0]])
    assert found.indices.tolist() == [1, 2, 0]  # sorted within each row
