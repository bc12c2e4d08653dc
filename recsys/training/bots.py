"""Find the bots: users who click more often than a person could."""

import numpy as np
from numpy.typing import NDArray

from recsys.config import DataConfig
from recsys.rows import HOUR_MS, Clicks
from recsys.sorted_ints import distinct_counts, equal_slices, make_pair


def find_bots(clicks: Clicks, config: DataConfig, *, shared_key: int) -> NDArray[np.int64]:
    """Return the store keys of the users who click more often than a person could, ascending.

    A user is a bot with more than `max_clicks_per_hour` clicks in one hour, more than
    `max_clicks_per_day` in one day (UTC), or more than `max_clicks_per_article` on one
    article in one day. A click whose time is only a bound is not counted.

    Parameters
    ----------
    clicks
        Clicks, oldest first.
    config
        The three limits.
    shared_key
        The key of a user who is many people, and so is no bot; see
        `recsys.signals.event_counts.counted_clicks`.
    """
    limit = min(config.max_clicks_per_hour, config.max_clicks_per_day)
    limit = min(limit, config.max_clicks_per_article)
    is_busy = np.bincount(clicks.user_key) > limit  # no other user can exceed any of the limits
    if 0 <= shared_key < len(is_busy):
        is_busy[shared_key] = False
    busy = np.flatnonzero(is_busy[clicks.user_key] & ~clicks.time_is_bound)
    user_index = (np.cumsum(is_busy) - 1)[clicks.user_key[busy]]
    article_key, clicked_ms = clicks.article_key[busy], clicks.clicked_ms[busy]
    is_bot = np.zeros(int(is_busy.sum()), dtype=bool)
    for hour in equal_slices(clicked_ms // HOUR_MS):
        n_in_hour = np.bincount(user_index[hour], minlength=len(is_bot))
        is_bot |= n_in_hour > config.max_clicks_per_hour
    for day in equal_slices(clicked_ms // (24 * HOUR_MS)):
        users, articles = user_index[day], article_key[day]
        n_in_day = np.bincount(users, minlength=len(is_bot))
        is_bot |= n_in_day > config.max_clicks_per_day
        many = np.flatnonzero(n_in_day[users] > config.max_clicks_per_article)
        pair, n_clicks = distinct_counts(make_pair(users[many], articles[many]))
        is_bot[pair[n_clicks > config.max_clicks_per_article] >> 32] = True
    return np.flatnonzero(is_busy)[is_bot]
