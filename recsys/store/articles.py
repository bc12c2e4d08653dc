"""Read and write the table of articles; the caller runs the transaction."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.rows import UNKNOWN_TIME, Added, Articles, IdMap, nullable_instants
from recsys.store.article_vectors import model_of, put_vector
from recsys.store.id_keys import IdKeys
from recsys.store.reading_time import reading_minutes

TEXT_FIELDS = (
    "title",
    "body",
    "category",
    "author",
    "url",
    "language",
    "tags",
    "image_url",
    "summary",
    "kicker",
)
INSTANT_FIELDS = ("published_at", "expires_at", "modified_at")
FIELDS = (*TEXT_FIELDS, *INSTANT_FIELDS, "premium", "importance", "withdrawn_at")
# What a typed row holds for a field that its publisher cleared; None is a field that is not given.
CLEARED: dict[str, int] = dict.fromkeys(INSTANT_FIELDS, UNKNOWN_TIME) | {"premium": -1}
_DERIVED = ("first_published_at", "versions", "text_digest", "reading_minutes", "added_at")
_COLUMNS = (*FIELDS, *_DERIVED)


def add_articles(
    conn: sqlite3.Connection, id_keys: IdKeys, rows: pl.DataFrame, *, at_ms: int, is_known: bool
) -> tuple[Added, int | None]:
    """Merge rows into the articles, field by field, inside a transaction.

    A row gives some fields of an article; the others stay as they are. Of two versions of a field
    the later one counts: the version of a row is its `modified_at`, or else the time of arrival.
    Between equal versions the row that is read last counts. `first_published_at` follows from all
    rows, see `_first_published_at`.

    Parameters
    ----------
    conn, id_keys
        The store's connection and keys.
    rows
        Typed rows of articles. None is a field that was not given; see `CLEARED`.
    at_ms
        Current time in ms: the version of rows without `modified_at`, which no version exceeds.
    is_known
        Whether the rows come from a file that was read before and has not changed since. Rows
        without `modified_at` then change nothing.

    Returns
    -------
    added
        Numbers of new, changed and known articles, of those that were withdrawn, and of vectors
        that were left out.
    oldest_ms
        Earliest publication among the articles that are new or changed, before or after the
        change; 0 if one of them has no publication time, None if nothing changed.
    """
    rows = id_keys.add_key_column(rows, "article")
    is_new: dict[int, bool] = {}  # of the articles that changed
    n_withdrawn = 0
    published_ms: list[int] = []
    n_vectors_left_out = 0
    is_embedded = bool(model_of(conn))
    query = f"SELECT {', '.join(_COLUMNS)} FROM articles WHERE article_key = ?"
    for row in rows.iter_rows(named=True):
        key = row["article_key"]
        found = conn.execute(query, (key,)).fetchone()
        stored = dict(zip(_COLUMNS, found, strict=True)) if found else _empty_article()
        versions: dict[str, int] = json.loads(stored["versions"])
        version = at_ms
        if row["modified_at"] not in (None, UNKNOWN_TIME):
            version = min(row["modified_at"], at_ms)
        elif is_known and found:
            continue
        merged = stored | {"added_at": stored["added_at"] or at_ms}
        for name, value in _given(row, version).items():
            if version >= versions.get(name, version):
                merged[name], versions[name] = value, version
        merged["first_published_at"] = _first_published_at(row, stored, merged, at_ms)
        has_new_vector: bool | None = False
        if row["vector"] is not None and version >= versions.get("vector", version):
            # Vectors of two models do not compare.
            if not is_embedded:
                has_new_vector = put_vector(conn, key, row["vector"])
            elif row["vector"]:
                has_new_vector = None
            n_vectors_left_out += has_new_vector is None
            if has_new_vector:
                versions["vector"] = version
        merged["versions"] = json.dumps(versions, separators=(",", ":"))
        if found and merged == stored:
            continue
        compared = (*FIELDS, "first_published_at")
        is_changed = not found or any(merged[name] != stored[name] for name in compared)
        if is_changed:
            n_withdrawn += merged["withdrawn_at"] is not None and stored["withdrawn_at"] is None
            published_ms += [merged["published_at"] or 0, merged["first_published_at"] or 0]
            published_ms += [stored["published_at"] or 0] if found else []
            is_new[key] = is_new.get(key, not found)
            merged["text_digest"] = text_digest(merged["title"], merged["body"], merged["category"])
            if is_embedded and merged["text_digest"] != stored["text_digest"]:
                put_vector(conn, key, [])  # that of the text before; `recsys embed` makes another
            merged["reading_minutes"] = reading_minutes(merged["body"])
        elif has_new_vector:
            is_new.setdefault(key, False)
            published_ms.append(merged["published_at"] or 0)
        _write(conn, key, merged, at_ms, is_new=not found, is_changed=is_changed)
    n_new = sum(is_new.values())
    n_articles = rows["article_key"].n_unique()
    n_known = n_articles - len(is_new)
    added = Added(n_new, len(is_new) - n_new, n_known, n_withdrawn, n_vectors_left_out)
    return added, min(published_ms, default=None)


def _empty_article() -> dict[str, Any]:
    """Return the columns of an article of which nothing is known."""
    return (
        dict.fromkeys(_COLUMNS)
        | dict.fromkeys(TEXT_FIELDS, "")
        | {"versions": "{}", "text_digest": "", "reading_minutes": 0.0}
    )


def _given(row: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the fields that a row gives, as the table holds them."""
    given = {
        name: None if name in CLEARED and row[name] == CLEARED[name] else row[name]
        for name in FIELDS
        if name != "withdrawn_at" and row[name] is not None
    }
    if given.get("importance") != given.get("importance"):  # NaN: cleared
        given["importance"] = None
    if row["withdrawn"] is not None:
        given["withdrawn_at"] = version if row["withdrawn"] else None
    return given


