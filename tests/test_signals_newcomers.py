import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.rows import HOUR_MS, UNKNOWN_TIME, Clicks, Impressions
from recsys.signals.newcomers import CredibleTimeline, credible_counts, settled_from_ms
from recsys.signals.timeline import NEVER, Timeline

DAY_MS = 24 * HOUR_MS


def counts_of(settled, new):
    """Return the credible counts of all articles of a log."""
    settled, new = np.array(settled, dtype=float), np.array(new, dtype=float)
    n = len(settled)
    return credible_counts(settled, new, np.full(n, settled.sum()), np.full(n, new.sum()))


def test_newcomers_count_in_full_up_to_what_settled_users_make_credible():
    # Beside article 0: 100 clicks of settled users and 24 of newcomers, so r = 25 / 101.
    found = counts_of([8, 100], [2, 24])
    assert found[0] == 10.0  # 2 are fewer than r (8 + 4 x 3)
    found = counts_of([8, 100], [50, 24])
    assert found[0] == pytest.approx(8 + 25 / 101 * (8 + 4 * 3))
    # Article 1 has 24 newcomers, and r = 51 / 9 warrants many more.
    assert found[1] == 124.0


def test_an_article_of_newcomers_alone_counts_at_most_four_times_their_share_elsewhere():
    # r = (10 + 1) / (99 + 1) without a settled user on article 0: r (0 + 4 x 1).
    assert counts_of([0, 99], [1000, 10])[0] == pytest.approx(0.44)


def test_a_larger_crowd_does_not_count_more():
    small, large = counts_of([3, 60, 40], [20, 9, 6]), counts_of([3, 60, 40], [20_000, 9, 6])
    assert small[0] == large[0]


def test_a_log_of_newcomers_alone_counts_in_full():
    assert counts_of([0, 0], [7, 3]).tolist() == [7.0, 3.0]


def test_a_rush_of_newcomers_to_all_articles_is_not_damped():
    assert counts_of([30, 20, 10], [300, 200, 100]).tolist() == [330.0, 220.0, 110.0]


def test_a_user_is_settled_a_day_after_the_first_event_or_from_a_bound_on():
    hour = np.arange(40) * HOUR_MS
    clicks = Clicks(
        user_key=np.array([0, 1, 1, 3, 5]),
        article_key=np.array([0, 0, 1, 0, 0]),
        clicked_ms=hour[[1, 4, 9, 10, 12]],
        dwell_seconds=np.full(5, np.nan, np.float32),
        time_is_bound=np.array([False, False, False, True, False]),
    )
    impressions = Impressions(
        user_key=np.array([1, 4]),
        context_key=np.array([-1, -1]),
        shown_ms=hour[[3, 20]],
        start=np.array([0, 1, 2]),
        article_key=np.array([0, 0]),
        clicked=np.array([False, False]),
        clicked_ms=np.array([UNKNOWN_TIME, UNKNOWN_TIME]),
        source=["", ""],
        propensity=np.ones(2),
    )
    found = settled_from_ms(clicks, impressions, int(hour[2]), shared_key=5)
    # 0 came before the first counted hour, 2 never, and 5 is many people.
    expected = [NEVER, hour[3] + DAY_MS, NEVER, hour[10], hour[20] + DAY_MS, NEVER]
    assert found.tolist() == expected


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.booleans()), max_size=30)


@settings(deadline=None, max_examples=50)
@given(EVENTS, st.integers(1, 31))
def test_a_credible_timeline_agrees_with_counting_each_kind_of_user(events, at):
    key, hour, is_new = (np.array([event[i] for event in events], dtype=int) for i in range(3))
    timeline = CredibleTimeline(key, hour * HOUR_MS, is_new.astype(bool))
    query, at_ms = np.arange(4), np.full(4, at * HOUR_MS)
    naive = np.zeros((2, 4))
    for article, clicked, new in events:
        if clicked < at:
            naive[int(new), article] += 2.0 ** (-(at - clicked) / 3.0)
    expected = counts_of(*naive)
    assert timeline.decayed_counts(query, at_ms, (3.0,))[0] == pytest.approx(expected)
    assert timeline.total_counts(at_ms, (3.0,))[0] == pytest.approx(np.full(4, naive.sum()))
    of_all = Timeline(key, hour * HOUR_MS)
    assert timeline.first_ms(query).tolist() == of_all.first_ms(query).tolist()
    last = timeline.last_ms(query, at * HOUR_MS).tolist()
    assert last == of_all.last_ms(query, at * HOUR_MS).tolist()
