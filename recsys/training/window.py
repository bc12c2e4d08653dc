"""The training window: everything in the store strictly before `as_of`, on matrix indices.

`read_training_window` is the one place that decides which clicks count, which articles are
live, and which users are left out as bots. No row of `as_of` or later passes through it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config, DataConfig
from recsys.errors import StoreError
from recsys.page.list_table import list_names
from recsys.rows import ANONYMOUS, HOUR_MS, Articles, Clicks, IdMap, is_anonymous
from recsys.signals.event_counts import NO_USER, Events, counted_clicks
from recsys.store.database import Store
from recsys.training.births import births_of
from recsys.training.bots import find_bots
from recsys.training.event_warnings import click_warnings
from recsys.training.examination import examination_of_lists
from recsys.training.liveness import live_articles

Ints = NDArray[np.int64]
NO_KEYS = np.zeros(0, dtype=np.int64)
# How far back clicks and views are counted: eight half-lives of a day leave 0.4 % of one.
COUNTED_DAYS = 8.0


@dataclass(frozen=True, slots=True)
class BaseRunFacts:
    """What a training window takes over from the base run of a refresh.

    Attributes
    ----------
    article_ids
        The articles that the base run knows, in its order. The window keeps this order.
    first_seen_ms : array of int64, shape (n_articles,)
        When each of them was first clicked or shown; the far future for never.
    bot_ids
        Users that the base run left out as bots.
    sample_one_in
        See `TrainingWindow`.
    """

    article_ids: Sequence[str]
    first_seen_ms: Ints
    bot_ids: Sequence[str]
    sample_one_in: int = 1


@dataclass(frozen=True, slots=True)
class TrainingWindow:
    """The store's content before `as_of`, on matrix indices.

    Attributes
    ----------
    as_of_ms
        The end of the window; no row in it is of this instant or later.
    window_from_ms
        The window holds no click before this instant.
    counted_from_ms
        The signals of articles count no click and no impression before this instant.
    articles
        The known articles: those of the base run in its order, then the others in id order.
    all_users
        All users of the store, in id order.
    users
        The users with a click in the window, in id order; no anonymous ones.
    anonymous_keys : array of int64, ascending
        Store keys of the anonymous users (`recsys.rows.is_anonymous`). No run has a profile of
        them.
    shared_key
        Store key of the anonymous user without a session, who is many people; NO_USER if there
        is none.
    anonymous_clicks
        The clicks of anonymous users on known articles, oldest first: the latest of each session on
        each article, and all of the shared user. The signals of articles count them.
    user_index, article_index : array of int64, shape (n_clicks,)
        The clicks, oldest first: the latest click of each user on each article.
    clicked_ms : array of int64, shape (n_clicks,)
        When each click was made.
    dwell_seconds : array of float32, shape (n_clicks,)
        Reading time; NaN where it is unknown.
    time_is_known : array of bool, shape (n_clicks,)
        False where the log says only "at this time or earlier".
    events
        The clicks and views that the signals of articles count; see `COUNTED_DAYS`.
    n_impressions
        Impressions since `counted_from_ms`.
    warnings
        What looks as if a part of the logs were missing, for the run's report.
    examination
        How much each position of a list is looked at, by the list's name; see
        `recsys.training.examination`.
    live_rows : array of int64, shape (n_live,)
        The article index of each live article, ascending.
    is_announced : array of bool, shape (n_articles,)
        Articles that are known by their text alone: the window was asked to include them, but
        they are not live yet.
    born_ms, written_ms : array of int64, shape (n_articles,)
        See `Births.born_ms_at` and `Births.written_ms_at`.
    bot_keys : array of int64, ascending
        Store keys of the bots, whose clicks are left out.
    bot_ids
        The ids of the bots.
    bot_clicks
        Their clicks.
    sample_one_in
        One user in this many is in `users`, sampled by key (`sampled_users`). It is 1 in every
        run that is served. The events of articles are always those of all users.
    """

    as_of_ms: int
    window_from_ms: int
    counted_from_ms: int
    articles: Articles
    all_users: IdMap
    users: IdMap
    anonymous_keys: Ints
    shared_key: int
    anonymous_clicks: Clicks
    user_index: Ints
    article_index: Ints
    clicked_ms: Ints
    dwell_seconds: NDArray[np.float32]
    time_is_known: NDArray[np.bool_]
    events: Events
    n_impressions: int
    warnings: Sequence[str]
    examination: Mapping[str, NDArray[np.float64]]
    live_rows: Ints
    is_announced: NDArray[np.bool_]
    born_ms: Ints
    written_ms: Ints
    bot_keys: Ints
    bot_ids: Sequence[str]
    bot_clicks: Clicks
    sample_one_in: int = 1

    @property
    def age_hours(self) -> NDArray[np.float64]:
        """Return the age of each click."""
        return (self.as_of_ms - self.clicked_ms) / HOUR_MS

    @property
    def counted_clicks(self) -> Ints:
        """Return the indices of the clicks that the signals of articles count."""
        return np.flatnonzero(self.clicked_ms >= self.counted_from_ms)

    def n_reads(self, user_index: Ints) -> Ints:
        """Return how many articles each user has read in the window; 0 for an index of -1."""
        counts = np.bincount(self.user_index, minlength=len(self.users))
        if not len(counts):
            return np.zeros_like(user_index)
        return np.where(user_index >= 0, counts[user_index], 0)


def read_training_window(
    store: Store,
    as_of_ms: int,
    config: Config,
    announced_keys: Ints = NO_KEYS,
    base: BaseRunFacts | None = None,
    max_users: int | None = None,
) -> TrainingWindow:
    """Read the training window of `as_of_ms`: no row of that instant or later.

    Parameters
    ----------
    store
        The store to read.
    as_of_ms
        The end of the window.
    config
        How far back the window reaches, and when a user is a bot.
    announced_keys
        Store keys of articles to know by their text although they are published later. A back-test
        asks for the articles of the impressions that it judges: a refresh would have read
        their texts by then. They are not live, and document frequencies leave them out.
    base
        For a refresh: what the base run knew. Its articles stay known. None for a nightly run.
    max_users
        Sample users until at most this many are left. Learning asks for it, since it looks at
        a few thousand choices only. None takes all users.

    Raises
    ------
    StoreError
        If the base run knows articles that the store does not have.
    """
    from_ms = as_of_ms - round(config.data.window_days * 24 * HOUR_MS)
    counted_from_ms = max(from_ms, as_of_ms - round(COUNTED_DAYS * 24 * HOUR_MS))
    clicks = store.clicks(from_ms=from_ms, before_ms=as_of_ms)
    impressions = store.impressions(from_ms=counted_from_ms, before_ms=as_of_ms)
    all_users = store.users()
    anonymous_keys, shared_key = _anonymous_keys(all_users)
    bot_keys = _bot_keys(clicks, all_users, base, config.data, shared_key)
    is_bot = np.isin(clicks.user_key, bot_keys)
    clicks, bot_clicks = select_clicks(clicks, ~is_bot), select_clicks(clicks, is_bot)
    base_ids = () if base is None else base.article_ids
    every_article = store.articles(
        known_by_ms=as_of_ms, also_keys=announced_keys, also_ids=base_ids
    )
    of_base = _articles_of_base(every_article, base_ids)
    seen_before = _first_seen_before(every_article, of_base, base, as_of_ms)
    events = Events.from_logs(
        clicks, impressions, counted_from_ms, seen_before, shared_key=shared_key
    )
    births = births_of(every_article, events)
    born_ms, pinned_ids = births.born_ms_at(as_of_ms), store.pinned_ids(as_of_ms)
    live = live_articles(every_article, events, born_ms, pinned_ids, as_of_ms, config.data)
    known, is_announced = _known_articles(every_article, clicks, live, of_base, announced_keys)
    articles = _select_articles(every_article, known)
    clicks = select_clicks(clicks, articles.id_map.index_of_keys(clicks.article_key) >= 0)
    is_anonymous_click = np.isin(clicks.user_key, anonymous_keys)
    anonymous_clicks = _counted(select_clicks(clicks, is_anonymous_click), shared_key)
    clicks = select_clicks(clicks, ~is_anonymous_click)
    sample_one_in = _sample_one_in(clicks, base, max_users)
    clicks = select_clicks(clicks, sampled_users(clicks.user_key, sample_one_in))
    clicks = _counted(clicks, shared_key)
    users = _users_with_keys(all_users, np.flatnonzero(np.bincount(clicks.user_key)))
    return TrainingWindow(
        as_of_ms=as_of_ms,
        window_from_ms=from_ms,
        counted_from_ms=counted_from_ms,
        articles=articles,
        all_users=all_users,
        users=users,
        anonymous_keys=anonymous_keys,
        shared_key=shared_key,
        anonymous_clicks=anonymous_clicks,
        user_index=users.index_of_keys(clicks.user_key),
        article_index=articles.id_map.index_of_keys(clicks.article_key),
        clicked_ms=clicks.clicked_ms,
        dwell_seconds=clicks.dwell_seconds,
        time_is_known=~clicks.time_is_bound,
        events=events,
        n_impressions=len(impressions.shown_ms),
        warnings=click_warnings(impressions, as_of_ms),
        examination=examination_of_lists(
            impressions,
            list_names(config),
            as_of_ms,
            counts=events.is_settled(impressions.user_key, impressions.shown_ms)
            & ~np.isin(impressions.user_key, bot_keys),
            known_keys=every_article.id_map.keys,
        ),
        live_rows=np.flatnonzero(live[known]),
        is_announced=is_announced,
        born_ms=born_ms[known],
        written_ms=births.written_ms_at(as_of_ms)[known],
        bot_keys=bot_keys,
        bot_ids=_users_with_keys(all_users, bot_keys).ids,
        bot_clicks=bot_clicks,
        sample_one_in=sample_one_in,
    )


def _anonymous_keys(users: IdMap) -> tuple[Ints, int]:
    """Return the keys of the anonymous users, ascending, and of the one without a session."""
    index = [i for i, user_id in enumerate(users.ids) if is_anonymous(user_id)]
    keys = users.keys[index]
    # In id order, the one without a session comes first.
    is_shared = bool(index) and users.ids[index[0]] == ANONYMOUS
    return np.sort(keys), int(keys[0]) if is_shared else NO_USER


def _counted(clicks: Clicks, shared_key: int) -> Clicks:
    """Return the latest click of each user on each article, and all clicks of the shared user."""
    users, articles = clicks.user_key, clicks.article_key
    keep = counted_clicks(users, articles, shared_key=shared_key, first=False)
    return select_clicks(clicks, keep)


def _bot_keys(
    clicks: Clicks,
    all_users: IdMap,
    base: BaseRunFacts | None,
    config: DataConfig,
    shared_key: int,
) -> Ints:
    """Return the store keys of the bots in these clicks and of those the base run knew."""
    bot_keys = find_bots(clicks, config, shared_key=shared_key)
    if base is None:
        return bot_keys
    return np.union1d(bot_keys, all_users.keys[_indices_of(all_users.ids, base.bot_ids)])


def _articles_of_base(articles: Articles, base_ids: Sequence[str]) -> Ints:
    """Return the indices of the articles that the base run knows, in its order."""
    of_base = _indices_of(articles.id_map.ids, base_ids)
    if len(of_base) < len(base_ids):
        raise StoreError(
            "the published run knows articles that this store does not: it was made from"
            " another store; run `recsys nightly`"
        )
    return of_base


def _first_seen_before(
    articles: Articles, of_base: Ints, base: BaseRunFacts | None, as_of_ms: int
) -> tuple[Ints, Ints]:
    """Return keys of articles that the base run had seen before `as_of_ms`, and when."""
    if base is None:
        return NO_KEYS, NO_KEYS
    seen = np.flatnonzero(base.first_seen_ms < as_of_ms)
    return articles.id_map.keys[of_base[seen]], base.first_seen_ms[seen]


def _known_articles(
    articles: Articles,
    clicks: Clicks,
    live: NDArray[np.bool_],
    of_base: Ints,
    announced_keys: Ints,
) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the indices of the known articles, and which of these are only announced.

    An article is known if the base run knows it, or if it is clicked, live or announced.
    """
    is_clicked = np.zeros(len(articles.id_map), dtype=bool)
    clicked_index = articles.id_map.index_of_keys(clicks.article_key)
    is_clicked[clicked_index[clicked_index >= 0]] = True
    is_announced = np.isin(articles.id_map.keys, announced_keys) & ~is_clicked & ~live
    is_new = is_clicked | live | is_announced
    is_new[of_base] = False
    known = np.concatenate((of_base, np.flatnonzero(is_new)))
    return known, is_announced[known]


