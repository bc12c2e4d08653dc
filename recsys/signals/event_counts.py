"""What happened to articles, and between readers and articles, as of any instant.

The same counts serve a night (all live articles, one instant) and the past (the
candidates of each impression, each at its own instant): what is learned from is what
is served.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import (
    ARTICLE_FEATURES,
    POPULARITY_HOURS,
    RATE_HOURS,
    READ_HOURS,
    SHOWN_HOURS,
    USER_FEATURES,
)
from recsys.kernels.clicks import one_of_pair
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Clicks, Impressions
from recsys.signals.popularity import log_click_rate, log_share
from recsys.signals.timeline import Timeline
from recsys.sorted_ints import distinct, make_pair, split_pair

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR_VIEWS = 20.0  # of the average rate, added to each article


@dataclass(frozen=True)
class Events:
    """Clicks, views, and clicks on what was viewed; by the store's keys, in no order.

    Attributes
    ----------
    click_user, click_key, click_ms : array of int64, shape (n_clicks,)
        The first click of each reader on each article, where its time is known.
    view_user, view_key, view_ms : array of int64, shape (n_views,)
        Articles shown.
    hit_key, hit_ms : array of int64, shape (n_hits,)
        Clicks on what was shown, at the time they were made.
    known_key, known_ms : array of int64, shape (n_known,)
        Articles seen before all that is counted here, ascending, and when first.
    """

    click_user: Ints
    click_key: Ints
    click_ms: Ints
    view_user: Ints
    view_key: Ints
    view_ms: Ints
    hit_key: Ints
    hit_ms: Ints
    known_key: Ints
    known_ms: Ints

    @classmethod
    def of(
        cls, clicks: Clicks, impressions: Impressions, from_ms: int, known: tuple[Ints, Ints]
    ) -> "Events":
        """Return the events of clicks and impressions.

        Parameters
        ----------
        clicks, impressions
            Oldest first. Of clicks before `from_ms` only the first of each article matters.
        from_ms
            Where counting begins.
        known
            Articles seen before any of these, and when first.
        """
        timed = np.flatnonzero(~clicks.time_is_bound)
        is_old = clicks.clicked_ms[timed] < from_ms
        old, timed = timed[is_old], timed[~is_old]
        key = np.concatenate((known[0], clicks.article_key[old]))
        seen_ms = np.concatenate((known[1], clicks.clicked_ms[old]))
        if len(known[0]):  # else they are in order of time, as clicks are
            in_time = np.argsort(seen_ms, kind="stable")
            key, seen_ms = key[in_time], seen_ms[in_time]
        first_place = np.full(int(key.max(initial=-1)) + 1, -1)
        first_place[key[::-1]] = np.arange(len(key))[::-1]  # of several, what is put last stays
        known_key = np.flatnonzero(first_place >= 0)
        first = timed[one_of_pair(clicks.user_key[timed], clicks.article_key[timed], first=True)]
        n_shown = np.diff(impressions.start)
        made = np.where(
            impressions.clicked_ms == UNKNOWN_TIME, impressions.shown_ms, impressions.clicked_ms
        )
        return cls(
            click_user=clicks.user_key[first],
            click_key=clicks.article_key[first],
            click_ms=clicks.clicked_ms[first],
            view_user=np.repeat(impressions.user_key, n_shown),
            view_key=impressions.article_key,
            view_ms=np.repeat(impressions.shown_ms, n_shown),
            hit_key=impressions.article_key[impressions.clicked],
            hit_ms=np.repeat(made, n_shown)[impressions.clicked],
            known_key=known_key,
            known_ms=seen_ms[first_place[known_key]],
        )

    def only(self, keys: Ints) -> "Events":
        """Return the events on some articles; totals are then of those alone."""
        clicks, views = np.isin(self.click_key, keys), np.isin(self.view_key, keys)
        hits = np.isin(self.hit_key, keys)
        return Events(
            self.click_user[clicks],
            self.click_key[clicks],
            self.click_ms[clicks],
            self.view_user[views],
            self.view_key[views],
            self.view_ms[views],
            self.hit_key[hits],
            self.hit_ms[hits],
            self.known_key,
            self.known_ms,
        )

    @cached_property
    def _clicks(self) -> Timeline:
        return Timeline(self.click_key, self.click_ms)

    @cached_property
    def _views(self) -> Timeline:
        return Timeline(self.view_key, self.view_ms)

    @cached_property
    def _hits(self) -> Timeline:
        return Timeline(self.hit_key, self.hit_ms)

    @cached_property
    def _reads(self) -> Timeline:
        return Timeline(make_pair(self.click_user, self.click_key), self.click_ms)

    @cached_property
    def _shown(self) -> Timeline:
        return Timeline(make_pair(self.view_user, self.view_key), self.view_ms)

    def popularity(self, key: Ints, as_of_ms: Ints, half_lives_hours: tuple[float, ...]) -> Floats:
        """Return `log_share` of clicks by each half-life, shape (n_half_lives, n_queries)."""
        clicks = self._clicks.decayed(key, as_of_ms, half_lives_hours)
        return log_share(clicks, self._clicks.total(as_of_ms, half_lives_hours))

    def click_rate(
        self, key: Ints, as_of_ms: Ints, half_lives_hours: tuple[float, ...], prior_views: float
    ) -> Floats:
        """Return `log_click_rate` by each half-life, shape (n_half_lives, n_queries)."""
        views = self._views.total(as_of_ms, half_lives_hours)
        hits = self._hits.total(as_of_ms, half_lives_hours)
        return log_click_rate(
            self._hits.decayed(key, as_of_ms, half_lives_hours),
            self._views.decayed(key, as_of_ms, half_lives_hours),
            hits / np.where(views > 0, views, 1.0),
            prior_views=prior_views,
        )

    def first_seen_ms(self, key: Ints) -> Ints:
        """Return when each article was first clicked or shown; the far future for never."""
        first = np.minimum(self._clicks.first_ms(key), self._views.first_ms(key))
        if not len(self.known_key):
            return first
        place = np.minimum(np.searchsorted(self.known_key, key), len(self.known_key) - 1)
        known = np.where(self.known_key[place] == key, self.known_ms[place], first)
        return np.minimum(first, known)

    def of_articles(self, key: Ints, as_of_ms: Ints) -> dict[str, Floats]:
        """Return `ARTICLE_FEATURES` of articles, each as of its own instant."""
        views = log_share(
            self._views.decayed(key, as_of_ms, RATE_HOURS),
            self._views.total(as_of_ms, RATE_HOURS),
        )
        first = self.first_seen_ms(key)
        seen = first < as_of_ms
        age_hours = np.where(seen, (as_of_ms - np.where(seen, first, 0)) / HOUR_MS, 0.0)
        values = (
            *self.popularity(key, as_of_ms, POPULARITY_HOURS),
            *self.click_rate(key, as_of_ms, RATE_HOURS, PRIOR_VIEWS),
            *views,
            np.log1p(age_hours),
            (~seen).astype(np.float64),
        )
        return dict(zip(ARTICLE_FEATURES, values, strict=True))

    def of_users(self, user: Ints, key: Ints, as_of_ms: Ints) -> dict[str, Floats]:
        """Return `USER_FEATURES` of readers and articles, each as of its own instant.

        How often the article was shown to the reader, and whether it was read; each
        log1p of a decayed count, 0 for a pair that never met.
        """
        pair = make_pair(user, key)
        values = (
            *self._shown.decayed(pair, as_of_ms, SHOWN_HOURS),
            *self._reads.decayed(pair, as_of_ms, READ_HOURS),
        )
        return {n: np.log1p(v) for n, v in zip(USER_FEATURES, values, strict=True)}

    def pairs(self) -> tuple[Ints, Ints]:
        """Return every reader and article that met, once: shown or clicked."""
        shown = make_pair(self.view_user, self.view_key)
        pair = distinct(np.concatenate((shown, make_pair(self.click_user, self.click_key))))
        return split_pair(pair)
