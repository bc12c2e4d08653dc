import json
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND

from recsys.blend.signal_table import signal_names
from recsys.config import Config, LearnConfig
from recsys.learn.choice import Choices
from recsys.learn.examples import Examples
from recsys.learn.heads import fit_ranking_head
from recsys.learn.past_runs import PastRuns
from recsys.nightly.run import run_nightly
from recsys.rows import Impressions, to_ms
from recsys.training.event_warnings import MANY_IMPRESSIONS, click_warnings, has_click

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
AS_OF_MS = to_ms(AS_OF)
HOUR_MS = 3_600_000


def impressions(ages_hours, clicked):
    """Return impressions of one article each, in the order given."""
    n = len(ages_hours)
    return Impressions(
        user_key=np.arange(n),
        context_key=np.full(n, -1),
        shown_ms=np.array([AS_OF_MS - round(age * HOUR_MS) for age in ages_hours], np.int64),
        start=np.arange(n + 1),
        article_key=np.ones(n, np.int64),
        clicked=np.array(clicked, bool),
        clicked_ms=np.zeros(n, np.int64),
        source=[""] * n,
        propensity=np.ones(n),
    )


def test_an_impression_holds_a_click_if_any_of_its_articles_was_clicked():
    start, clicked = np.array([0, 3, 3, 5, 6]), np.array([0, 1, 1, 0, 0, 1], bool)
    assert has_click(start, clicked).tolist() == [True, False, False, True]
    assert has_click(np.array([0]), clicked[:0]).tolist() == []


def test_logs_without_any_click_have_a_warning_whatever_their_size():
    (warning,) = click_warnings(impressions([30, 2], [0, 0]), AS_OF_MS)
    assert warning.startswith("0 of 2 impressions hold a click: the logs of clicks may be missing")
    assert click_warnings(impressions([30, 2], [1, 0]), AS_OF_MS) == []
    assert click_warnings(impressions([], []), AS_OF_MS) == []


@pytest.mark.parametrize(("n", "warned"), [(MANY_IMPRESSIONS - 1, False), (MANY_IMPRESSIONS, True)])
def test_a_last_day_of_many_impressions_without_a_click_has_a_warning(n, warned):
    found = click_warnings(impressions([24.1, *[24.0] * n], [1, *[0] * n]), AS_OF_MS)
    assert bool(found) is warned
    assert not warned or found[0].startswith(f"0 of {n} impressions of the last 24 hours hold")


class Days:
    """Replaces an `ExampleBuilder`: gives the choices of each day."""

    def __init__(self, store, days, config):
        self.past, self._days = PastRuns(store, config), days

    def days(self, as_of_ms):
        return range(len(self._days))

    def ranking(self, protocol, day):
        x, chosen = self._days[day]
        start = np.arange(0, len(x) + 1, 2)
        signals = {name: np.zeros(len(x)) for name in signal_names()}
        return Examples(Choices({"x": x}, chosen, start), signals, has_forecast=False)


def day_of(rng, n, is_clicked):
    x = rng.normal(size=(n, 2))
    chosen = (x == x.max(axis=1, keepdims=True)) & is_clicked
    return x.ravel(), chosen.ravel()


CONFIG = Config(learn=LearnConfig(min_choices=100))


def test_a_day_without_a_click_is_not_learned_from(store):
    rng = np.random.default_rng(1)
    good, bad = day_of(rng, 400, True), day_of(rng, 300, False)
    curves, report = fit_ranking_head(Days(store, [good, bad], CONFIG), AS_OF_MS, "nightly")
    alone, expected = fit_ranking_head(Days(store, [good], CONFIG), AS_OF_MS, "nightly")
    assert (report.n, report.used) == (400, True)
    assert report == expected
    assert curves["x"].tolist() == alone["x"].tolist()


def test_days_without_any_click_leave_the_shipped_head_and_say_so(store):
    bad = day_of(np.random.default_rng(1), 300, False)
    curves, report = fit_ranking_head(Days(store, [bad, bad], CONFIG), AS_OF_MS, "nightly")
    assert curves == {}
    assert (report.n, report.learned, report.shipped, report.used) == (600, None, None, False)
    assert report.why == "0 of 600 choices hold a click"


def test_a_latest_quarter_without_a_click_cannot_judge_and_has_no_auc(store):
    rng = np.random.default_rng(1)
    x, chosen = day_of(rng, 400, True)
    chosen[600:] = False
    _, report = fit_ranking_head(Days(store, [(x, chosen)], CONFIG), AS_OF_MS, "nightly")
    assert (report.learned, report.shipped, report.used) == (None, None, False)
    assert report.why == "none of the latest 25% of 400 choices holds a click"


def test_a_night_without_clicks_is_published_with_a_warning_and_without_nan(store, load, tmp_path):
    ids = [f"a{i}" for i in range(12)]
    published = "2026-02-28T00:00:00Z"
    articles = [{"article_id": i, "title": f"Title {i}", "published_at": published} for i in ids]
    shown = [
        {
            "user_id": f"u{i % 20}",
            "shown_at": (AS_OF - timedelta(hours=70 - i / 10)).isoformat(),
            "shown": [ids[(i + j) % 12] for j in range(3)],
        }
        for i in range(600)
    ]
    load(
        {
            "a.jsonl": "".join(json.dumps(row) + "\n" for row in articles),
            "i.jsonl": "".join(json.dumps(row) + "\n" for row in shown),
        }
    )
    config = msgspec.structs.replace(BY_HAND, learn=LearnConfig(days=2, min_choices=100))
    report = run_nightly(store, tmp_path / "p", as_of_ms=AS_OF_MS, config=config)
    assert report.warnings[0].startswith("0 of 600 impressions hold a click")
    assert not report.heads["ranking, nightly"].used
    assert "hold a click" in report.heads["ranking, nightly"].why
    (entry,) = store.runs()
    assert entry["report"]["warnings"] == report.warnings
    json.dumps(entry["report"], allow_nan=False)
    refreshed = run_nightly(
        store, tmp_path / "p", as_of_ms=AS_OF_MS + HOUR_MS, config=config, kind="refresh"
    )
    assert refreshed.warnings == report.warnings
