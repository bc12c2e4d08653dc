"""What a night may know: the store's content before `as_of`, on matrix indices.

The one place that decides which clicks count, which articles are live, and who is a
machine. Nothing of `as_of` or later passes through here.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config, DataConfig
from recsys.errors import StoreError
from recsys.kernels.clicks import one_of_pair
from recsys.rows import HOUR_MS, Articles, Clicks, IdMap
from recsys.signals.event_counts import Events
from recsys.sorted_ints import counted, make_pair, runs
from recsys.store.database import Store
from recsys.training.births import births_of
from recsys.training.liveness import live_articles

NO_KEYS = np.zeros(0, dtype=np.int64)
# How far back clicks and views are counted: eight half-lives of a day leave 0.4 % of one.
COUNTED_DAYS = 8.0


@dataclass(frozen=True, slots=True)
class BaseRunFacts:
    """What a run already knew that a refresh carries on.

    Attributes
    ----------
    article_ids
        Its known articles, in its order, which stays.
    first_ms : array of int64
        When each was first seen; the far future for never.
    machines
        Readers it left out.
    sample_one_in
        As of `TrainingWindow`.
    """

    article_ids: Sequence[str]
    first_ms: NDArray[np.int64]
    bots: Sequence[str]
    sample_one_in: int = 1


@dataclass(frozen=True, slots=True)
class TrainingWindow:
    """The store's content before `as_of`, on matrix indices.

    Attributes
    ----------
    as_of_ms
        Nothing later is in here.
    window_from_ms, counted_from_ms
        Oldest click that may be in here, and oldest click and impression that counts.
    articles
        The known articles: those an earlier run knew as it had them, then in id order.
    everyone, users
        All readers of the store, and those with a usable click, in id order.
    user_index, article_index, clicked_ms, dwell_seconds, timed
        Clicks, oldest first, one for each reader and article (their latest);
        `timed` is False where the log knew only a bound.
    events
        What the signals of articles count: of the last `COUNTED_DAYS`.
    live_rows : array of int64
        Indices of live articles, ascending.
    announced : array of bool, shape (n_articles,)
        Known by text alone: not born yet, but asked for.
    born_ms, written_ms : array of int64, shape (n_articles,)
        See `Births.at` and `Births.written_at`.
    bot_keys, machines, bot_clicks
        Readers left out for inhuman speed, by store key and id, and their clicks.
    sample_one_in
        One user in so many is in `users`, sampled by key (`sampled_users`); 1 in every run that
        is served. The events of articles are always those of all users.
    """

    as_of_ms: int
    window_from_ms: int
    counted_from_ms: int
    articles: Articles
    all_users: IdMap
    users: IdMap
    user_index: NDArray[np.int64]
    article_index: NDArray[np.int64]
    clicked_ms: NDArray[np.int64]
    dwell_seconds: NDArray[np.float32]
    timed: NDArray[np.bool_]
    events: Events
    n_impressions: int
    live_rows: NDArray[np.int64]
    announced: NDArray[np.bool_]
    born_ms: NDArray[np.int64]
    written_ms: NDArray[np.int64]
    bot_keys: NDArray[np.int64]
    bots: Sequence[str]
    bot_clicks: Clicks
    sample_one_in: int = 1

    @property
    def age_hours(self) -> NDArray[np.float64]:
        """Return the age of each click."""
        return (self.as_of_ms - self.clicked_ms) / HOUR_MS

    @property
    def counted(self) -> NDArray[np.int64]:
        """Return which clicks the signals of articles are made of."""
        return np.flatnonzero(self.clicked_ms >= self.counted_from_ms)


def read_training_window(
    store: Store,
    as_of_ms: int,
    config: Config,
    announced_keys: NDArray[np.int64] = NO_KEYS,
    earlier: BaseRunFacts | None = None,
    max_users: int | None = None,
) -> TrainingWindow:
    """Return what a night at `as_of_ms` may know: nothing of that instant or later.

    Parameters
    ----------
    store, as_of_ms, config
        What is read, up to when, and which part of it.
    announced_keys
        Articles whose text is known all the same, for it arrives with them: a refresh
        takes it in. They are not live, and nothing is counted of them.
    earlier
        The run that is refreshed; its articles stay known.
    max_users
        Draw so many readers, if there are more: for learning, which looks at a few thousand.
    """
    from_ms = as_of_ms - round(config.data.window_days * 24 * HOUR_MS)
    clicks = store.clicks(from_ms=from_ms, before_ms=as_of_ms)
    counted_from_ms = max(from_ms, as_of_ms - round(COUNTED_DAYS * 24 * HOUR_MS))
    impressions = store.impressions(from_ms=counted_from_ms, before_ms=as_of_ms)
    all_users = store.users()
    bot_keys = _bot_keys(clicks, config.data)
    if earlier is not None:
        known_bots = _indices_of(all_users.ids, earlier.bots)
        bot_keys = np.union1d(bot_keys, all_users.keys[known_bots])
    is_bot = np.isin(clicks.user_key, bot_keys)
    clicks, bot_clicks = select_clicks(clicks, ~is_bot), select_clicks(clicks, is_bot)
    earlier_ids = () if earlier is None else earlier.article_ids
    every_article = store.articles(known_by_ms=as_of_ms, also=announced_keys, also_ids=earlier_ids)
    carried = _carried_articles(every_article, earlier_ids)
    events = Events.of(
        clicks,
        impressions,
        counted_from_ms,
        _first_seen_before(every_article, carried, earlier, as_of_ms),
    )
    births = births_of(every_article, events)
    born_ms, pinned_ids = births.at(as_of_ms), store.pinned_ids(as_of_ms)
    live = live_articles(every_article, events, born_ms, pinned_ids, as_of_ms, config.data)
    is_clicked = np.zeros(len(every_article.id_map), dtype=bool)
    clicked_index = every_article.id_map.index_of_keys(clicks.article_key)
    is_clicked[clicked_index[clicked_index >= 0]] = True
    is_announced = np.isin(every_article.id_map.keys, announced_keys) & ~is_clicked & ~live
    is_new = is_clicked | live | is_announced
    is_new[carried] = False
    known = np.concatenate((carried, np.flatnonzero(is_new)))
    articles = _select_articles(every_article, known)
    clicks = select_clicks(clicks, articles.id_map.index_of_keys(clicks.article_key) >= 0)
    sample_one_in = _sample_one_in(clicks, earlier, max_users)
    clicks = select_clicks(clicks, sampled_users(clicks.user_key, sample_one_in))
    # One click of each user and article: the latest.
    clicks = select_clicks(clicks, one_of_pair(clicks.user_key, clicks.article_key, first=False))
    users = IdMap(*_rows_of(all_users, np.flatnonzero(np.bincount(clicks.user_key))))
    return TrainingWindow(
        as_of_ms=as_of_ms,
        window_from_ms=from_ms,
        counted_from_ms=counted_from_ms,
        articles=articles,
        all_users=all_users,
        users=users,
        user_index=users.index_of_keys(clicks.user_key),
        article_index=articles.id_map.index_of_keys(clicks.article_key),
        clicked_ms=clicks.clicked_ms,
        dwell_seconds=clicks.dwell_seconds,
        timed=~clicks.time_is_bound,
        events=events,
        n_impressions=len(impressions.shown_ms),
        live_rows=np.flatnonzero(live[known]),
        announced=is_announced[known],
        born_ms=born_ms[known],
        written_ms=births.written_at(as_of_ms)[known],
        bot_keys=bot_keys,
        bots=_rows_of(all_users, bot_keys)[0],
        bot_clicks=bot_clicks,
        sample_one_in=sample_one_in,
    )


def _carried_articles(articles: Articles, earlier_ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the indices of the articles that the base run knows, in its order."""
    carried = _indices_of(articles.id_map.ids, earlier_ids)
    if len(carried) < len(earlier_ids):
        raise StoreError(
            "the published run knows articles that this store does not: it was made from"
            " another store; run `recsys nightly`"
        )
    return carried


