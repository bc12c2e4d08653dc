"""When articles came to the site, and when they were written."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.rows import UNKNOWN_TIME, Articles
from recsys.signals.event_counts import Events
from recsys.signals.recency import published_ms_by_serial


@dataclass(frozen=True, slots=True)
class Births:
    """What the store says about when each article came to the site.

    Attributes
    ----------
    published_ms : array of int64, shape (n_articles,)
        When the article was published, as the publisher says; UNKNOWN_TIME where it does not.
    first_published_ms : array of int64, shape (n_articles,)
        The earliest of all such times that the publisher gave; UNKNOWN_TIME where it gave none.
    first_seen_ms : array of int64, shape (n_articles,)
        When the log first has a click or an impression of the article; the far future for an
        article that the log does not have.
    added_ms : array of int64, shape (n_articles,)
        When the text of the article was first stored; UNKNOWN_TIME for an article without text.
    serial : array of float64, shape (n_articles,)
        The article id as a number; NaN for an id that is not a whole number.
    """

    published_ms: NDArray[np.int64]
    first_published_ms: NDArray[np.int64]
    first_seen_ms: NDArray[np.int64]
    added_ms: NDArray[np.int64]
    serial: NDArray[np.float64]

    def born_ms_at(self, as_of_ms: int) -> NDArray[np.int64]:
        """Return when each article came to the site, as known at `as_of_ms`.

        This is the time of publication. If the publisher gave several times, a later one does not
        make an article new that users have seen since the first: such an article came when it was
        first clicked or shown, as far as the events before `as_of_ms` reach back.

        Where the publisher gave no time, it is the first click or impression before `as_of_ms`, or
        else the arrival of the text. UNKNOWN_TIME means that none of the three is known.
        """
        is_seen = self.first_seen_ms < as_of_ms
        undated = np.where(is_seen, self.first_seen_ms, self.added_ms)
        seen_since = np.maximum(self.first_seen_ms, self.first_published_ms)
        came = np.minimum(self.published_ms, seen_since)
        dated = np.where(is_seen, came, self.published_ms)
        return np.where(self.published_ms == UNKNOWN_TIME, undated, dated)

    def written_ms_at(self, as_of_ms: int) -> NDArray[np.int64]:
        """Return when each article was written, as known at `as_of_ms`.

        Where the publisher gave no time and ids grow with time, the id dates the article (see
        `recsys.signals.recency.published_ms_by_serial`). The two times differ for an old article
        that the site shows again: it came to the site when it was shown, but it was written long
        before. The id of an article that is not published yet gives a time after `as_of_ms`.
        """
        undated = self.published_ms == UNKNOWN_TIME
        serial = np.where(undated, self.serial, np.nan)
        by_serial = published_ms_by_serial(serial, self.first_seen_ms, as_of_ms)
        written_ms = self.born_ms_at(as_of_ms)
        if by_serial is not None:
            dated = ~np.isnan(by_serial)
            written_ms[dated] = by_serial[dated].astype(np.int64)
        return written_ms


def births_of(articles: Articles, events: Events) -> Births:
    """Return what articles and events say about when each article came to the site."""
    ids = articles.id_map.ids
    return Births(
        published_ms=articles.published_ms,
        first_published_ms=articles.first_published_ms,
        first_seen_ms=events.first_seen_ms(articles.id_map.keys),
        added_ms=articles.added_ms,
        serial=np.array([float(i) if i.isdecimal() else np.nan for i in ids], dtype=np.float64),
    )
