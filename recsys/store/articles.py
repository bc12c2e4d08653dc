"""Read and write the table of articles; the caller runs the transaction."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl

from recsys.rows import Added, Articles, IdMap, nullable_instants
from recsys.store.id_keys import IdKeys


def add_articles(
    conn: sqlite3.Connection, id_keys: IdKeys, rows: pl.DataFrame, *, at_ms: int
) -> tuple[Added, int | None]:
    """Insert new articles and update changed ones, inside a transaction.

    Parameters
    ----------
    conn, id_keys
        The store's connection and keys.
    rows
        Typed rows of articles; if an article occurs twice, the last row counts.
    at_ms
        Current time in ms, stored with new and changed articles.

    Returns
    -------
    added
        Numbers of new, changed and known articles.
    oldest_ms
        Earliest publication among the articles that are new or changed, before or after the
        change; 0 if one of them has no publication time, None if nothing changed.
    """
    rows = rows.unique("article_id", keep="last", maintain_order=True)
    rows = id_keys.add_key_column(rows, "article")
    n_new = n_changed = 0
    published_ms: list[int] = []
    for row in rows.iter_rows(named=True):
        values = (
            row["title"],
            row["body"],
            row["category"],
            row["author"],
            row["url"],
            row["language"],
            row["premium"],
            row["published_at"],
            row["expires_at"],
            row["tags"],
        )
        digest = text_digest(row["title"], row["body"], row["category"])
        before = conn.execute(
            "SELECT title, body, category, author, url, language, premium, published_at,"
            " expires_at, tags FROM articles WHERE article_key = ?",
            (row["article_key"],),
        ).fetchone()
        if before == values:
            continue
        published_ms.append(row["published_at"] or 0)
        if before is None:
            n_new += 1
            _insert(conn, row["article_key"], values, digest, at_ms)
        else:
            n_changed += 1
            published_ms.append(before[7] or 0)
            _update(conn, row["article_key"], values, digest, at_ms)
    added = Added(n_new, n_changed, len(rows) - n_new - n_changed)
    return added, min(published_ms, default=None)


def _insert(
    conn: sqlite3.Connection, article_key: int, values: tuple[Any, ...], digest: str, at_ms: int
) -> None:
    conn.execute(
        "INSERT INTO articles (article_key, title, body, category, author, url,"
        " language, premium, published_at, expires_at, tags, text_digest, added_at, updated_at)"
        " VALUES (?, ?,?,?,?,?,?,?,?,?,?, ?, ?, ?)",
        (article_key, *values, digest, at_ms, at_ms),
    )


def _update(
    conn: sqlite3.Connection, article_key: int, values: tuple[Any, ...], digest: str, at_ms: int
) -> None:
    conn.execute(
        "UPDATE articles SET title=?, body=?, category=?, author=?, url=?, language=?,"
        " premium=?, published_at=?, expires_at=?, tags=?, text_digest=?, updated_at=?,"
        " revision = revision + 1 WHERE article_key = ?",
        (*values, digest, at_ms, article_key),
    )


def read_articles(
    conn: sqlite3.Connection,
    *,
    known_by_ms: int,
    also_keys: Iterable[int],
    also_ids: Sequence[str],
) -> Articles:
    """Read the articles known by an instant, see `Store.articles`."""
    rows = conn.execute(
        "SELECT i.article_id, i.article_key, a.title, a.category, a.url, a.author, a.tags,"
        " a.published_at, a.expires_at, a.added_at, a.text_digest, a.language, a.premium"
        " FROM article_ids i LEFT JOIN articles a USING (article_key)"
        " WHERE coalesce(a.published_at, 0) <= ?"
        " OR i.article_key IN (SELECT value FROM json_each(?))"
        " OR i.article_id IN (SELECT value FROM json_each(?)) ORDER BY i.article_id",
        (known_by_ms, json.dumps([int(key) for key in also_keys]), json.dumps(list(also_ids))),
    ).fetchall()
    columns = list(zip(*rows, strict=True)) if rows else [()] * 13
    texts = [
        tuple("" if value is None else value for value in columns[index])
        for index in (2, 3, 4, 5, 6, 10, 11)
    ]
    return Articles(
        id_map=IdMap(columns[0], np.array(columns[1], dtype=np.int64)),
        titles=texts[0],
        categories=texts[1],
        urls=texts[2],
        authors=texts[3],
        tags=texts[4],
        languages=texts[6],
        premium=[None if value is None else bool(value) for value in columns[12]],
        published_ms=nullable_instants(columns[7]),
        expires_ms=nullable_instants(columns[8]),
        added_ms=nullable_instants(columns[9]),
        digests=texts[5],
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
