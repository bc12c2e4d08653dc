import numpy as np
import pytest

from recsys.config import PopularityConfig
from recsys.rows import HOUR_MS
from recsys.signals import forecast, static_signals
from recsys.signals.event_counts import Events
from recsys.signals.timeline import NEVER

NO_INTS = np.zeros(0, dtype=np.int64)


def test_curves_are_added_and_hold_their_ends():
    curves = {"a": np.array([[0.0, 2.0], [0.0, 1.0]]), "b": np.array([[1.0, 2.0], [5.0, 7.0]])}
    features = {"a": np.array([-1.0, 1.0, 9.0]), "b": np.array([1.0, 1.5, 2.0]), "c": np.ones(3)}
    assert forecast.summed_curves(curves, features, ("a", "c")).tolist() == [0.0, 0.5, 1.0]
    assert forecast.summed_curves(curves, features, ("a", "b")).tolist() == [5.0, 6.5, 8.0]


@pytest.fixture
def articles():
    """Two articles: one clicked an hour ago and three hours old, one new without a click."""
    now = 10 * HOUR_MS
    events = Events(
        *(np.array([1]), np.array([7]), np.array([now - HOUR_MS])),
        *(NO_INTS,) * 8,
        settled_ms=np.array([NEVER, 0]),
    )
    keys, at = np.array([7, 8]), np.array([now, now])
    ages = np.array([3.0, 0.0])

    def make(curves):
        return static_signals.ArticlesAt(
            events, keys, ages, at, events.article_features(keys, at), PopularityConfig(), curves
        )

    return make


def test_without_curves_the_parts_are_the_shipped_signals(articles):
    at = articles({})
    assert static_signals.forecast_by_clicks(at) == pytest.approx([0.9 * np.log1p(1000.0), 0.0])
    assert static_signals.forecast_by_views(at).tolist() == [0.0, 0.0]
    half_life = PopularityConfig().recency_half_life_hours
    assert static_signals.forecast_by_age(at) == pytest.approx([3.3 * 2 ** (-3 / half_life), 3.3])


def test_learned_curves_replace_all_three_parts(articles):
    curves = {
        forecast.LOG_AGE: np.array([[0.0, np.log(4.0)], [2.0, -1.0]]),
        "popularity_1h": np.array([[0.0, np.log1p(1000.0)], [0.0, 3.0]]),
    }
    at = articles(curves)
    assert static_signals.forecast_by_age(at) == pytest.approx([-1.0, 2.0])
    assert static_signals.forecast_by_clicks(at) == pytest.approx([3.0, 0.0])
    assert static_signals.forecast_by_views(at).tolist() == [0.0, 0.0]
