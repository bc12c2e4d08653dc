"""Say how the first rows of a file are understood, without storing anything."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from recsys.config import IngestConfig
from recsys.errors import InputRefusedError, printable_path
from recsys.ingest.detect import Format, InputFile
from recsys.ingest.load_files import reading_of
from recsys.ingest.mapped import TABLES, first_columns, unknown_columns
from recsys.ingest.validate import check
from recsys.rows import ANONYMOUS, FIELDS, REQUIRED, UNKNOWN_TIME, Kind, iso

N_SHOWN = 3  # rows that are printed
_INSTANTS = ("timestamp", "eventtime", "time", "ts", "datetime", "eventtimestamp", "when", "at")
# What other systems call our fields; the names are compared without case and punctuation.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "article_id": (
        "articleid",
        "contentid",
        "itemid",
        "postid",
        "storyid",
        "docid",
        "id",
        "guid",
        "article",
        "content",
        "item",
        "post",
        "story",
        "doc",
    ),
    "user_id": (
        "userid",
        "userpseudoid",
        "visitorid",
        "readerid",
        "uid",
        "customerid",
        "clientid",
        "subscriberid",
        "user",
        "visitor",
        "reader",
        "customer",
        "client",
        "subscriber",
    ),
    "session_id": ("sessionid", "visitid", "sid", "gasessionid"),
    "clicked_at": ("clickedat", *_INSTANTS),
    "shown_at": ("shownat", *_INSTANTS),
    "shown": ("shown", "items", "inview", "articleids", "impressions", "itemids"),
    "clicked": ("clicked", "clicks", "clickeditems"),
    "dwell_seconds": (
        "dwellseconds",
        "readtime",
        "dwell",
        "duration",
        "timeonpage",
        "readingtime",
        "seconds",
    ),
    "title": ("title", "headline", "name", "hed"),
    "body": ("body", "content", "text", "bodytext", "articlebody", "fulltext"),
    "category": ("category", "section", "desk", "ressort", "rubrik", "channel"),
    "author": ("author", "byline", "authors", "creator", "writer"),
    "url": ("url", "link", "permalink", "canonicalurl", "pageurl", "location"),
    "published_at": ("publishedat", "published", "pubdate", "datepublished", "publishdate", "date"),
    "modified_at": (
        "modifiedat",
        "updatedat",
        "modified",
        "updated",
        "datemodified",
        "lastmodified",
    ),
    "expires_at": ("expiresat", "expires", "expiry", "unpublishat"),
    "image_url": ("imageurl", "image", "thumbnail", "picture"),
    "summary": ("summary", "excerpt", "description", "teaser", "standfirst", "abstract"),
    "kicker": ("kicker", "overline", "label"),
    "tags": ("tags", "keywords", "topics", "labels"),
    "language": ("language", "lang", "locale"),
    "source": ("source", "module", "widget", "listname", "placement"),
}


@dataclass(slots=True)
class Understood:
    """How the first rows of a file are understood.

    Attributes
    ----------
    file
        The file.
    format, kind
        What it is read as; "" if that cannot be decided.
    rows
        Up to `N_SHOWN` rows as they would be stored.
    n_usable, n_rejected
        Numbers of usable and rejected rows among the first ones that were read.
    rejected
        Number of rejected rows among them, by (field, reason).
    ignored
        Number of values that would be left out of usable rows among them, by (field, problem).
    n_naive
        Number of times without an offset among them that would be taken as UTC.
    n_anonymous
        Number of usable clicks and impressions among them that name neither a user nor a session.
    unknown_columns
        Columns that hold no field.
    mapping
        A table of `recsys.toml` to start from, where columns that hold no field have the names
        that other systems give to fields; "" if there are none.
    not_there
        Columns that the mapping of the settings names and the file does not have, if no row is
        usable, as "[ingest.clicks] user_id".
    problem
        Why the file is refused; "" if it is not.
    """

    file: str
    format: str = ""
    kind: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    n_usable: int = 0
    n_rejected: int = 0
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    n_naive: int = 0
    n_anonymous: int = 0
    unknown_columns: list[str] = field(default_factory=list)
    mapping: str = ""
    not_there: list[str] = field(default_factory=list)
    problem: str = ""


def understand(
    file: InputFile,
    *,
    received_ms: int,
    format: Format | None,
    kind: Kind | None,
    config: IngestConfig,
) -> Understood:
    """Read the first batch of a file as `load_files` would, and say what it holds.

    Parameters
    ----------
    file
        The file.
    received_ms, format, kind, config
        See `recsys.ingest.load_files.load_files`.
    """
    path, name = file.path, printable_path(str(file.path))
    found = Understood(name)
    usable: Kind | None = None
    try:
        found.format, batches = reading_of(file, format, kind, config)
        columns = first_columns(path, found.format)
        found.unknown_columns = unknown_columns(columns, config)
        for batch in islice(batches, 1):
            checked = check(batch, received_ms=received_ms, path=name, zone=config.zone())
            found.kind = checked.kind
            found.n_usable, found.n_rejected = len(checked.rows), len(checked.rejects)
            usable = checked.kind if found.n_usable else None
            found.rejected.update((r.field, r.reason) for r in checked.rejects)
            found.ignored.update(checked.ignored + batch.ignored)
            found.n_naive = checked.n_naive
            if "user_id" in checked.rows.columns:
                found.n_anonymous = int((checked.rows["user_id"] == ANONYMOUS).sum())
            found.rows = [
                _as_shown(row) for row in checked.rows.head(N_SHOWN).iter_rows(named=True)
            ]
    except InputRefusedError as error:
        found.problem = error.problem
        columns = first_columns(path, "csv") | first_columns(path, "jsonl")
    if found.format in TABLES or not found.format:
        # Where a mapping is set already, the rows say whether it is right.
        if not (usable and config.mapping(usable)):
            found.mapping = proposed_mapping(columns, usable or kind)
        if not usable:
            found.not_there = _columns_not_there(columns, config)
    return found


def _columns_not_there(columns: Mapping[str, None], config: IngestConfig) -> list[str]:
    """Return the columns that mappings name and a file does not have, see `Understood`."""
    return [
        f'[ingest.{kind}] {name} = "{source}"'
        for kind in FIELDS
        for name, source in config.mapping(kind).items()
        if isinstance(source, str) and source not in columns
    ]


def proposed_mapping(columns: Mapping[str, None], kind: Kind | None) -> str:
    """Return a table of `recsys.toml` that maps columns of common names; "" if none is needed.

    The kind is the one of which most required fields are found.
    """
    guesses = {name: _guess(fields, columns) for name, fields in FIELDS.items()}
    kinds: list[Kind] = list(FIELDS) if kind is None else [kind]

    def found_share(candidate: Kind) -> tuple[float, int]:
        required = REQUIRED[candidate]
        n_found = sum(name in columns or name in guesses[candidate] for name in required)
        return n_found / len(required), n_found

    best = max(kinds, key=found_share)
    if not guesses[best] or found_share(best)[0] < 1:
        return ""
    lines = [f'{name} = "{column}"' for name, column in guesses[best].items()]
    return "\n".join([f"[ingest.{best}]", *lines])


def _guess(fields: tuple[str, ...], columns: Mapping[str, None]) -> dict[str, str]:
    """Return the column that each field without a column of its name may come from."""
    plain: dict[str, str] = {}
    for column in columns:
        for name in (column, column.rpartition(".")[2]):  # "user.id" is a user id, "a.ts" a time
            plain.setdefault("".join(c for c in name.lower() if c.isalnum()), column)
    guesses: dict[str, str] = {}
    for field_name in fields:
        if field_name in columns:
            continue
        for synonym in _SYNONYMS.get(field_name, ()):
            column = plain.get(synonym, "")
            if column and column not in fields and column not in guesses.values():
                guesses[field_name] = column
                break
    return guesses


def _as_shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a typed row as a reader of the output understands it: instants in ISO 8601."""
    shown = {}
    for name, value in row.items():
        if value in (None, "", []) or value == UNKNOWN_TIME:
            continue
        shown[name] = iso(value) if name.endswith("_at") else value
    return shown
