import numpy as np
import pytest
from conftest import RECEIVED_MS

from recsys.config import Config, DataConfig, LearnConfig
from recsys.learn import forecast
from recsys.rows import HOUR_MS, iso
from recsys.signals.forecast import FORECAST_FEATURES, LOG_AGE, log_age, summed_curves
from recsys.store.database import Store
from recsys.training.window import read_training_window

CONFIG = Config(data=DataConfig(max_clicks_per_hour=10_000), learn=LearnConfig(min_choices=50))
HOURS = 72
AS_OF_MS = RECEIVED_MS // HOUR_MS * HOUR_MS


@pytest.fixture
def newsroom(load):
    """Load a newsroom with an article an hour; most clicks are on new ones."""

    def make(load_more=""):
        rng = np.random.default_rng(7)
        first_ms = AS_OF_MS - HOURS * HOUR_MS
        articles, clicks = [], []
        for hour in range(HOURS):
            at_ms = first_ms + hour * HOUR_MS
            articles.append(
                f'{{"article_id": "a{hour}", "title": "T {hour}", "published_at": "{iso(at_ms)}"}}'
            )
            for _ in range(40):
                is_new = rng.random() < 0.75
                age = int(rng.integers(0, 6) if is_new else rng.integers(0, 40))
                chosen = max(hour - age, 0)
                click_ms = at_ms + int(rng.integers(HOUR_MS))
                clicks.append(
                    f'{{"user_id": "u{rng.integers(300)}", "article_id": "a{chosen}",'
                    f' "clicked_at": "{iso(click_ms)}"}}'
                )
        report = load({"a.jsonl": "\n".join(articles), "c.jsonl": "\n".join(clicks) + load_more})
        assert not report.refused
        return first_ms

    return make


def learned(store, as_of_ms=AS_OF_MS, config=CONFIG):
    return forecast.learn_forecast(read_training_window(store, as_of_ms, config), config)


def test_a_planted_taste_for_new_articles_is_found(store, newsroom):
    newsroom()
    curves, report = learned(store)
    assert report.used
    assert report.learned > report.shipped > 0.5
    assert set(curves) <= set(FORECAST_FEATURES)
    ages = np.array([1.0, 3.0, 30.0])
    by_age = summed_curves(curves, {LOG_AGE: log_age(ages)}, (LOG_AGE,))
    assert by_age[0] > by_age[2]


def test_the_future_changes_no_curve(store, newsroom):
    newsroom()
    at_ms = AS_OF_MS - 6 * HOUR_MS
    before, report = learned(store, at_ms)
    assert report.used
    with Store(store.path) as opened:
        opened._conn.execute("DELETE FROM clicks WHERE clicked_at >= ?", (at_ms,))
        after, _ = learned(opened, at_ms)
    assert before.keys() == after.keys()
    for name, curve in before.items():
        np.testing.assert_array_equal(curve, after[name])


def test_without_enough_to_learn_from_the_shipped_forecast_is_served(store, newsroom):
    first_ms = newsroom()
    for as_of_ms, config in (
        (first_ms + 24 * HOUR_MS, CONFIG),  # one moment
        (AS_OF_MS, Config(learn=LearnConfig(days=0))),
        (AS_OF_MS, Config(data=CONFIG.data, learn=LearnConfig(min_choices=10**9))),
    ):
        curves, report = learned(store, as_of_ms, config)
        assert curves == {}
        assert not report.used
        assert "needed" in report.why


def test_moments_end_a_horizon_before_the_run_and_are_fewer_where_many_articles_are_live(
    store, newsroom, monkeypatch
):
    first_ms = newsroom()
    window = read_training_window(store, AS_OF_MS, CONFIG)
    moments = forecast._moments(window)
    assert moments[-1] == AS_OF_MS - 12 * HOUR_MS
    assert first_ms + 12 * HOUR_MS <= moments[0] < first_ms + 14 * HOUR_MS
    assert len(moments) == 24  # every two hours of 48
    monkeypatch.setattr(forecast, "MAX_ALTERNATIVES", 10 * len(window.live_rows))
    fewer = forecast._moments(window)
    assert len(fewer) == 10
    assert fewer[-1] == moments[-1]


def test_an_empty_log_has_no_moments(store, load):
    load({"a.jsonl": '{"article_id": "a", "title": "T", "published_at": "2026-03-01T00:00:00Z"}'})
    assert learned(store)[0] == {}
