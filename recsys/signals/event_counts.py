"""Count clicks and impressions of articles, and of users on articles, as of any instant.

A run counts all live articles at one instant. Learning counts the candidates of each past
impression at the instant of that impression. Both use these functions, so the features that the
heads learn from are computed as those that are served.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.clicks import one_of_pair
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Clicks, Impressions
from recsys.signals.event_features import (
    ARTICLE_FEATURES,
    POPULARITY_HOURS,
    RATE_HOURS,
    READ_HOURS,
    SHOWN_HOURS,
    USER_FEATURES,
)
from recsys.signals.newcomers import CredibleTimeline, settled_from_ms
from recsys.signals.popularity import log_click_rate, log_share
from recsys.signals.timeline import Timeline
from recsys.sorted_ints import distinct, make_pair, split_pair

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_USER = -1  # the key of none
PRIOR_VIEWS = 20.0  # views with the average click rate, added to those of each article


@dataclass(frozen=True)
class Events:
    """Clicks, views and hits of articles, by the store's keys, in any order.

    A view is one article shown in one impression. A hit is a click on a shown article.

    Attributes
    ----------
    click_user, click_key, click_ms : array of int64, shape (n_clicks,)
        User, article and instant of the first click of each user on each article, of clicks whose
        time is known.
    view_user, view_key, view_ms : array of int64, shape (n_views,)
        User, article and instant of each view.
    hit_user, hit_key, hit_ms : array of int64, shape (n_hits,)
        User, article and instant of each hit.
    earlier_key, earlier_ms : array of int64, shape (n_earlier,)
        Articles that were seen before the counted events, ascending, and the instant at which each
        was first seen.
    settled_ms : array of int64, shape (largest user key + 1,)
        The instant from which each user is settled; see `newcomers.settled_from_ms`.
    """

    click_user: Ints
    click_key: Ints
    click_ms: Ints
    view_user: Ints
    view_key: Ints
    view_ms: Ints
    hit_user: Ints
    hit_key: Ints
    hit_ms: Ints
    earlier_key: Ints
    earlier_ms: Ints
    settled_ms: Ints

    @classmethod
    def from_logs(
        cls,
        clicks: Clicks,
        impressions: Impressions,
        from_ms: int,
        earlier: tuple[Ints, Ints],
        *,
        shared_key: int = NO_USER,
    ) -> "Events":
        """Extract the events from clicks and impressions.

        Parameters
        ----------
        clicks, impressions
            Oldest first. Of the clicks before `from_ms`, only the first of each article is used.
        from_ms
            Instant from which clicks are counted.
        earlier
            Keys of articles seen before these clicks and impressions, and the instant at which each
            was first seen.
        shared_key
            See `counted_clicks`.
        """
        timed = np.flatnonzero(~clicks.time_is_bound)
        is_before = clicks.clicked_ms[timed] < from_ms
        before, timed = timed[is_before], timed[~is_before]
        earlier_key, earlier_ms = _first_seen(
            np.concatenate((earlier[0], clicks.article_key[before])),
            np.concatenate((earlier[1], clicks.clicked_ms[before])),
            is_sorted=not len(earlier[0]),  # clicks are in order of time
        )
        users, articles = clicks.user_key[timed], clicks.article_key[timed]
        first = timed[counted_clicks(users, articles, shared_key=shared_key, first=True)]
        n_shown = np.diff(impressions.start)
        hit_ms = np.where(
            impressions.clicked_ms == UNKNOWN_TIME, impressions.shown_ms, impressions.clicked_ms
        )
        return cls(
            click_user=clicks.user_key[first],
            click_key=clicks.article_key[first],
            click_ms=clicks.clicked_ms[first],
            view_user=np.repeat(impressions.user_key, n_shown),
            view_key=impressions.article_key,
            view_ms=np.repeat(impressions.shown_ms, n_shown),
            hit_user=np.repeat(impressions.user_key, n_shown)[impressions.clicked],
            hit_key=impressions.article_key[impressions.clicked],
            hit_ms=np.repeat(hit_ms, n_shown)[impressions.clicked],
            earlier_key=earlier_key,
            earlier_ms=earlier_ms,
            settled_ms=settled_from_ms(clicks, impressions, from_ms, shared_key=shared_key),
        )

    def restricted_to(self, article_keys: Ints) -> "Events":
        """Return the events on some articles only; totals then count only those articles."""
        clicks = np.isin(self.click_key, article_keys)
        views = np.isin(self.view_key, article_keys)
        hits = np.isin(self.hit_key, article_keys)
        return Events(
            self.click_user[clicks],
            self.click_key[clicks],
            self.click_ms[clicks],
            self.view_user[views],
            self.view_key[views],
            self.view_ms[views],
            self.hit_user[hits],
            self.hit_key[hits],
            self.hit_ms[hits],
            self.earlier_key,
            self.earlier_ms,
            self.settled_ms,
        )

    def is_settled(self, user_key: Ints, at_ms: Ints | int) -> NDArray[np.bool_]:
        """Return which users are settled at an instant; see `recsys.signals.newcomers`.

        Parameters
        ----------
        user_key : array of int64, shape (n,)
            The users; one without events is not settled.
        at_ms : int, or array of int64, shape (n,)
            The instants.
        """
        is_known = user_key < len(self.settled_ms)
        result = np.zeros(len(user_key), dtype=bool)
        settled_ms = self.settled_ms[user_key[is_known]]
        result[is_known] = settled_ms <= np.broadcast_to(at_ms, user_key.shape)[is_known]
        return result

    @cached_property
    def _clicks(self) -> CredibleTimeline:
        is_new = ~self.is_settled(self.click_user, self.click_ms)
        return CredibleTimeline(self.click_key, self.click_ms, is_new)

    @cached_property
    def _views(self) -> CredibleTimeline:
        is_new = ~self.is_settled(self.view_user, self.view_ms)
        return CredibleTimeline(self.view_key, self.view_ms, is_new)

    @cached_property
    def _hits(self) -> CredibleTimeline:
        is_new = ~self.is_settled(self.hit_user, self.hit_ms)
        return CredibleTimeline(self.hit_key, self.hit_ms, is_new)

    @cached_property
    def _clicks_of_users(self) -> Timeline:
        return Timeline(make_pair(self.click_user, self.click_key), self.click_ms)

    @cached_property
    def _views_of_users(self) -> Timeline:
        return Timeline(make_pair(self.view_user, self.view_key), self.view_ms)

    def popularity(
        self, article_key: Ints, as_of_ms: Ints, half_lives_hours: tuple[float, ...]
    ) -> Floats:
        """Compute `popularity.log_share` of clicks for each half-life.

        Parameters
        ----------
        article_key, as_of_ms : array of int64, shape (n_queries,)
            Articles, and for each the instant before which clicks count.
        half_lives_hours
            Ages at which a click counts 0.5.

        Returns
        -------
        array of float64, shape (n_half_lives, n_queries)
        """
        return _log_share(self._clicks, article_key, as_of_ms, half_lives_hours)

    def click_rate(
        self,
        article_key: Ints,
        as_of_ms: Ints,
        half_lives_hours: tuple[float, ...],
        prior_views: float,
    ) -> Floats:
        """Compute `popularity.log_click_rate` for each half-life.

        Parameters
        ----------
        article_key, as_of_ms, half_lives_hours
            See `popularity`.
        prior_views
            Views with the average click rate, added to those of each article.

        Returns
        -------
        array of float64, shape (n_half_lives, n_queries)
        """
        all_views = self._views.total_counts(as_of_ms, half_lives_hours)
        all_hits = self._hits.total_counts(as_of_ms, half_lives_hours)
        return log_click_rate(
            self._hits.decayed_counts(article_key, as_of_ms, half_lives_hours),
            self._views.decayed_counts(article_key, as_of_ms, half_lives_hours),
            all_hits / np.where(all_views > 0, all_views, 1.0),
            prior_views=prior_views,
        )

    def first_seen_ms(self, article_key: Ints) -> Ints:
        """Return when each article was first clicked or shown; `timeline.NEVER` if it was not."""
        first_ms = np.minimum(self._clicks.first_ms(article_key), self._views.first_ms(article_key))
        if not len(self.earlier_key):
            return first_ms
        index = np.searchsorted(self.earlier_key, article_key)
        index = np.minimum(index, len(self.earlier_key) - 1)
        is_earlier = self.earlier_key[index] == article_key
        return np.minimum(first_ms, np.where(is_earlier, self.earlier_ms[index], first_ms))

    def last_clicked_ms(self, article_key: Ints, before_ms: int) -> Ints:
        """Return when each article was last clicked before an instant; UNKNOWN_TIME for never.

        Only the first click of each user on each article counts.
        """
        return self._clicks.last_ms(article_key, before_ms)

    def article_features(self, article_key: Ints, as_of_ms: Ints) -> dict[str, Floats]:
        """Compute `ARTICLE_FEATURES` of articles, each as of its own instant.

        Parameters
        ----------
        article_key, as_of_ms : array of int64, shape (n_queries,)
            Articles, and for each the instant before which events count.

        Returns
        -------
        dict of array of float64, shape (n_queries,)
        """
        first_ms = self.first_seen_ms(article_key)
        is_seen = first_ms < as_of_ms
        age_hours = np.where(is_seen, (as_of_ms - np.where(is_seen, first_ms, 0)) / HOUR_MS, 0.0)
        values = (
            *self.popularity(article_key, as_of_ms, POPULARITY_HOURS),
            *self.click_rate(article_key, as_of_ms, RATE_HOURS, PRIOR_VIEWS),
            *_log_share(self._views, article_key, as_of_ms, RATE_HOURS),
            np.log1p(age_hours),
            (~is_seen).astype(np.float64),
        )
        return dict(zip(ARTICLE_FEATURES, values, strict=True))

    def user_features(self, user_key: Ints, article_key: Ints, as_of_ms: Ints) -> dict[str, Floats]:
        """Compute `USER_FEATURES` of pairs of a user and an article, each as of its own instant.

        They say how often the article was shown to the user, and whether the user clicked it.

        Parameters
        ----------
        user_key, article_key, as_of_ms : array of int64, shape (n_queries,)
            Users and articles, and for each pair the instant before which events count.

        Returns
        -------
        dict of array of float64, shape (n_queries,)
            log1p of decayed counts; 0 for a pair without events.
        """
        pair = make_pair(user_key, article_key)
        counts = (
            *self._views_of_users.decayed_counts(pair, as_of_ms, SHOWN_HOURS),
            *self._clicks_of_users.decayed_counts(pair, as_of_ms, READ_HOURS),
        )
        return {name: np.log1p(count) for name, count in zip(USER_FEATURES, counts, strict=True)}

    def user_article_pairs(self) -> tuple[Ints, Ints]:
        """Return the distinct pairs of a user and an article that was shown to or clicked by them.

        Returns
        -------
        user_key, article_key : array of int64, shape (n_pairs,)
            In the order of user key, then article key.
        """
        shown = make_pair(self.view_user, self.view_key)
        clicked = make_pair(self.click_user, self.click_key)
        return split_pair(distinct(np.concatenate((shown, clicked))))


def counted_clicks(
    user_key: Ints, article_key: Ints, *, shared_key: int, first: bool
) -> NDArray[np.bool_]:
    """Return which clicks count: one of each user on each article.

    Parameters
    ----------
    user_key, article_key : array of int64, shape (n_clicks,)
        The clicks, oldest first.
    shared_key
        The key of a user who is many people, each of whose clicks counts: the clicks without a
        user id and without a session. `NO_USER` if there are none.
    first
        Whether the first click of a user on an article counts, or the last.

    Examples
    --------
    >>> users, articles = np.array([4, 4, 9, 9]), np.array([1, 1, 1, 1])
    >>> counted_clicks(users, articles, shared_key=9, first=True).tolist()
    [True, False, True, True]
    """
    is_shared: NDArray[np.bool_] = user_key == shared_key
    return one_of_pair(user_key, article_key, first=first) | is_shared


def _first_seen(key: Ints, seen_ms: Ints, *, is_sorted: bool) -> tuple[Ints, Ints]:
    """Return the distinct keys, ascending, and the earliest instant of each.

    Parameters
    ----------
    key, seen_ms : array of int64, shape (n,)
        Keys and instants.
    is_sorted
        Whether the instants are ascending.
    """
    if not is_sorted:
        order = np.argsort(seen_ms, kind="stable")
        key, seen_ms = key[order], seen_ms[order]
    first_index = np.full(int(key.max(initial=-1)) + 1, -1)
    # Of several values for one key, numpy keeps the last one assigned: here the earliest.
    first_index[key[::-1]] = np.arange(len(key))[::-1]
    keys = np.flatnonzero(first_index >= 0)
    return keys, seen_ms[first_index[keys]]


def _log_share(
    events: CredibleTimeline, key: Ints, as_of_ms: Ints, half_lives_hours: tuple[float, ...]
) -> Floats:
    return log_share(
        events.decayed_counts(key, as_of_ms, half_lives_hours),
        events.total_counts(as_of_ms, half_lives_hours),
    )
