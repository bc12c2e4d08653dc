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
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Articles, Clicks, IdMap
from recsys.signals.event_counts import Events
from recsys.sorted_ints import counted, pair_of, runs
from recsys.store.database import Store
from recsys.training.births import _last_clicked, births_of

NO_KEYS = np.zeros(0, dtype=np.int64)
# How far back clicks and views are counted: eight half-lives of a day leave 0.4 % of one.
COUNTED_DAYS = 8.0


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a run already knew that a refresh carries on.

    Attributes
    ----------
    article_ids
        Its known articles, in its order, which stays.
    first_ms : array of int64
        When each was first seen; the far future for never.
    machines
        Readers it left out.
    one_in
        As of `Night`.
    """

    article_ids: Sequence[str]
    first_ms: NDArray[np.int64]
    machines: Sequence[str]
    one_in: int = 1


@dataclass(frozen=True, slots=True)
class Night:
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
    machine_keys, machines, machine_clicks
        Readers left out for inhuman speed, by store key and id, and their clicks.
    one_in
        Of how many readers one is in `users`, drawn by their key (`drawn`): 1 for all, and so
        in whatever is served. Articles' events are of everybody all the same.
    """

    as_of_ms: int
    window_from_ms: int
    counted_from_ms: int
    articles: Articles
    everyone: IdMap
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
    machine_keys: NDArray[np.int64]
    machines: Sequence[str]
    machine_clicks: Clicks
    one_in: int = 1

    @property
    def age_hours(self) -> NDArray[np.float64]:
        """Return the age of each click."""
        return (self.as_of_ms - self.clicked_ms) / HOUR_MS

    @property
    def counted(self) -> NDArray[np.int64]:
        """Return which clicks the signals of articles are made of."""
        return np.flatnonzero(self.clicked_ms >= self.counted_from_ms)