def _first_seen_before(
    articles: Articles,
    carried: NDArray[np.int64],
    earlier: BaseRunFacts | None,
    as_of_ms: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return keys of articles that the base run had seen before `as_of_ms`, and when."""
    if earlier is None:
        return NO_KEYS, NO_KEYS
    seen = np.flatnonzero(earlier.first_ms < as_of_ms)
    return articles.id_map.keys[carried[seen]], earlier.first_ms[seen]


def _sample_one_in(clicks: Clicks, earlier: BaseRunFacts | None, max_users: int | None) -> int:
    """Return of how many users one is sampled: a power of two times that of the base run."""
    sample_one_in = 1 if earlier is None else earlier.sample_one_in
    if max_users is not None:
        n_users = np.count_nonzero(np.bincount(clicks.user_key))
        while n_users > max_users * sample_one_in:
            sample_one_in *= 2
    return sample_one_in


def sampled_users(user_key: NDArray[np.int64], sample_one_in: int) -> NDArray[np.bool_]:
    """Return which readers are drawn when one in so many is; the same whoever else there is.

    Examples
    --------
    >>> sampled_users(np.arange(8), 4).tolist()
    [True, False, False, False, False, False, True, True]
    """
    if sample_one_in == 1:
        return np.ones(len(user_key), dtype=bool)
    mixed = (user_key * 0x9E3779B1) >> 16  # Knuth's multiplicative hashing: keys are in order
    sampled_users: NDArray[np.bool_] = mixed % sample_one_in == 0
    return sampled_users


def _indices_of(ids: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return the places of some ids, in the order asked; those not there are left out."""
    if not len(wanted):
        return NO_KEYS
    place = {id_: i for i, id_ in enumerate(ids)}
    return np.array([place[id_] for id_ in wanted if id_ in place], dtype=np.int64)


def _rows_of(id_map: IdMap, keys: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
    rows = np.sort(id_map.index_of_keys(keys))
    return [id_map.ids[row] for row in rows.tolist()], id_map.keys[rows]


def select_clicks(clicks: Clicks, keep: NDArray[np.bool_]) -> Clicks:
    """Return the clicks marked in `keep`."""
    if keep.all():
        return clicks
    return Clicks(*(getattr(clicks, f.name)[keep] for f in dataclasses.fields(Clicks)))


def _select_articles(articles: Articles, rows: NDArray[np.int64]) -> Articles:
    def pick(values: Sequence[str]) -> list[str]:
        return [values[row] for row in rows.tolist()]

    return Articles(
        id_map=IdMap(pick(articles.id_map.ids), articles.id_map.keys[rows]),
        titles=pick(articles.titles),
        categories=pick(articles.categories),
        urls=pick(articles.urls),
        authors=pick(articles.authors),
        tags=pick(articles.tags),
        published_ms=articles.published_ms[rows],
        expires_ms=articles.expires_ms[rows],
        added_ms=articles.added_ms[rows],
        digests=pick(articles.digests),
    )


def _bot_keys(clicks: Clicks, data: DataConfig) -> NDArray[np.int64]:
    """Return the keys of readers with more clicks in some time, or on one article, than humans."""
    most = min(data.max_clicks_per_hour, data.max_clicks_per_day, data.max_clicks_per_article)
    is_busy = np.bincount(clicks.user_key) > most  # others cannot
    busy = np.flatnonzero(is_busy[clicks.user_key] & ~clicks.time_is_bound)
    user = (np.cumsum(is_busy) - 1)[clicks.user_key[busy]]
    article, clicked_ms = clicks.article_key[busy], clicks.clicked_ms[busy]
    is_bot = np.zeros(int(is_busy.sum()), dtype=bool)
    for span in runs(clicked_ms // HOUR_MS):
        is_bot |= np.bincount(user[span], minlength=len(is_bot)) > data.max_clicks_per_hour
    for span in runs(clicked_ms // (24 * HOUR_MS)):
        today = np.bincount(user[span], minlength=len(is_bot))
        is_bot |= today > data.max_clicks_per_day
        many = np.flatnonzero(today[user[span]] > data.max_clicks_per_article)
        pair, n_clicks = counted(make_pair(user[span][many], article[span][many]))
        is_bot[pair[n_clicks > data.max_clicks_per_article] >> 32] = True
    return np.flatnonzero(is_busy)[is_bot]
