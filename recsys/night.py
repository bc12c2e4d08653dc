"""What a night may know: the store's content before `as_of`, on matrix indices.

The one place that decides which clicks count, which articles are live, and who is a
machine. Nothing of `as_of` or later passes through here.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Articles, Clicks, IdMap, Impressions
from recsys.store import Store


@dataclass(frozen=True, slots=True)
class Events:
    """What happened to articles, by the store's article keys, in no particular order.

    Attributes
    ----------
    click_key, click_ms : array of int64, shape (n_clicks,)
        The first click of each reader on each article, where its time is known.
    view_key, view_ms : array of int64, shape (n_views,)
        Articles shown.
    hit_key, hit_ms : array of int64, shape (n_hits,)
        Clicks on what was shown, at the time they were made.
    """

    click_key: NDArray[np.int64]
    click_ms: NDArray[np.int64]
    view_key: NDArray[np.int64]
    view_ms: NDArray[np.int64]
    hit_key: NDArray[np.int64]
    hit_ms: NDArray[np.int64]


def events_of(clicks: Clicks, impressions: Impressions) -> Events:
    """Return the events of clicks and impressions; clicks must be oldest first."""
    timed = np.flatnonzero(~clicks.time_is_bound)
    pair = np.stack((clicks.user_key[timed], clicks.article_key[timed]))
    _, first = np.unique(pair, axis=1, return_index=True)
    first = timed[first]
    n_shown = np.diff(impressions.start)
    made = np.where(
        impressions.clicked_ms == UNKNOWN_TIME, impressions.shown_ms, impressions.clicked_ms
    )
    return Events(
        click_key=clicks.article_key[first],
        click_ms=clicks.clicked_ms[first],
        view_key=impressions.article_key,
        view_ms=np.repeat(impressions.shown_ms, n_shown),
        hit_key=impressions.article_key[impressions.clicked],
        hit_ms=np.repeat(made, n_shown)[impressions.clicked],
    )


@dataclass(frozen=True, slots=True)
class Night:
    """The store's content before `as_of`, on matrix indices.

    Attributes
    ----------
    as_of_ms
        Nothing later is in here.
    window_from_ms, views_from_ms
        Oldest click and oldest impression that may be in here.
    articles
        The known articles, in id order.
    users
        Readers with a usable click, in id order.
    user_index, article_index, clicked_ms, dwell_seconds, timed
        Clicks, oldest first, one for each reader and article (their latest);
        `timed` is False where the log knew only a bound.
    events
        What the signals of articles count; impressions reach back eight half-lives of
        the click-through rate.
    live_rows : array of int64
        Indices of live articles, ascending.
    born_ms : array of int64, shape (n_articles,)
        Publication, else first sight; UNKNOWN_TIME for neither.
    machine_keys, n_machine_clicks
        Store keys of readers left out for inhuman speed, and how many clicks they made.
    """

    as_of_ms: int
    window_from_ms: int
    views_from_ms: int
    articles: Articles
    users: IdMap
    user_index: NDArray[np.int64]
    article_index: NDArray[np.int64]
    clicked_ms: NDArray[np.int64]
    dwell_seconds: NDArray[np.float32]
    timed: NDArray[np.bool_]
    events: Events
    n_impressions: int
    live_rows: NDArray[np.int64]
    born_ms: NDArray[np.int64]
    machine_keys: NDArray[np.int64]
    n_machine_clicks: int

    @property
    def age_hours(self) -> NDArray[np.float64]:
        """Return the age of each click."""
        return (self.as_of_ms - self.clicked_ms) / HOUR_MS


def read_night(store: Store, as_of_ms: int, config: Config) -> Night:
    """Return what a night at `as_of_ms` may know: nothing of that instant or later."""
    from_ms = as_of_ms - round(config.data.window_days * 24 * HOUR_MS)
    clicks = store.clicks(from_ms=from_ms, before_ms=as_of_ms)
    ctr_from_ms = as_of_ms - round(8 * config.popularity.ctr_half_life_hours * HOUR_MS)
    views_from_ms = max(from_ms, ctr_from_ms)
    impressions = store.impressions(from_ms=views_from_ms, before_ms=as_of_ms)
    machine_keys = _machines(clicks, config.data.max_clicks_per_hour)
    human = ~np.isin(clicks.user_key, machine_keys)
    clicks = select_clicks(clicks, human)
    events = events_of(clicks, impressions)
    everything = store.articles(known_by_ms=as_of_ms)
    born, last_seen = _lifetimes(everything, clicks, impressions)
    live = _live(everything, born, last_seen, as_of_ms, config)
    clicked = np.zeros(len(everything.id_map), dtype=bool)
    place = everything.id_map.index_of_keys(clicks.article_key)
    clicked[place[place >= 0]] = True
    known = np.flatnonzero(clicked | live)
    articles = _select_articles(everything, known)
    # One click for each reader and article: the latest.
    article = articles.id_map.index_of_keys(clicks.article_key)
    clicks = select_clicks(clicks, article >= 0)
    latest = _latest_of_pair(clicks)
    clicks = select_clicks(clicks, latest)
    all_users = store.users()
    users = IdMap(*_rows_of(all_users, np.unique(clicks.user_key)))
    return Night(
        as_of_ms=as_of_ms,
        window_from_ms=from_ms,
        views_from_ms=views_from_ms,
        articles=articles,
        users=users,
        user_index=users.index_of_keys(clicks.user_key),
        article_index=articles.id_map.index_of_keys(clicks.article_key),
        clicked_ms=clicks.clicked_ms,
        dwell_seconds=clicks.dwell_seconds,
        timed=~clicks.time_is_bound,
        events=events,
        n_impressions=len(impressions.shown_ms),
        live_rows=np.flatnonzero(live[known]),
        born_ms=born[known],
        machine_keys=machine_keys,
        n_machine_clicks=int((~human).sum()),
    )


def _rows_of(id_map: IdMap, keys: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
    rows = np.sort(id_map.index_of_keys(keys))
    return [id_map.ids[row] for row in rows.tolist()], id_map.keys[rows]


def select_clicks(clicks: Clicks, keep: NDArray[np.bool_]) -> Clicks:
    """Return the clicks marked in `keep`."""
    return Clicks(*(getattr(clicks, f.name)[keep] for f in dataclasses.fields(Clicks)))


def _select_articles(articles: Articles, rows: NDArray[np.int64]) -> Articles:
    def pick(values: Sequence[str]) -> list[str]:
        return [values[row] for row in rows.tolist()]

    return Articles(
        id_map=IdMap(pick(articles.id_map.ids), articles.id_map.keys[rows]),
        titles=pick(articles.titles),
        bodies=pick(articles.bodies),
        categories=pick(articles.categories),
        urls=pick(articles.urls),
        authors=pick(articles.authors),
        published_ms=articles.published_ms[rows],
        expires_ms=articles.expires_ms[rows],
        added_ms=articles.added_ms[rows],
        digests=pick(articles.digests),
    )


def _machines(clicks: Clicks, max_clicks_per_hour: int) -> NDArray[np.int64]:
    """Return the keys of readers with more clicks in an hour than a human makes."""
    timed = ~clicks.time_is_bound
    cell = np.stack((clicks.user_key[timed], clicks.clicked_ms[timed] // HOUR_MS))
    cells, n_clicks = np.unique(cell, axis=1, return_counts=True)
    return np.unique(cells[0][n_clicks > max_clicks_per_hour])


def _latest_of_pair(clicks: Clicks) -> NDArray[np.bool_]:
    """Return True for the last click of each reader on each article (clicks are in order)."""
    pair = np.stack((clicks.user_key, clicks.article_key))[:, ::-1]
    _, first_from_end = np.unique(pair, axis=1, return_index=True)
    keep = np.zeros(len(clicks.user_key), dtype=bool)
    keep[len(keep) - 1 - first_from_end] = True
    return keep


def _lifetimes(
    articles: Articles, clicks: Clicks, impressions: Impressions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when each article was born (published or first seen), and last clicked."""
    n_articles = len(articles.id_map)
    far = np.iinfo(np.int64).max
    first = np.full(n_articles, far)
    last = np.full(n_articles, UNKNOWN_TIME)
    place = articles.id_map.index_of_keys(clicks.article_key)
    ok = (place >= 0) & ~clicks.time_is_bound
    np.minimum.at(first, place[ok], clicks.clicked_ms[ok])
    np.maximum.at(last, place[ok], clicks.clicked_ms[ok])
    shown = articles.id_map.index_of_keys(impressions.article_key)
    shown_ms = np.repeat(impressions.shown_ms, np.diff(impressions.start))
    np.minimum.at(first, shown[shown >= 0], shown_ms[shown >= 0])
    seen = np.where(first == far, articles.added_ms, first)
    born = np.where(articles.published_ms != UNKNOWN_TIME, articles.published_ms, seen)
    return born, last


def _live(
    articles: Articles,
    born: NDArray[np.int64],
    last_seen: NDArray[np.int64],
    as_of_ms: int,
    config: Config,
) -> NDArray[np.bool_]:
    """Return which articles may be recommended at `as_of_ms`."""
    data = config.data
    young = (born != UNKNOWN_TIME) & (born <= as_of_ms)
    young &= born > as_of_ms - round(data.max_age_hours * HOUR_MS)
    active = last_seen > as_of_ms - round(data.active_hours * HOUR_MS)
    expired = (articles.expires_ms != UNKNOWN_TIME) & (articles.expires_ms <= as_of_ms)
    live: NDArray[np.bool_] = (young | active) & ~expired
    return live
