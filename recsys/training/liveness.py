"""Which articles are live: they may be recommended at `as_of`."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.config import DataConfig
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Articles
from recsys.signals.event_counts import Events

NOTHING_LIVE = "no live articles: are articles or clicks of the last days in the store?"
NO_TITLES = (
    "no live articles: no article in the store has a title. Ingest the articles too; if the logs"
    " are all there is, set [data] require_title = false in recsys.toml (--config)"
)


def live_articles(
    articles: Articles,
    events: Events,
    born_ms: NDArray[np.int64],
    pinned_ids: Sequence[str],
    as_of_ms: int,
    config: DataConfig,
) -> NDArray[np.bool_]:
    """Return which articles may be recommended at `as_of_ms`.

    An article is live if it is young, or if it was clicked lately. An article that editors pin
    is live however old it is, once it is published. No article is live once it has expired or
    was withdrawn, or while its date of publication is in the future. Without a title, an id is
    live only if the settings do not require one.

    Parameters
    ----------
    articles
        All articles of the store that were known before `as_of_ms`.
    events
        Clicks and views; those at `as_of_ms` or later do not count.
    born_ms : array of int64, shape (n_articles,)
        When each article came to the site, as known at `as_of_ms`; see `Births.born_ms_at`.
    pinned_ids
        Articles of the pins in force at `as_of_ms`.
    as_of_ms
        The time up to which data may be used.
    config
        `max_age_hours`, `active_hours` and `require_title`.

    Returns
    -------
    array of bool, shape (n_articles,)
        In the order of `articles`.
    """
    is_born = (born_ms != UNKNOWN_TIME) & (born_ms <= as_of_ms)
    is_young = is_born & (born_ms > as_of_ms - round(config.max_age_hours * HOUR_MS))
    active_from_ms = as_of_ms - round(config.active_hours * HOUR_MS)
    is_active = events.last_clicked_ms(articles.id_map.keys, as_of_ms) > active_from_ms
    pinned = set(pinned_ids)
    is_pinned = np.array([id_ in pinned for id_ in articles.id_map.ids], dtype=bool)
    is_live: NDArray[np.bool_] = is_young | is_active | (is_pinned & is_born)
    is_live &= articles.published_ms <= as_of_ms  # also if an earlier date was given before
    for ends_ms in (articles.expires_ms, articles.withdrawn_ms):
        is_live &= (ends_ms == UNKNOWN_TIME) | (ends_ms > as_of_ms)
    if config.require_title:
        is_live &= has_title(articles)
    return is_live


def why_none_is_live(counts: Mapping[str, int], config: DataConfig) -> str:
    """Return why a run has no live article and what mends it; "" if it has one.

    Parameters
    ----------
    counts
        Of the run: `articles`, `articles_without_title` and `live_articles`.
    config
        `require_title`.
    """
    if counts["live_articles"]:
        return ""
    has_no_titles = 0 < counts["articles"] == counts["articles_without_title"]
    return NO_TITLES if config.require_title and has_no_titles else NOTHING_LIVE


def has_title(articles: Articles) -> NDArray[np.bool_]:
    """Return which articles have a title; ids that only clicks and impressions name have none."""
    return np.array([title != "" for title in articles.titles], dtype=bool)
