"""Types of articles, clicks and impressions, as the store, the signals and serving exchange them.

Column names are spelled once, here. All times are UTC. Inside the package an instant is an
integer number of milliseconds since 1970 (names ending in `_ms`); callers of the package pass
and receive a `datetime` with an offset.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
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
    "tags",  # list of names
    "premium",  # whether it is for subscribers only
    "published_at",
    "expires_at",
    "image_url",
    "summary",
    "kicker",  # the short line above a headline
    "importance",  # a number the newsroom gives; larger is more important
    "modified_at",  # the version of the row: of two versions of a field, the later one counts
    "deleted",  # true: withdrawn
    "status",  # unpublished, draft, private and archived: withdrawn
    "vector",  # list of numbers, of one length in a store
)
CLICK_FIELDS = ("user_id", "article_id", "clicked_at", "dwell_seconds", "source", "session_id")
IMPRESSION_FIELDS = (
    "user_id",
    "shown_at",
    "shown",
    "clicked",
    "clicked_at",
    "dwell_seconds",  # reading time of the clicked article
    "article_id",  # the article page it was shown on; missing on a front page
    "source",  # the list it was shown in; `shown` is then in order of position
    "propensities",  # probability with which each of `shown` was chosen; 1 if not at random
    "session_id",  # identifies a visitor who has no user id
    "site",  # which of a publisher's sites showed it
    "variant",  # the arm of an experiment
)
FIELDS: dict[Kind, tuple[str, ...]] = {
    "articles": ARTICLE_FIELDS,
    "clicks": CLICK_FIELDS,
    "impressions": IMPRESSION_FIELDS,
}
# Of the vector of an article; those of encoders have some thousand numbers of about 1.
LONGEST_VECTOR, LARGEST_NUMBER = 4_096, 1e9
LIST_FIELDS = ("shown", "clicked", "propensities", "vector")
REQUIRED: dict[Kind, tuple[str, ...]] = {
    "articles": ("article_id",),
    "clicks": ("article_id", "clicked_at"),
    "impressions": ("shown_at", "shown"),
}
# A click or impression without a user id is stored for the user whose id is this blank and the id
# of the session, if there is one. No other id begins with a blank, because ingest strips ids.
ANONYMOUS = " "

ROW = "row"  # column: 1-based line (text formats) or row (Parquet) in the input file
TIME_IS_BOUND = "time_is_bound"  # column of clicks, see `Clicks.time_is_bound`

HOUR_MS = 3_600_000
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
UNKNOWN_TIME = np.iinfo(np.int64).min  # marks an unknown instant in arrays; NULL in the store


def is_anonymous(user_id: str) -> bool:
    """Return whether a stored user is a session, or everybody without a session, see `ANONYMOUS`.

    Examples
    --------
    >>> is_anonymous(" s81"), is_anonymous("u0007")
    (True, False)
    """
    return user_id.startswith(ANONYMOUS)


def to_ms(instant: datetime) -> int:
    """Convert a datetime to whole milliseconds since 1970, rounded down.

    A datetime without an offset is taken as UTC.

    Examples
    --------
    >>> to_ms(datetime(1970, 1, 1, 0, 0, 1))
    1000
    """
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH) // _MILLISECOND  # exact; `timestamp()` is a float


def from_ms(instant_ms: int) -> datetime:
    """Convert milliseconds since 1970 to a datetime in UTC, the inverse of `to_ms`."""
    seconds, millis = divmod(instant_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)


def iso(instant_ms: int) -> str:
    """Format milliseconds since 1970 as ISO 8601 in UTC, such as 2019-11-13T00:00:00Z."""
    return from_ms(instant_ms).isoformat().replace("+00:00", "Z")


def nullable_instants(column: Sequence[int | None]) -> NDArray[np.int64]:
    """Convert instants in ms, some of them None, to an array with UNKNOWN_TIME for None."""
    return np.array([UNKNOWN_TIME if ms is None else ms for ms in column], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row of an input file that cannot be used.

    Attributes
    ----------
    row
        1-based line (text formats) or row (Parquet) in the file.
    field
        The field that is wrong; "" if the row as a whole is unreadable.
    reason
        What is wrong with it.
    raw
        The row as text, shortened.
    """

    row: int
    field: str
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One version of an editor's rule.

    Attributes
    ----------
    rule_id
        The rule.
    version
        1 for the first version.
    change
        "added", "ended" or "imported".
    rule
        The rule after the change, as JSON of `recsys.page.rules.Rule`.
    changed_by, reason
        The editor who made the change, and the reason given for it.
    changed_ms
        Instant of the change, in ms.
    """

    rule_id: str
    version: int
    change: str
    rule: str
    changed_by: str
    reason: str
    changed_ms: int


def is_text(value: str) -> bool:
    r"""Return whether a string can be encoded as UTF-8.

    A string that holds half a surrogate pair, or bytes kept by `surrogateescape`, cannot.

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
    """Map between external string ids, store keys, and matrix indexes 0..n-1.

    Ids are in sorted order, so that a tie broken by index is broken by id and no result depends
    on the order in which files were ingested.

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
        """Return the number of ids."""
        return len(self.ids)

    def index_of_keys(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index of each store key, -1 for a key that the map does not hold."""
        if not len(self.keys):
            return np.full(len(keys), -1, dtype=np.int64)
        # A store numbers its ids from 1, so a table indexed by key is small, and reading it is
        # faster than searching a sorted array.
        largest = int(self.keys.max())
        index_of = np.full(largest + 2, -1, dtype=np.int64)
        index_of[self.keys] = np.arange(len(self.keys))
        return index_of[np.where((keys >= 0) & (keys <= largest), keys, largest + 1)]