def _first_published_at(
    row: dict[str, Any], stored: dict[str, Any], merged: dict[str, Any], at_ms: int
) -> int | None:
    """Return the earliest date of publication that came true, of all that an article was given.

    A date that is replaced before it has come was no publication, and an article that had no date
    was published when it arrived. Without a date that has come it is the date of the merged row,
    None if that has none.
    """
    given = [stored["first_published_at"], row["published_at"]]
    if given[0] is None and merged["published_at"] is not None and stored["added_at"] != at_ms:
        given.append(stored["added_at"])
    past = [date for date in given if date not in (None, UNKNOWN_TIME) and date <= at_ms]
    earliest: int | None = min(past, default=merged["published_at"])
    return earliest


def _write(
    conn: sqlite3.Connection,
    article_key: int,
    columns: dict[str, Any],
    at_ms: int,
    *,
    is_new: bool,
    is_changed: bool,
) -> None:
    """Insert or update the columns of an article; only a change of a field is a revision."""
    if is_new:
        names = ["article_key", *columns, "updated_at"]
        conn.execute(
            f"INSERT INTO articles ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            (article_key, *columns.values(), at_ms),
        )
        return
    assignments = [f"{name} = ?" for name in columns]
    values = list(columns.values())
    if is_changed:
        assignments += ["updated_at = ?", "revision = revision + 1"]
        values.append(at_ms)
    conn.execute(
        f"UPDATE articles SET {', '.join(assignments)} WHERE article_key = ?",
        (*values, article_key),
    )


def read_articles(
    conn: sqlite3.Connection,
    *,
    known_by_ms: int,
    also_keys: Iterable[int],
    also_ids: Sequence[str],
) -> Articles:
    """Read the articles known by an instant, see `Store.articles`."""
    names = [name for name in FIELDS if name != "body"]
    names += ["first_published_at", "added_at", "reading_minutes", "text_digest"]
    rows = conn.execute(
        f"SELECT i.article_id, i.article_key, {', '.join(f'a.{name}' for name in names)}"
        " FROM article_ids i LEFT JOIN articles a USING (article_key)"
        " WHERE coalesce(a.published_at, 0) <= ?"
        " OR i.article_key IN (SELECT value FROM json_each(?))"
        " OR i.article_id IN (SELECT value FROM json_each(?)) ORDER BY i.article_id",
        (known_by_ms, json.dumps([int(key) for key in also_keys]), json.dumps(list(also_ids))),
    ).fetchall()
    ids, keys, *values = zip(*rows, strict=True) if rows else [()] * (2 + len(names))
    columns = dict(zip(names, values, strict=True))

    def texts(name: str) -> Sequence[str]:
        return tuple("" if value is None else value for value in columns[name])

    def numbers(name: str, unknown: float) -> NDArray[np.float64]:
        return np.array([unknown if value is None else value for value in columns[name]], float)

    return Articles(
        id_map=IdMap(ids, np.array(keys, dtype=np.int64)),
        titles=texts("title"),
        categories=texts("category"),
        urls=texts("url"),
        authors=texts("author"),
        tags=texts("tags"),
        languages=texts("language"),
        image_urls=texts("image_url"),
        summaries=texts("summary"),
        kickers=texts("kicker"),
        premium=[None if value is None else bool(value) for value in columns["premium"]],
        importance=numbers("importance", np.nan),
        reading_minutes=numbers("reading_minutes", 0.0),
        published_ms=nullable_instants(columns["published_at"]),
        expires_ms=nullable_instants(columns["expires_at"]),
        modified_ms=nullable_instants(columns["modified_at"]),
        withdrawn_ms=nullable_instants(columns["withdrawn_at"]),
        first_published_ms=nullable_instants(columns["first_published_at"]),
        added_ms=nullable_instants(columns["added_at"]),
        digests=texts("text_digest"),
    )


def read_bodies(conn: sqlite3.Connection, keys: Sequence[int]) -> list[str]:
    """Read the body of each article, "" for a key without an article."""
    query = "SELECT body FROM articles WHERE article_key = ?"
    rows = (conn.execute(query, (key,)).fetchone() for key in keys)
    return ["" if row is None else row[0] for row in rows]


def text_digest(*parts: str) -> str:
    """Compute a fingerprint of texts; equal texts have equal fingerprints on every computer."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
    return digest.hexdigest()
