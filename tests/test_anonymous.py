"""Clicks and impressions without a user id: what counts them, and what does not."""

import json
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest
from conftest import BY_HAND, current_run

from recsys.config import Config
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import make_full_lists
from recsys.evaluation.in_view import score_in_view, served_impressions
from recsys.learn.examples import ExampleBuilder
from recsys.learn.live_choices import live_choices
from recsys.learn.past_runs import PastRuns
from recsys.nightly.run import run_nightly
from recsys.published import connection, user_rows
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, from_ms, is_anonymous
from recsys.serving.recommender import Recommender
from recsys.signals.event_counts import counted_clicks
from recsys.training.article_signals import article_signals
from recsys.training.train import window_user_items
from recsys.training.window import read_training_window

AS_OF_MS = 1_772_409_600_000  # 2026-03-02T00:00:00Z
AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
IDS = [f"a{i}" for i in range(8)]


def click(user, article, minutes, **fields):
    """Return a click some minutes before the end of the window."""
    return {
        "user_id": user,
        "article_id": article,
        "clicked_at": AS_OF_MS - minutes * 60_000,
    } | fields


@pytest.fixture
def logged(store, load):
    """Return a function that loads clicks and impressions; a user id with ~ is a session."""

    def load_logs(clicks=(), impressions=()):
        published = "2026-03-01T06:00:00Z"
        articles = [{"article_id": i, "title": f"On {i}", "published_at": published} for i in IDS]
        files = {"articles": articles, "clicks": clicks, "impressions": impressions}
        for kind, rows in files.items():
            if rows:
                text = "".join(json.dumps(row) + "\n" for row in rows)
                assert not load({f"{kind}.jsonl": text}, kind=kind).rejected
        store._conn.execute(
            "UPDATE users SET user_id = ' ' || substr(user_id, 2) WHERE user_id LIKE '~%'"
        )
        return store

    return load_logs


def test_a_session_counts_once_and_clicks_without_a_session_each():
    user, article = np.array([3, 7, 7, 3, 5, 5]), np.array([1, 1, 1, 1, 1, 2])
    first = counted_clicks(user, article, shared_key=7, first=True)
    last = counted_clicks(user, article, shared_key=7, first=False)
    assert first.tolist() == [True, True, True, False, True, True]
    assert last.tolist() == [False, True, True, True, True, True]


def test_anonymous_clicks_count_for_popularity_and_not_as_users(logged):
    store = logged(
        [
            click("u1", "a0", 60),
            *(click("~", "a1", 180 + i) for i in range(3)),  # three people
            *(click("~s1", "a1", 60 + i) for i in range(5)),  # one person
            click("~s2", "a2", 60),
        ]
    )
    window = read_training_window(store, AS_OF_MS, Config())
    assert list(window.users.ids) == ["u1"]
    assert len(window.user_index) == 1
    assert len(window.anonymous_clicks.user_key) == 3 + 1 + 1
    keys = window.articles.id_map.keys[[0, 1, 2]]
    found = window.events.popularity(keys, np.full(3, AS_OF_MS), (3.0,))[0]
    # Half-life 3 h. The first click of a session counts: of s1 that is the one 64 minutes ago.
    counts = np.array(
        [
            2 ** (-1 / 3),
            sum(2 ** (-(180 + i) / 180) for i in range(3)) + 2 ** (-64 / 180),
            2 ** (-1 / 3),
        ]
    )
    assert found == pytest.approx(np.log1p(1000 * counts / counts.sum()))


def test_anonymous_clicks_count_for_rise_and_importance(logged):
    store = logged(
        [
            *(click(f"u{i}", "a0", 60) for i in range(2)),
            *(click("~", "a1", 60 + i) for i in range(9)),
            *(click("~s1", "a2", 60 + i) for i in range(9)),
        ]
    )
    config = Config()
    window = read_training_window(store, AS_OF_MS, config)
    category = np.zeros(len(IDS), dtype=np.int64)
    signals = article_signals(window, window_user_items(window, config), category, config, {})
    short = config.popularity.now_half_life_hours
    long = config.popularity.expected_half_life_hours

    def decayed(half_life):  # of s1 the latest click counts
        of_all = sum(2 ** (-(60 + i) / 60 / half_life) for i in range(9))
        one = 2 ** (-1 / half_life)
        return np.array([2 * one, of_all, one])

    now, expected = decayed(short), decayed(long) * short / long
    expected *= now.sum() / expected.sum()
    assert signals.rise[:3] == pytest.approx((now - expected) / np.sqrt(expected + 1), rel=1e-5)
    # Without reading times and sections: log1p(users / (1 + age)) x 1 x (.5 + breadth) x decay,
    # and no section of an anonymous user is known, so that breadth is 0.
    users = decayed(config.popularity.importance_half_life_hours)
    importance = np.log1p(users / (1 + 18.0)) * 0.5
    importance *= 2 ** (-18.0 / config.popularity.importance_age_half_life_hours)
    assert signals.importance[:3] == pytest.approx(importance, rel=1e-5)
    assert signals.importance[3] == 0


def test_anonymous_impressions_count_for_the_click_rate(logged):
    shown = [
        {"user_id": user, "shown_at": AS_OF_MS - 60_000, "shown": IDS[:2], "clicked": IDS[1:2]}
        for user in ("~", "~s1", "u1")
    ]
    window = read_training_window(logged(impressions=shown), AS_OF_MS, Config())
    assert window.n_impressions == 3
    assert len(window.events.view_key) == 6
    assert len(window.events.hit_key) == 3
    assert list(window.users.ids) == ["u1"]


