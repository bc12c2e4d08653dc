"""The typed rows and columns that cross borders between rooms.

Column names are spelled once, here. Times are UTC; inside the package an
instant is an integer number of milliseconds since 1970 (`*_ms`), at the edges
it is a `datetime` with an offset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["articles", "clicks", "impressions"]

ARTICLE_FIELDS = (
    "article_id",
    "title",
    "body",
    "category",
    "author",
    "url",
    "language",
    "tags",  # separated by commas
    "published_at",
    "expires_at",
)
CLICK_FIELDS = ("user_id", "article_id", "clicked_at", "dwell_seconds", "source")
IMPRESSION_FIELDS = (
    "user_id",
    "shown_at",
    "shown",
    "clicked",
    "clicked_at",
    "dwell_seconds",  # on the clicked article
    "article_id",  # beside which it was shown; none on a front page
    "source",  # the list it was shown in; then `shown` is in order of position
    "propensities",  # chance that each of `shown` had of being there; 1 where none was drawn
)
FIELDS: dict[Kind, tuple[str, ...]] = {
    "articles": ARTICLE_FIELDS,
    "clicks": CLICK_FIELDS,
    "impressions": IMPRESSION_FIELDS,
}
LIST_FIELDS = ("shown", "clicked", "propensities")
REQUIRED: dict[Kind, tuple[str, ...]] = {
    "articles": ("article_id",),
    "clicks": ("user_id", "article_id", "clicked_at"),
    "impressions": ("user_id", "shown_at", "shown"),
}

ROW = "row"  # 1-based line (text formats) or row (Parquet) in the file
TIME_IS_BOUND = "time_is_bound"

HOUR_MS = 3_600_000
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
UNKNOWN_TIME = np.iinfo(np.int64).min  # in arrays of instants; NULL in the store


def to_ms(instant: datetime) -> int:
    """Return the millisecond since 1970 that an instant falls in; a naive one is taken as UTC.

    Examples
    --------
    >>> to_ms(datetime(1970, 1, 1, 0, 0, 1))
    1000
    """
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH) // _MILLISECOND  # exact, unlike a timestamp, which is a float


def from_ms(instant_ms: int) -> datetime:
    """Return the UTC instant of `to_ms`; inverse to the millisecond."""
    seconds, millis = divmod(instant_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)


def iso(instant_ms: int) -> str:
    """Return an instant as ISO 8601 in UTC, such as 2019-11-13T00:00:00Z."""
    return from_ms(instant_ms).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used: where it is, which field, why, and the row itself."""

    row: int
    field: str
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One version of an editor's rule: what was done, by whom, why, and when (ms)."""

    rule_id: str
    version: int
    change: str
    rule: str
    changed_by: str
    reason: str
    changed_ms: int


def is_text(value: str) -> bool:
    r"""Return whether a string is Unicode text: not half a surrogate pair, nor undecoded bytes.

    Examples
    --------
    >>> is_text("größer"), is_text("\ud800")
    (True, False)
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class IdMap:
    """External string ids, and their places 0..n-1 in matrices.

    Ids are in sorted order, so that a tie broken by index is broken by id and
    nothing depends on the order in which files arrived.

    Attributes
    ----------
    ids
        The external ids; `ids[index]` is the id of a row or column.
    keys : array of int64, shape (n,)
        The store's integer key of each id.
    """

    ids: Sequence[str]
    keys: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many ids there are."""
        return len(self.ids)

    def index_of_keys(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place of each store key, -1 for a key that is not here."""
        if not len(self.keys):
            return np.full(len(keys), -1, dtype=np.int64)
        # A store numbers its ids from 1, so a table by number is short, and sooner read than
        # a sorted list is searched.
        most = int(self.keys.max())
        table = np.full(most + 2, -1, dtype=np.int64)
        table[self.keys] = np.arange(len(self.keys))
        return table[np.where((keys >= 0) & (keys <= most), keys, most + 1)]


@dataclass(frozen=True, slots=True)
class Articles:
    """What is known of each article, in id order; all sequences have one length.

    Attributes
    ----------
    id_map
        External ids; an article that was only clicked is here too, without text.
    titles, categories, urls, authors, tags
        Text as normalised by ingest; "" where unknown. Bodies are read by `Store.bodies`.
    published_ms, expires_ms : array of int64
        Instants in ms; UNKNOWN_TIME where the publisher did not say.
    added_ms : array of int64
        When the article row was first stored; UNKNOWN_TIME for ids without a row.
    digests
        Fingerprint of the text, "" for ids without a row.
    """

    id_map: IdMap
    titles: Sequence[str]
    categories: Sequence[str]
    urls: Sequence[str]
    authors: Sequence[str]
    tags: Sequence[str]
    published_ms: NDArray[np.int64]
    expires_ms: NDArray[np.int64]
    added_ms: NDArray[np.int64]
    digests: Sequence[str]


@dataclass(frozen=True, slots=True)
class Clicks:
    """Clicks as parallel arrays, oldest first; ties by user then article.

    Attributes
    ----------
    user_key, article_key : array of int64, shape (n_clicks,)
        The store's keys.
    clicked_ms : array of int64
        Instant of the click.
    dwell_seconds : array of float32
        Reading time; NaN where unknown.
    time_is_bound : array of bool
        True where the log only says "at this time or earlier" (MIND histories):
        such a click is taste, but no sign of what is popular when.
    """

    user_key: NDArray[np.int64]
    article_key: NDArray[np.int64]
    clicked_ms: NDArray[np.int64]
    dwell_seconds: NDArray[np.float32]
    time_is_bound: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Impressions:
    """Impressions, oldest first, with the shown articles end to end.

    Attributes
    ----------
    user_key, context_key : array of int64, shape (n_impressions,)
        Who was shown, and beside which article; context -1 for a front page.
    shown_ms : array of int64
        When it was shown.
    start : array of int64, shape (n_impressions + 1,)
        Impression i is `article_key[start[i]:start[i + 1]]`, in position order.
    article_key : array of int64
        Articles shown.
    clicked : array of bool
        Whether it was clicked, parallel to `article_key`.
    clicked_ms : array of int64, shape (n_impressions,)
        When the first click came; UNKNOWN_TIME if the log does not say.
    source : sequence of str
        The list it was shown in, "" where the log does not say.
    propensity : array of float64, parallel to `article_key`
        Chance each article had of being shown; 1 where nothing was drawn.
    """

    user_key: NDArray[np.int64]
    context_key: NDArray[np.int64]
    shown_ms: NDArray[np.int64]
    start: NDArray[np.int64]
    article_key: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    clicked_ms: NDArray[np.int64]
    source: Sequence[str]
    propensity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Added:
    """Counts of rows that were new, changed what was there, or were known already."""

    new: int = 0
    changed: int = 0
    known: int = 0

    def __add__(self, other: "Added") -> "Added":
        """Return the sums."""
        return Added(self.new + other.new, self.changed + other.changed, self.known + other.known)