def read_night(
    store: Store,
    as_of_ms: int,
    config: Config,
    announced_keys: NDArray[np.int64] = NO_KEYS,
    earlier: Earlier | None = None,
    most_readers: int | None = None,
) -> Night:
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
    most_readers
        Draw so many readers, if there are more: for learning, which looks at a few thousand.
    """
    from_ms = as_of_ms - round(config.data.window_days * 24 * HOUR_MS)
    clicks = store.clicks(from_ms=from_ms, before_ms=as_of_ms)
    counted_from_ms = max(from_ms, as_of_ms - round(COUNTED_DAYS * 24 * HOUR_MS))
    impressions = store.impressions(from_ms=counted_from_ms, before_ms=as_of_ms)
    all_users = store.users()
    machine_keys = _machines(clicks, config.data)
    earlier_ids: Sequence[str] = ()
    if earlier is not None:
        earlier_ids = earlier.article_ids
        named = [all_users.keys[row] for row in _places(all_users.ids, earlier.machines)]
        machine_keys = np.union1d(machine_keys, np.array(named, dtype=np.int64))
    machine = np.isin(clicks.user_key, machine_keys)
    clicks, machine_clicks = select_clicks(clicks, ~machine), select_clicks(clicks, machine)
    everything = store.articles(known_by_ms=as_of_ms, also=announced_keys, also_ids=earlier_ids)
    carried = _places(everything.id_map.ids, earlier_ids)
    if len(carried) < len(earlier_ids):
        raise StoreError(
            "the published run knows articles that this store does not: it was made from"
            " another store; run `recsys nightly`"
        )
    first = (NO_KEYS, NO_KEYS)
    if earlier is not None:
        seen = np.flatnonzero(earlier.first_ms < as_of_ms)
        first = (everything.id_map.keys[carried[seen]], earlier.first_ms[seen])
    events = Events.of(clicks, impressions, counted_from_ms, first)
    births = births_of(everything, events)
    born, last_seen = births.at(as_of_ms), _last_clicked(everything, events)
    live = _live(everything, born, last_seen, as_of_ms, config)
    # What editors pin may be shown, however old, once it is out and until it is over.
    pinned = np.zeros(len(born), dtype=bool)
    pinned[_places(everything.id_map.ids, store.pinned_ids(as_of_ms))] = True
    is_out = (born != UNKNOWN_TIME) & (born <= as_of_ms)
    live |= pinned & is_out & ~_expired(everything, as_of_ms)
    clicked = np.zeros(len(everything.id_map), dtype=bool)
    place = everything.id_map.index_of_keys(clicks.article_key)
    clicked[place[place >= 0]] = True
    announced = np.isin(everything.id_map.keys, announced_keys) & ~clicked & ~live
    wanted = clicked | live | announced
    wanted[carried] = False
    known = np.concatenate((carried, np.flatnonzero(wanted)))
    articles = _select_articles(everything, known)
    # One click for each reader and article: the latest.
    article = articles.id_map.index_of_keys(clicks.article_key)
    clicks = select_clicks(clicks, article >= 0)
    one_in = 1 if earlier is None else earlier.one_in
    if most_readers is not None:
        n_readers = np.count_nonzero(np.bincount(clicks.user_key))
        while n_readers > most_readers * one_in:
            one_in *= 2
    clicks = select_clicks(clicks, drawn(clicks.user_key, one_in))
    clicks = select_clicks(clicks, one_of_pair(clicks.user_key, clicks.article_key, first=False))
    users = IdMap(*_rows_of(all_users, np.flatnonzero(np.bincount(clicks.user_key))))
    return Night(
        as_of_ms=as_of_ms,
        window_from_ms=from_ms,
        counted_from_ms=counted_from_ms,
        articles=articles,
        everyone=all_users,
        users=users,
        user_index=users.index_of_keys(clicks.user_key),
        article_index=articles.id_map.index_of_keys(clicks.article_key),
        clicked_ms=clicks.clicked_ms,
        dwell_seconds=clicks.dwell_seconds,
        timed=~clicks.time_is_bound,
        events=events,
        n_impressions=len(impressions.shown_ms),
        live_rows=np.flatnonzero(live[known]),
        announced=announced[known],
        born_ms=born[known],
        written_ms=births.written_at(as_of_ms)[known],
        machine_keys=machine_keys,
        machines=_rows_of(all_users, machine_keys)[0],
        machine_clicks=machine_clicks,
        one_in=one_in,
    )


def drawn(user_key: NDArray[np.int64], one_in: int) -> NDArray[np.bool_]:
    """Return which readers are drawn when one in so many is; the same whoever else there is.

    Examples
    --------
    >>> drawn(np.arange(8), 4).tolist()
    [True, False, False, False, False, False, True, True]
    """
    if one_in == 1:
        return np.ones(len(user_key), dtype=bool)
    mixed = (user_key * 0x9E3779B1) >> 16  # Knuth's multiplicative hashing: keys are in order
    drawn: NDArray[np.bool_] = mixed % one_in == 0
    return drawn


def _places(ids: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
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


def _machines(clicks: Clicks, data: DataConfig) -> NDArray[np.int64]:
    """Return the keys of readers with more clicks in some time, or on one article, than humans."""
    most = min(data.max_clicks_per_hour, data.max_clicks_per_day, data.max_clicks_per_article)
    is_busy = np.bincount(clicks.user_key) > most  # others cannot
    busy = np.flatnonzero(is_busy[clicks.user_key] & ~clicks.time_is_bound)
    user = (np.cumsum(is_busy) - 1)[clicks.user_key[busy]]
    article, clicked_ms = clicks.article_key[busy], clicks.clicked_ms[busy]
    machine = np.zeros(int(is_busy.sum()), dtype=bool)
    for span in runs(clicked_ms // HOUR_MS):
        machine |= np.bincount(user[span], minlength=len(machine)) > data.max_clicks_per_hour
    for span in runs(clicked_ms // (24 * HOUR_MS)):
        today = np.bincount(user[span], minlength=len(machine))
        machine |= today > data.max_clicks_per_day
        many = np.flatnonzero(today[user[span]] > data.max_clicks_per_article)
        pair, n_clicks = counted(pair_of(user[span][many], article[span][many]))
        machine[pair[n_clicks > data.max_clicks_per_article] >> 32] = True
    return np.flatnonzero(is_busy)[machine]


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
    live: NDArray[np.bool_] = (young | active) & ~_expired(articles, as_of_ms)
    return live


def _expired(articles: Articles, as_of_ms: int) -> NDArray[np.bool_]:
    known = articles.expires_ms != UNKNOWN_TIME
    expired: NDArray[np.bool_] = known & (articles.expires_ms <= as_of_ms)
    return expired
