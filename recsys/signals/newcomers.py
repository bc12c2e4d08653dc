"""Count the events of newcomers no more than those of settled users warrant.

A *settled* user was seen a day before, a *newcomer* was not. A new id costs nothing, so any number
of them can be made to read one article. Real newcomers read what settled users read, more or less;
of each article they are counted up to what its settled users and the newcomers of all other
articles together make credible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS, Clicks, Impressions
from recsys.signals.timeline import NEVER, Timeline

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SETTLED_HOURS = 24.0  # after the first event a user is settled
# Standard deviations of the count of settled users that newcomers may exceed it by. At 2, pages of
# EB-NeRD with a click lose .006 (.001 to .016), at 4 .003 (-.002 to .011), at 8 nothing; the crowds
# of scripts/crowd.py move no list of the sample farther at 4 than at 2, and all farther at 8.
DOUBT = 4.0


def credible_counts(
    settled: Floats, new: Floats, settled_total: Floats, new_total: Floats
) -> Floats:
    """Add to the events of settled users on an article as many of newcomers as are credible.

    Where no user is settled at all, everything counts.

    Parameters
    ----------
    settled, new : array of float64, equal shapes
        Decayed events on an article by settled users, and by newcomers.
    settled_total, new_total : array of float64, equal shapes
        The same on all articles together.

    Returns
    -------
    array of float64
        Between `settled` and `settled + new`; `settled` plus something where `new` is not 0.

    Notes
    -----
    settled + min(new, r (settled + DOUBT sqrt(settled + 1))), where r is how many newcomers come
    with each settled user on all *other* articles: (new_total - new + 1) / (settled_total - settled
    + 1). So a crowd does not raise its own limit, and a log in which nearly all users are new,
    such as one without cookies, is hardly limited at all. The square root is the standard
    deviation of a Poisson count; one event on each side is added for doubt.

    Examples
    --------
    An article with 3 settled readers; beside it 99 of settled users and 24 of newcomers. r = 1 / 4,
    so newcomers count for at most (3 + 4 x 2) / 4 = 2.75 clicks, were they a hundred.

    >>> credible_counts(np.array([3.0, 3.0]), np.array([1.0, 100.0]),
    ...     np.array([102.0, 102.0]), np.array([25.0, 124.0])).tolist()
    [4.0, 5.75]
    """
    elsewhere = np.maximum(settled_total - settled, 0.0) + 1.0  # sums of floats may fall below 0
    ratio = (np.maximum(new_total - new, 0.0) + 1.0) / elsewhere
    most = ratio * (settled + DOUBT * np.sqrt(settled + 1.0))
    most = np.where(settled_total > 0, most, np.inf)
    counts: Floats = settled + np.minimum(new, most)
    return counts


def settled_from_ms(
    clicks: Clicks, impressions: Impressions, from_ms: int, *, shared_key: int
) -> Ints:
    """Return the instant from which each user is settled, by the store's user key.

    That is a day after the first event since `from_ms`. A click whose time is only a bound was made
    long before, so a user with such a click is settled from the bound on.

    Parameters
    ----------
    clicks, impressions
        Oldest first.
    from_ms
        Events before this instant are ignored, so that a nightly run and a refresh, which read
        different pasts, agree.
    shared_key
        The key of a user who is many people (see `event_counts.counted_clicks`), never settled.

    Returns
    -------
    array of int64, shape (largest key + 1,)
        `timeline.NEVER` for a user without events.
    """
    counts = clicks.clicked_ms >= from_ms
    bound = counts & clicks.time_is_bound
    timed = counts & ~clicks.time_is_bound
    shown = impressions.shown_ms >= from_ms
    day = round(SETTLED_HOURS * HOUR_MS)
    largest = max(int(clicks.user_key.max(initial=-1)), int(impressions.user_key.max(initial=-1)))
    settled = np.full(largest + 1, NEVER)
    for key, ms in (
        (clicks.user_key[bound], clicks.clicked_ms[bound]),
        (clicks.user_key[timed], clicks.clicked_ms[timed] + day),
        (impressions.user_key[shown], impressions.shown_ms[shown] + day),
    ):
        first = np.full(largest + 1, NEVER)
        first[key[::-1]] = ms[::-1]  # of several values for one key, numpy keeps the last one
        settled = np.minimum(settled, first)
    if 0 <= shared_key <= largest:
        settled[shared_key] = NEVER
    return settled


@dataclass(frozen=True)
class CredibleTimeline:
    """Events on keys, like a `Timeline`, of which those of newcomers count if they are credible.

    Attributes
    ----------
    key, event_ms : array of int64, shape (n_events,)
        Key and instant (in ms) of each event, in any order.
    is_new : array of bool, shape (n_events,)
        Whether the event is one of a newcomer.
    """

    key: Ints
    event_ms: Ints
    is_new: NDArray[np.bool_]

    @cached_property
    def settled(self) -> Timeline:
        """Return the events of settled users."""
        return Timeline(self.key[~self.is_new], self.event_ms[~self.is_new])

    @cached_property
    def new(self) -> Timeline:
        """Return the events of newcomers."""
        return Timeline(self.key[self.is_new], self.event_ms[self.is_new])

    def first_ms(self, query_key: Ints) -> Ints:
        """See `Timeline.first_ms`."""
        return np.minimum(self.settled.first_ms(query_key), self.new.first_ms(query_key))

    def last_ms(self, query_key: Ints, before_ms: int) -> Ints:
        """See `Timeline.last_ms`."""
        settled, new = (of.last_ms(query_key, before_ms) for of in (self.settled, self.new))
        return np.maximum(settled, new)  # UNKNOWN_TIME is less than any instant

    def decayed_counts(
        self, query_key: Ints, query_ms: Ints, half_lives_hours: Sequence[float]
    ) -> Floats:
        """Count as `Timeline.decayed_counts` does, newcomers as `credible_counts` does."""
        settled = self.settled.decayed_counts(query_key, query_ms, half_lives_hours)
        if not self.is_new.any():
            return settled
        return credible_counts(
            settled,
            self.new.decayed_counts(query_key, query_ms, half_lives_hours),
            self.settled.total_counts(query_ms, half_lives_hours),
            self.new.total_counts(query_ms, half_lives_hours),
        )

    def total_counts(self, query_ms: Ints, half_lives_hours: Sequence[float]) -> Floats:
        """Count all events, those of newcomers in full; see `Timeline.total_counts`."""
        settled = self.settled.total_counts(query_ms, half_lives_hours)
        if not self.is_new.any():
            return settled
        total: Floats = settled + self.new.total_counts(query_ms, half_lives_hours)
        return total