def test_a_session_may_be_a_bot_and_all_people_without_a_session_are_not(logged):
    flood = [click(user, "a0", i / 10) for user in ("~", "~s1") for i in range(1, 151)]
    window = read_training_window(logged([*flood, click("u1", "a0", 5)]), AS_OF_MS, Config())
    assert list(window.bot_ids) == [" s1"]  # more than 120 in an hour
    assert len(window.bot_clicks.user_key) == 150
    assert len(window.anonymous_clicks.user_key) == 150  # those of all people


def test_a_log_of_anonymous_clicks_alone_is_published_and_refreshed(logged, tmp_path):
    store = logged([click("~", "a3", i) for i in range(10, 310)] + [click("~s1", "a1", 30)])
    folder = tmp_path / "p"
    for kind, hours in (("nightly", 0), ("refresh", 1)):
        at = AS_OF_MS + hours * HOUR_MS
        report = run_nightly(store, folder, as_of_ms=at, config=BY_HAND, kind=kind)
        assert (report.counts["users"], report.counts["anonymous_clicks"]) == (0, 301)
        page = Recommender(folder).recommend(as_of=from_ms(at))
        first = {page[name][0].article_id for name in ("you_may_also_like", "popular_now")}
        assert "a3" in first


def mixed_log():
    """Return clicks of users, sessions and all people, over two days."""
    rng = np.random.default_rng(3)
    users = [*(f"u{i}" for i in range(12)), *(f"~s{i}" for i in range(12)), "~"]
    return [
        click(users[rng.integers(len(users))], IDS[rng.integers(len(IDS))], float(minutes))
        for minutes in rng.uniform(1, 1000, 400)
    ]


def test_a_run_has_no_profile_of_an_anonymous_user_and_serves_the_anonymous_page(
    logged, tmp_path, load
):
    store, folder = logged(mixed_log()), tmp_path / "p"
    run_nightly(store, folder, as_of_ms=AS_OF_MS - 2 * HOUR_MS, config=BY_HAND)
    run_nightly(store, folder, as_of_ms=AS_OF_MS, config=BY_HAND, kind="refresh")
    for run_id in published_folder.run_ids(folder):
        with closing(connection.connect(published_folder.run_path(folder, run_id))) as conn:
            ids = user_rows.user_ids(conn)
        assert ids
        assert not any(is_anonymous(user_id) for user_id in ids)
    recommender = Recommender(folder)
    anonymous = recommender.recommend(as_of=AS_OF)
    for user_id in (" ", " s1", " never seen"):
        assert dict(recommender.recommend(user_id, as_of=AS_OF)) == dict(anonymous)
        assert recommender.user_with_counts(user_id) is None
    assert dict(recommender.recommend("u1", as_of=AS_OF)) != dict(anonymous)


def test_a_refresh_counts_anonymous_clicks_as_a_nightly_run_does(logged, tmp_path):
    store = logged(mixed_log())
    for kind, base_hours in (("nightly", None), ("refresh", 2)):
        folder = tmp_path / kind
        if base_hours is not None:
            base_ms = AS_OF_MS - base_hours * HOUR_MS
            run_nightly(store, folder, as_of_ms=base_ms, config=BY_HAND)
        run_nightly(store, folder, as_of_ms=AS_OF_MS, config=BY_HAND, kind=kind)
    nightly, refreshed = (current_run(tmp_path / kind).model for kind in ("nightly", "refresh"))
    assert refreshed.rise == pytest.approx(nightly.rise, rel=1e-5)
    for name, values in nightly.live.static.items():
        assert refreshed.live.static[name] == pytest.approx(values, rel=1e-5)


def test_personal_lists_are_not_judged_by_what_anonymous_users_clicked(logged):
    store = logged(mixed_log())
    past = PastRuns(store, BY_HAND)
    at = AS_OF_MS - 8 * HOUR_MS
    run = past.nightly(at, at)
    ids = dict(zip(run.window.all_users.keys.tolist(), run.window.all_users.ids, strict=True))
    found = [ids[choice.user_key] for choice in live_choices(past, run, before_ms=AS_OF_MS)]
    assert found
    assert not any(map(is_anonymous, found))


def test_gains_count_each_click_without_a_session(logged):
    noon_ms = AS_OF_MS - 12 * HOUR_MS
    before = [click("u1", "a0", 800), click("u2", "a1", 790)]
    after = [click("~", "a0", 715 - i) for i in range(4)]
    after += [click(user, "a1", 715 - i) for user in ("~s1", "u1") for i in range(4)]
    store = logged([*before, *after])
    past = PastRuns(store, BY_HAND)
    runs = evaluated_runs(ExampleBuilder(past), [], from_ms=noon_ms, before_ms=AS_OF_MS)
    full = make_full_lists(past, runs)
    gains = full.gains["popular_now"]  # of the hour after noon
    assert gains[:3].tolist() == [4.0, 2.0, 0.0]


def test_an_impression_without_a_session_is_a_cluster_of_its_own(logged):
    shown = [
        {
            "user_id": user,
            "shown_at": AS_OF_MS - minutes * 60_000,
            "shown": [IDS[minutes % 3], IDS[minutes % 3 + 1]],
            "clicked": [IDS[minutes % 3]],
        }
        for user in ("~", "~s1", "u1")
        for minutes in (10, 20)
    ]
    store = logged([click("u1", "a5", 900)], shown)
    past = PastRuns(store, BY_HAND)
    hour_ago = AS_OF_MS - HOUR_MS
    runs = evaluated_runs(ExampleBuilder(past), ["nightly"], from_ms=hour_ago, before_ms=AS_OF_MS)
    served = served_impressions(past, runs, ["nightly"])["nightly"]
    scored = score_in_view(served, "nightly", position_propensity=np.ones(1))
    assert len(scored.user_key) == 6
    assert len(np.unique(scored.user_key)) == 4  # u1, the session, and two of their own
    assert (scored.user_key < 0).sum() == 2
