import math

import numpy as np
import pytest

from recsys.rows import HOUR_MS, UNKNOWN_TIME, Clicks, Impressions
from recsys.signals.event_counts import Events
from recsys.signals.timeline import NEVER


def test_events_are_first_clicks_views_and_hits():
    hour = np.arange(10) * HOUR_MS
    clicks = Clicks(
        user_key=np.array([1, 1, 1, 2, 2]),
        article_key=np.array([5, 6, 6, 6, 7]),
        clicked_ms=hour[[0, 4, 5, 6, 7]],
        dwell_seconds=np.full(5, np.nan, np.float32),
        time_is_bound=np.array([False, False, False, False, True]),
    )
    impressions = Impressions(
        user_key=np.array([1, 2]),
        context_key=np.array([-1, -1]),
        shown_ms=hour[[3, 5]],
        start=np.array([0, 2, 3]),
        article_key=np.array([6, 7, 6]),
        clicked=np.array([True, False, True]),
        clicked_ms=np.array([hour[4], UNKNOWN_TIME]),
        source=["", ""],
        propensity=np.ones(3),
    )
    earlier = (np.array([8, 5]), np.array([-HOUR_MS, -2 * HOUR_MS]))
    events = Events.from_logs(clicks, impressions, from_ms=int(hour[1]), earlier=earlier)
    # The click before `from_ms`, the second one of user 1 on 6, and the bound do not count.
    found = zip(events.click_user, events.click_key, events.click_ms, strict=True)
    assert sorted(found) == [(1, 6, hour[4]), (2, 6, hour[6])]
    assert events.view_key.tolist() == [6, 7, 6]
    assert events.view_ms.tolist() == hour[[3, 3, 5]].tolist()
    # The second impression does not say when it was clicked, so it counts from when it was shown.
    assert events.hit_ms.tolist() == hour[[4, 5]].tolist()
    first_seen_ms = [-2 * HOUR_MS, hour[3], hour[3], -HOUR_MS, NEVER]
    assert events.first_seen_ms(np.array([5, 6, 7, 8, 9])).tolist() == first_seen_ms
    pairs = [keys.tolist() for keys in events.user_article_pairs()]
    assert pairs == [[1, 1, 2], [6, 7, 6]]
    assert events.restricted_to(np.array([7])).view_user.tolist() == [1]
    # One view of article 7 by user 1, one hour before: 2 ** -(1 / 12) with a half-life of 12 hours.
    features = events.user_features(np.array([1]), np.array([7]), hour[[4]])
    assert features["shown_12h"] == pytest.approx([math.log1p(2 ** (-1 / 12))])
