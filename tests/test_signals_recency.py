import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.rows import HOUR_MS
from recsys.signals import recency


def test_serial_numbers_are_ignored_unless_they_follow_time():
    serial = np.arange(80.0)
    first_seen_ms = np.arange(80) * HOUR_MS
    as_of_ms = 80 * HOUR_MS
    found = recency.published_ms_by_serial(serial, first_seen_ms, as_of_ms)
    assert found.tolist() == first_seen_ms.tolist()
    assert recency.published_ms_by_serial(serial[:9], first_seen_ms[:9], as_of_ms) is None
    # Higher numbers were seen earlier, so most estimates are long before `first_seen_ms`.
    assert recency.published_ms_by_serial(serial[::-1].copy(), first_seen_ms, as_of_ms) is None


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_recency_falls_with_age_and_stays_in_bounds(ages):
    found = recency.recency(np.sort(np.array(ages)), half_life_hours=12.0)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) <= 0).all()
