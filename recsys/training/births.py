"""When articles were born: first sight or publication, and what they were last clicked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.rows import UNKNOWN_TIME, Articles
from recsys.signals.event_counts import Events
from recsys.signals.recency import born_by_serial


@dataclass(frozen=True, slots=True)
class Births:
    """When articles came to the site (published, else first seen), and were written.

    Attributes
    ----------
    published_ms, first_ms, added_ms : array of int64, shape (n_articles,)
        What the publisher said, the first sight in the log, the arrival of the text;
        UNKNOWN_TIME, the far future, and UNKNOWN_TIME where not known.
    serial : array of float64, shape (n_articles,)
        Ids as numbers, NaN for those that are not.
    """

    published_ms: NDArray[np.int64]
    first_ms: NDArray[np.int64]
    added_ms: NDArray[np.int64]
    serial: NDArray[np.float64]

    def at(self, as_of_ms: int) -> NDArray[np.int64]:
        """Return when articles came, as known at an instant; UNKNOWN_TIME for not yet."""
        seen = np.where(self.first_ms < as_of_ms, self.first_ms, self.added_ms)
        return np.where(self.published_ms == UNKNOWN_TIME, seen, self.published_ms)

    def written_at(self, as_of_ms: int) -> NDArray[np.int64]:
        """Return when articles were written, as known at an instant: by number where undated.

        An old article shown again has come anew, but was not written anew; and a number
        may tell of one yet to come.
        """
        undated = self.published_ms == UNKNOWN_TIME
        serial = np.where(undated, self.serial, np.nan)
        told = born_by_serial(serial, self.first_ms, as_of_ms)
        born = self.at(as_of_ms)
        if told is not None:
            born[~np.isnan(told)] = told[~np.isnan(told)].astype(np.int64)
        return born


def births_of(articles: Articles, events: Events) -> Births:
    """Return when articles were born, as far as these events tell."""
    ids = articles.id_map.ids
    return Births(
        published_ms=articles.published_ms,
        first_ms=events.first_seen_ms(articles.id_map.keys),
        added_ms=articles.added_ms,
        serial=np.array([float(i) if i.isdecimal() else np.nan for i in ids], dtype=np.float64),
    )


def last_clicked_ms(articles: Articles, events: Events) -> NDArray[np.int64]:
    """Return when each article was last clicked by somebody new; UNKNOWN_TIME for never."""
    last = np.full(len(articles.id_map), UNKNOWN_TIME)
    place = articles.id_map.index_of_keys(events.click_key)
    known = place >= 0
    np.maximum.at(last, place[known], events.click_ms[known])
    return last
