import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import CollaborativeConfig
from recsys.signals import collaborative, popularity


def test_a_click_from_the_future_is_refused():
    with pytest.raises(ValueError, match="future"):
        popularity.decayed_clicks(
            np.array([0]), np.array([-1.0]), n_articles=1, half_life_hours=1.0
        )
    with pytest.raises(ValueError, match="future"):
        collaborative.click_weights(
            np.array([-1.0]), np.array([1.0], np.float32), CollaborativeConfig()
        )


def test_log_share_agrees_with_hand_arithmetic_and_is_zero_without_clicks():
    none = np.zeros(2)
    assert popularity.log_share(none, none).tolist() == [0.0, 0.0]
    shares = popularity.log_share(np.array([1.0, 3.0]), np.array([4.0, 4.0]))
    assert shares == pytest.approx([math.log(251), math.log(751)])


def test_click_rate_is_pulled_towards_the_average():
    # Average 3/30 = .1; article 0: (2 + 2) / (10 + 20) = .1333; an article never shown: 0.
    clicks, views = np.array([2.0, 1.0, 0.0]), np.array([10.0, 20.0, 0.0])
    found = popularity.log_click_rate(clicks, views, np.full(3, 0.1), prior_views=20.0)
    assert found == pytest.approx([math.log(4 / 30 / 0.1), math.log(3 / 40 / 0.1), 0.0])


def test_a_steady_article_does_not_rise_and_a_new_one_does():
    # At a constant rate the counts are in proportion to the half-lives: 2 to 24.
    now, long = np.array([2.0, 2.0]), np.array([24.0, 2.0])
    rise = popularity.rise(now, long, now_half_life_hours=2.0, expected_half_life_hours=24.0)
    assert rise[1] > 0 > rise[0]
    steady = popularity.rise(
        np.array([2.0, 4.0]),
        np.array([24.0, 48.0]),
        now_half_life_hours=2.0,
        expected_half_life_hours=24.0,
    )
    assert steady == pytest.approx([0.0, 0.0])


def test_expected_clicks_that_are_nearly_nothing_are_none():
    now, long = np.array([2.0, 0.0]), np.array([5e-324, 0.0])
    rise = popularity.rise(now, long, now_half_life_hours=2.0, expected_half_life_hours=0.001)
    assert rise.tolist() == [2.0, 0.0]


def test_breadth_is_zero_for_one_section_and_grows_with_evenness():
    article, home = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    found = popularity.user_breadth(article, home, np.ones(4), n_articles=3)
    # Article 1: 2^2 - (1 + 1) = 2 over (2 + 2)^2.
    assert found.tolist() == [0.0, 0.125, 0.0]
    # The second reader of article 1 counts a half: 1.5^2 - (1 + .25) = 1 over 3.5^2.
    found = popularity.user_breadth(article, home, np.array([1, 1, 1, 0.5]), n_articles=3)
    assert found == pytest.approx([0.0, 1 / 12.25, 0.0])


def test_mean_dwell_share_is_smoothed_towards_the_overall_mean():
    found = popularity.mean_dwell_share(
        np.array([0, 1]),
        np.array([60.0, 0.0], np.float32),
        np.ones(2),
        n_articles=3,
        full_seconds=60.0,
    )
    # The overall mean is .5; five such clicks are added: (1 + 2.5) / 6, (0 + 2.5) / 6, 2.5 / 5.
    assert found == pytest.approx([3.5 / 6, 2.5 / 6, 0.5])
    # If the first counts a third, the mean is .25: (1/3 + 1.25) / (16/3), 1.25 / 6, 1.25 / 5.
    found = popularity.mean_dwell_share(
        np.array([0, 1]),
        np.array([60.0, 0.0], np.float32),
        np.array([1 / 3, 1.0]),
        n_articles=3,
        full_seconds=60.0,
    )
    assert found == pytest.approx([(19 / 12) / (16 / 3), 1.25 / 6, 0.25])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 100)), max_size=30), st.floats(0.5, 50))
def test_decayed_clicks_agree_with_a_plain_loop(clicks, half_life):
    naive = [0.0] * 5
    for article, age in clicks:
        naive[article] += 2 ** (-age / half_life)
    found = popularity.decayed_clicks(
        np.array([a for a, _ in clicks], dtype=np.int64),
        np.array([t for _, t in clicks], dtype=np.float64),
        n_articles=5,
        half_life_hours=half_life,
    )
    assert found.tolist() == pytest.approx(naive)


def test_importance_agrees_with_hand_arithmetic():
    # Seven users in three hours, full reads, breadth .5: log1p(7/4) x 1.5 x 1 x 2^(-3/12).
    found = popularity.importance(
        np.array([7.0, 0.0, 25.0]),
        np.array([1.0, 1.0, 0.5]),
        np.array([0.5, 1.0, 0.5]),
        np.array([3.0, 0.0, 48.0]),
        half_life_hours=12.0,
    )
    expected = [math.log1p(7 / 4) * 1.5 * 2**-0.25, 0.0, math.log1p(1.0) * 2**-4]
    assert found.tolist() == pytest.approx(expected)