@dataclass(frozen=True, slots=True)
class Articles:
    """Articles as parallel columns, in id order, without their bodies (see `Store.bodies`).

    Attributes
    ----------
    id_map
        Ids and keys; an article that was only clicked or shown is here too, without text.
    titles, categories, urls, authors, tags, languages, image_urls, summaries, kickers
        Text as normalised by ingest; "" if unknown.
    premium
        Whether each is for subscribers only; None if unknown.
    importance : array of float64
        The newsroom's own number, larger for more important; NaN if unknown.
    reading_minutes : array of float64
        Time to read the body, see `recsys.store.reading_time`; 0 without a body.
    published_ms, expires_ms, modified_ms, withdrawn_ms : array of int64
        Instants in ms; UNKNOWN_TIME if the publisher gave none. An article is not shown from
        `expires_ms` on, nor from `withdrawn_ms` on.
    first_published_ms : array of int64
        The earliest instant at which the article was published, of all that its publisher gave;
        UNKNOWN_TIME if it gave none.
    added_ms : array of int64
        Instant at which the article was first stored; UNKNOWN_TIME for an id without an article.
    digests
        Fingerprint of the text; "" for an id without an article.
    """

    id_map: IdMap
    titles: Sequence[str]
    categories: Sequence[str]
    urls: Sequence[str]
    authors: Sequence[str]
    tags: Sequence[str]
    languages: Sequence[str]
    image_urls: Sequence[str]
    summaries: Sequence[str]
    kickers: Sequence[str]
    premium: Sequence[bool | None]
    importance: NDArray[np.float64]
    reading_minutes: NDArray[np.float64]
    published_ms: NDArray[np.int64]
    expires_ms: NDArray[np.int64]
    modified_ms: NDArray[np.int64]
    withdrawn_ms: NDArray[np.int64]
    first_published_ms: NDArray[np.int64]
    added_ms: NDArray[np.int64]
    digests: Sequence[str]


@dataclass(frozen=True, slots=True)
class Clicks:
    """Clicks as parallel arrays, oldest first; ties are in the order of user key, article key.

    Attributes
    ----------
    user_key, article_key : array of int64, shape (n_clicks,)
        The store's keys.
    clicked_ms : array of int64
        Instant of the click, in ms.
    dwell_seconds : array of float32
        Reading time; NaN if unknown.
    time_is_bound : array of bool
        True if the log says only "at this time or earlier" (MIND histories). Such a click counts
        for the user's taste, but not for the popularity of the article at any time.
    """

    user_key: NDArray[np.int64]
    article_key: NDArray[np.int64]
    clicked_ms: NDArray[np.int64]
    dwell_seconds: NDArray[np.float32]
    time_is_bound: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Impressions:
    """Impressions as parallel arrays, oldest first.

    Attributes
    ----------
    user_key, context_key : array of int64, shape (n_impressions,)
        The user, and the article page it was shown on; context -1 for a front page.
    shown_ms : array of int64, shape (n_impressions,)
        Instant at which it was shown, in ms.
    start : array of int64, shape (n_impressions + 1,)
        Impression i showed `article_key[start[i]:start[i + 1]]`, in position order.
    article_key : array of int64, shape (n_shown,)
        The articles shown, one impression after the other.
    clicked : array of bool, shape (n_shown,)
        Whether each of them was clicked.
    clicked_ms : array of int64, shape (n_impressions,)
        Instant of the first click; UNKNOWN_TIME if the log does not give it.
    source : sequence of str, length n_impressions
        The list it was shown in; "" if the log does not name one.
    propensity : array of float64, shape (n_shown,)
        Probability with which each article was chosen to be shown; 1 if not at random.
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
    """Counts of added rows: new ones, ones that changed a stored row, and ones already known.

    `withdrawn` counts those of the new and changed articles that are no longer to be shown, and
    `vectors_left_out` the vectors whose length is not that of the others.
    """

    new: int = 0
    changed: int = 0
    known: int = 0
    withdrawn: int = 0
    vectors_left_out: int = 0

    def __add__(self, other: "Added") -> "Added":
        """Add the counts of two batches."""
        return Added(*map(sum, zip(astuple(self), astuple(other), strict=True)))
