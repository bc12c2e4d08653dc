"""Which articles are live: they may be recommended at `as_of`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.config import DataConfig
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Articles
from recsys.signals.event_counts import Events
from recsys.training.births import last_clicked_ms


def live_articles(
    articles: Articles,
    events: Events,
    born_ms: NDArray[np.int64],
    pinned_ids: Sequence[str],
    as_of_ms: int,
    config: DataConfig,
) -> NDArray[np.bool_]:
    """Return which articles may be recommended at `as_of_ms`.

    An article is live if it is young, or if it was clicked lately, and it has not expired.
    An article that editors pin is live however old it is, once it is published and until it
    expires.

    Parameters
    ----------
    articles
        All articles of the store that were known before `as_of_ms`.
    events
        Clicks and views strictly before `as_of_ms`.
    born_ms : array of int64, shape (n_articles,)
        When each article came to the site, as known at `as_of_ms`; see `Births.born_ms_at`.
    pinned_ids
        Articles of the pins in force at `as_of_ms`.
    as_of_ms
        The time up to which data may be used.
    config
        `max_age_hours` and `active_hours`.

    Returns
    -------
    array of bool, shape (n_articles,)
        In the order of `articles`.
    """
    is_born = (born_ms != UNKNOWN_TIME) & (born_ms <= as_of_ms)
    is_young = is_born & (born_ms > as_of_ms - round(config.max_age_hours * HOUR_MS))
    active_from_ms = as_of_ms - round(config.active_hours * HOUR_MS)
    is_active = last_clicked_ms(articles, events) > active_from_ms
    pinned = set(pinned_ids)
    is_pinned = np.array([id_ in pinned for id_ in articles.id_map.ids], dtype=bool)
    expires = articles.expires_ms != UNKNOWN_TIME
    is_expired = expires & (articles.expires_ms <= as_of_ms)
    live: NDArray[np.bool_] = (is_young | is_active | (is_pinned & is_born)) & ~is_expired
    return live