def _sample_one_in(clicks: Clicks, base: BaseRunFacts | None, max_users: int | None) -> int:
    """Return of how many users one is sampled: a power of two times that of the base run."""
    sample_one_in = 1 if base is None else base.sample_one_in
    if max_users is not None:
        n_users = np.count_nonzero(np.bincount(clicks.user_key))
        while n_users > max_users * sample_one_in:
            sample_one_in *= 2
    return sample_one_in


def sampled_users(user_key: Ints, sample_one_in: int) -> NDArray[np.bool_]:
    """Return which users are in a sample of one in `sample_one_in`.

    Whether a user is in the sample depends on the user's key alone, so samples of different
    windows agree.

    Examples
    --------
    >>> sampled_users(np.arange(8), 4).tolist()
    [True, False, False, False, False, False, True, True]
    """
    if sample_one_in == 1:
        return np.ones(len(user_key), dtype=bool)
    mixed = (user_key * 0x9E3779B1) >> 16  # Knuth's multiplicative hashing: keys are in order
    is_sampled: NDArray[np.bool_] = mixed % sample_one_in == 0
    return is_sampled


def _indices_of(ids: Sequence[str], wanted: Sequence[str]) -> Ints:
    """Return the indices of the wanted ids, in the order asked; absent ids are left out."""
    if not len(wanted):
        return NO_KEYS
    index_of = {id_: index for index, id_ in enumerate(ids)}
    return np.array([index_of[id_] for id_ in wanted if id_ in index_of], dtype=np.int64)


