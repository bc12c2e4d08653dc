import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.rows import HOUR_MS, UNKNOWN_TIME
from recsys.signals import popularity
from recsys.signals.timeline import NEVER, Timeline

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=25)  # key, hour

QUERIES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=10)

HALF_LIVES = st.floats(0.5, 50)


def timeline_of(events):
    keys, hours = np.array(events, dtype=np.int64).reshape(-1, 2).T
    return Timeline(keys, hours * HOUR_MS)


@settings(deadline=None, max_examples=80)
@given(EVENTS, QUERIES, HALF_LIVES)
def test_decayed_counts_at_many_instants_agree_with_decayed_clicks_at_each(
    events, queries, half_life
):
    query_key, query_hour = np.array(queries, dtype=np.int64).T
    found = timeline_of(events).decayed_counts(query_key, query_hour * HOUR_MS, [half_life, 7.0])
    for (key, as_of_hour), count in zip(queries, found[0].tolist(), strict=True):
        # Strictly before: an event at the very instant is not known yet.
        ages = [as_of_hour - hour for event, hour in events if event == key and hour < as_of_hour]
        naive = popularity.decayed_clicks(
            np.zeros(len(ages), dtype=np.int64),
            np.array(ages, dtype=np.float64),
            n_articles=1,
            half_life_hours=half_life,
        )
        assert count == pytest.approx(naive[0])


@settings(deadline=None, max_examples=80)
@given(EVENTS, QUERIES, HALF_LIVES)
def test_counts_at_one_instant_agree_with_counts_at_several(events, queries, half_life):
    timeline = timeline_of(events)
    query_key = np.array([key for key, _ in queries])
    for instant_ms in (20 * HOUR_MS, queries[0][1] * HOUR_MS):

        def at(*instants_ms):
            return np.array(instants_ms, dtype=np.int64)

        at_one = timeline.decayed_counts(query_key, at(*[instant_ms] * len(queries)), [half_life])
        at_several = [
            timeline.decayed_counts(
                np.array([key, 3]), at(instant_ms, instant_ms + 1), [half_life]
            )[0, 0]
            for key in query_key
        ]
        assert at_one[0] == pytest.approx(at_several)
        of_keys = timeline.decayed_counts(np.arange(5), at(*[instant_ms] * 5), [half_life])[0]
        total_at_one = timeline.total_counts(at(instant_ms, instant_ms), [half_life])[0]
        assert total_at_one == pytest.approx([of_keys.sum()] * 2)
        total_at_several = timeline.total_counts(at(instant_ms, instant_ms + 1), [half_life])
        assert total_at_several[0, 0] == pytest.approx(of_keys.sum())


@settings(deadline=None, max_examples=80)
@given(EVENTS, QUERIES)
def test_first_ms_is_the_earliest_event_or_never(events, queries):
    query_key = np.array([key for key, _ in queries])
    expected = [
        min((hour * HOUR_MS for event, hour in events if event == key), default=NEVER)
        for key in query_key
    ]
    assert timeline_of(events).first_ms(query_key).tolist() == expected


@settings(deadline=None, max_examples=80)
@given(EVENTS, QUERIES, st.integers(-1, 60))
def test_last_ms_is_the_latest_event_before_an_instant_or_unknown(events, queries, before):
    query_key = np.array([key for key, _ in queries])
    expected = [
        max(
            (hour * HOUR_MS for event, hour in events if event == key and hour < before),
            default=UNKNOWN_TIME,
        )
        for key in query_key
    ]
    assert timeline_of(events).last_ms(query_key, before * HOUR_MS).tolist() == expected