def _users_with_keys(users: IdMap, keys: Ints) -> IdMap:
    """Return the users with these store keys, in id order."""
    user_index = np.sort(users.index_of_keys(keys))
    return IdMap([users.ids[i] for i in user_index.tolist()], users.keys[user_index])


def select_clicks(clicks: Clicks, keep: NDArray[np.bool_]) -> Clicks:
    """Return the clicks marked in `keep`."""
    if keep.all():
        return clicks
    return Clicks(*(getattr(clicks, f.name)[keep] for f in dataclasses.fields(Clicks)))


def _select_articles(articles: Articles, article_index: Ints) -> Articles:
    def pick(values: Sequence[str]) -> list[str]:
        return [values[i] for i in article_index.tolist()]

    return Articles(
        id_map=IdMap(pick(articles.id_map.ids), articles.id_map.keys[article_index]),
        titles=pick(articles.titles),
        categories=pick(articles.categories),
        urls=pick(articles.urls),
        authors=pick(articles.authors),
        tags=pick(articles.tags),
        languages=pick(articles.languages),
        image_urls=pick(articles.image_urls),
        summaries=pick(articles.summaries),
        kickers=pick(articles.kickers),
        premium=[articles.premium[i] for i in article_index.tolist()],
        importance=articles.importance[article_index],
        reading_minutes=articles.reading_minutes[article_index],
        published_ms=articles.published_ms[article_index],
        expires_ms=articles.expires_ms[article_index],
        modified_ms=articles.modified_ms[article_index],
        withdrawn_ms=articles.withdrawn_ms[article_index],
        first_published_ms=articles.first_published_ms[article_index],
        added_ms=articles.added_ms[article_index],
        digests=pick(articles.digests),
    )
