"""The SQLite store: the schema, and every SQL statement on it.

One writer at a time, any number of readers (WAL). External string ids stand once,
in `users` and `article_ids`; clicks and impressions carry integer keys, so a click
on an article that has not arrived yet is kept and counts as soon as it does.

Keys are given by `_keys` in the transaction that stores them; that SQLite checks each
again (`foreign_keys`) took a seventh of an ingest. Third-party oddities that stay here:
without STRICT, SQLite keeps a numpy integer as a blob without any error, so all tables are
STRICT; `insert_all([])` creates no table; `with db.conn:` does not roll back.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlite_utils import Database

from recsys.errors import StoreError
from recsys.files import make_private
from recsys.rows import (
    UNKNOWN_TIME,
    Added,
    Articles,
    Clicks,
    IdMap,
    Impressions,
    Kind,
    Reject,
    RuleChange,
)
from recsys.store.clicks import ClickTable
from recsys.store.deletion import Erasure
from recsys.store.derived import DerivedTables
from recsys.store.id_keys import Ids
from recsys.store.schema import MIGRATIONS


def _nullable(column: Sequence[int | None]) -> NDArray[np.int64]:
    return np.array([UNKNOWN_TIME if v is None else v for v in column], dtype=np.int64)


class Store:
    """An open store; a context manager that closes it.

    Parameters
    ----------
    path
        The database file, created if absent unless `must_exist`.
    must_exist
        Refuse a path with no store instead of creating one.

    Raises
    ------
    StoreError
        If the file is no store, is locked, or was written by a newer version.

    Attributes
    ----------
    path
        The file.
    kept
        What nights worked out from the rows and keep beside them.
    erasure
        Deletes readers, and what is old.
    """

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        if must_exist and not path.exists():
            raise StoreError(
                f"{path}: no store here; `recsys ingest PATH --store {path}` makes one"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make_private(path)
            self._conn = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            self._conn.execute("PRAGMA journal_mode = WAL")
            self._conn.execute("PRAGMA synchronous = NORMAL")
            self._conn.execute("PRAGMA cache_size = -65536")  # KiB
            self._conn.execute("PRAGMA wal_autocheckpoint = 8192")  # pages: 32 MiB, a few batches
            self._db = Database(self._conn)
            self.path = path
            self._migrate(path)
            self._ids = Ids(self._conn)
            self.derived = DerivedTables(self._conn, self._write)
            self._clicks = ClickTable(self._conn, self._write, self.derived)
            self.erasure = Erasure(self._conn, self._erase, self.derived)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: cannot be opened as a store: {error}") from error

    def __enter__(self) -> "Store":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the store; nothing is pending, since each write commits."""
        self._conn.close()

    def _migrate(self, path: Path) -> None:
        found = self._conn.execute("PRAGMA user_version").fetchone()[0]
        if found > len(MIGRATIONS):
            raise StoreError(
                f"{path}: schema version {found}, this recsys knows {len(MIGRATIONS)}; "
                "upgrade recsys"
            )
        for version in range(found, len(MIGRATIONS)):
            with self._write():
                # Another process may have migrated while this one waited for the lock.
                if self._conn.execute("PRAGMA user_version").fetchone()[0] > version:
                    continue
                for statement in MIGRATIONS[version].split(";\n"):
                    self._conn.execute(statement)
                self._conn.execute(f"PRAGMA user_version = {version + 1}")

    @contextmanager
    def _write(self) -> Iterator[None]:
        """Run one transaction that holds the write lock from its start: all of it, or nothing."""
        try:
            self._conn.execute("BEGIN IMMEDIATE")
            yield
            self._conn.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; nothing of this was stored") from error
        finally:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
                self._ids.forget()

    @contextmanager
    def _erase(self) -> Iterator[None]:
        """Run one transaction that may delete readers."""
        with self._write():
            yield
        self._ids.forget()

    @property
    def hashed_with(self) -> str | None:
        """Fingerprint of the key that readers' ids are hashed with, None for none."""
        row = self._conn.execute("SELECT value FROM settings WHERE name = 'hashed_with'").fetchone()
        return None if row is None else str(row[0])

    def hash_with(self, fingerprint: str | None) -> None:
        """Hold a store to ids hashed with one key, or to ids as they are.

        Raises
        ------
        StoreError
            If it has readers whose ids are another way.
        """
        if fingerprint == (before := self.hashed_with):
            return
        if fingerprint is None:
            raise StoreError(f"{self.path}: readers' ids here are hashed; add --hash-users")
        with self._write():
            if before or self._conn.execute("SELECT 1 FROM users LIMIT 1").fetchone():
                how = "hashed with another key" if before else "not hashed"
                raise StoreError(f"{self.path}: readers' ids here are {how}; begin a new store")
            self._conn.execute("INSERT INTO settings VALUES ('hashed_with', ?)", (fingerprint,))

    # ---- adding -----------------------------------------------------------------

    def add(
        self, kind: Kind, rows: pl.DataFrame, rejects: Sequence[Reject], *, file: str, at_ms: int
    ) -> dict[Kind, Added]:
        """Add checked rows and their rejects in one transaction.

        A row that is already there changes nothing. An article with other content
        replaces the old one and raises its revision. An impression's clicks are
        clicks too.

        Parameters
        ----------
        kind, rows, rejects
            As `recsys.ingest.validate.check` returns them.
        file
            Where they came from, kept with the rejects.
        at_ms
            The present; dates new articles and rejects.
        """
        with self._write():
            self._add_rejects(rejects, file, at_ms)
            if kind == "articles":
                return {"articles": self._add_articles(rows, at_ms)}
            if kind == "clicks":
                return {"clicks": self._clicks.add(self._with_keys(rows))}
            return {
                "impressions": self._add_impressions(rows),
                "clicks": self._clicks.add(self._with_keys(_clicks_of(rows))),
            }

    def _add_rejects(self, rejects: Sequence[Reject], file: str, at_ms: int) -> None:
        self._conn.executemany(
            "INSERT OR IGNORE INTO rejected_rows VALUES (?, ?, ?, ?, ?, ?)",
            [(file, r.row, r.field, r.reason, r.raw, at_ms) for r in rejects],
        )

    def _add_articles(self, rows: pl.DataFrame, at_ms: int) -> Added:
        rows = rows.unique("article_id", keep="last", maintain_order=True)
        keys = self._ids.keys("article_ids", rows["article_id"])
        rows = rows.join(
            keys, left_on="article_id", right_on="id", how="left", maintain_order="left"
        )
        new = changed = 0
        differ = []  # since when; without a date, since ever
        for row in rows.iter_rows(named=True):
            values = (
                row["title"],
                row["body"],
                row["category"],
                row["author"],
                row["url"],
                row["language"],
                row["published_at"],
                row["expires_at"],
                row["tags"],
            )
            digest = text_digest(row["title"], row["body"], row["category"])
            before = self._conn.execute(
                "SELECT title, body, category, author, url, language, published_at, expires_at,"
                " tags FROM articles WHERE article_key = ?",
                (row["key"],),
            ).fetchone()
            if before == values:
                continue
            differ += [row["published_at"] or 0, (values if before is None else before)[6] or 0]
            if before is None:
                new += 1
                self._conn.execute(
                    "INSERT INTO articles (article_key, title, body, category, author, url,"
                    " language, published_at, expires_at, tags, text_digest, added_at, updated_at)"
                    " VALUES (?, ?,?,?,?,?,?,?,?,?, ?, ?, ?)",
                    (row["key"], *values, digest, at_ms, at_ms),
                )
            else:
                changed += 1
                self._conn.execute(
                    "UPDATE articles SET title=?, body=?, category=?, author=?, url=?, language=?,"
                    " published_at=?, expires_at=?, tags=?, text_digest=?, updated_at=?,"
                    " revision = revision + 1 WHERE article_key = ?",
                    (*values, digest, at_ms, row["key"]),
                )
        self.derived.drop_examples(min(differ, default=None))
        return Added(new, changed, len(rows) - new - changed)

    def _with_keys(self, rows: pl.DataFrame) -> pl.DataFrame:
        users = self._ids.keys("users", rows["user_id"]).rename({"key": "user_key"})
        articles = self._ids.keys("article_ids", rows["article_id"]).rename({"key": "article_key"})
        rows = rows.join(users, left_on="user_id", right_on="id", how="left", maintain_order="left")
        return rows.join(
            articles, left_on="article_id", right_on="id", how="left", maintain_order="left"
        )

    def _add_impressions(self, rows: pl.DataFrame) -> Added:
        shown_ids = self._ids.keys("article_ids", rows["shown"].explode(empty_as_null=False))
        key_of = dict(shown_ids.iter_rows())
        rows = self._with_keys(rows)
        before = self._conn.total_changes

        def packed() -> Iterator[tuple[object, ...]]:
            for row in rows.iter_rows(named=True):
                clicked = set(row["clicked"] or ())
                shown = np.array([key_of[id_] for id_ in row["shown"]], dtype="<i8")
                marks = np.array([id_ in clicked for id_ in row["shown"]], dtype=np.uint8)
                yield (
                    row["shown_at"],
                    row["user_key"],
                    shown.tobytes(),
                    marks.tobytes(),
                    row["clicked_at"],
                    row["article_key"],
                    row["source"],
                    None
                    if row["propensities"] is None
                    else np.array(row["propensities"], dtype="<f8").tobytes(),
                )

        self._conn.executemany(
            "INSERT OR IGNORE INTO impressions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", packed()
        )
        new = self._conn.total_changes - before
        self.derived.drop_examples(min(rows["shown_at"].to_list()) if new else None)
        return Added(new=new, known=len(rows) - new)

    # ---- reading ----------------------------------------------------------------

    def articles(
        self,
        *,
        known_by_ms: int,
        also: NDArray[np.int64] | Sequence[int] = (),
        also_ids: Sequence[str] = (),
    ) -> Articles:
        """Return every article known by an instant, in id order.

        An article without a row counts if it was clicked or shown by then. A row
        dated later than `known_by_ms` is left out: it was not there to be shown, unless
        its key is in `also` or its id in `also_ids`.
        """
        rows = self._conn.execute(
            "SELECT i.article_id, i.article_key, a.title, a.category, a.url, a.author, a.tags,"
            " a.published_at, a.expires_at, a.added_at, a.text_digest"
            " FROM article_ids i LEFT JOIN articles a USING (article_key)"
            " WHERE coalesce(a.published_at, 0) <= ?"
            " OR i.article_key IN (SELECT value FROM json_each(?))"
            " OR i.article_id IN (SELECT value FROM json_each(?)) ORDER BY i.article_id",
            (known_by_ms, json.dumps([int(key) for key in also]), json.dumps(list(also_ids))),
        ).fetchall()
        columns = list(zip(*rows, strict=True)) if rows else [()] * 11
        texts = [tuple("" if v is None else v for v in columns[c]) for c in (2, 3, 4, 5, 6, 10)]
        return Articles(
            id_map=IdMap(columns[0], np.array(columns[1], dtype=np.int64)),
            titles=texts[0],
            categories=texts[1],
            urls=texts[2],
            authors=texts[3],
            tags=texts[4],
            published_ms=_nullable(columns[7]),
            expires_ms=_nullable(columns[8]),
            added_ms=_nullable(columns[9]),
            digests=texts[5],
        )

    def bodies(self, keys: Sequence[int]) -> list[str]:
        """Return the text of articles below the title, "" for those without a row."""
        query = "SELECT body FROM articles WHERE article_key = ?"
        found = (self._conn.execute(query, (key,)).fetchone() for key in keys)
        return ["" if row is None else row[0] for row in found]

    def users(self) -> IdMap:
        """Return every reader, in id order."""
        rows = self._conn.execute("SELECT user_id, user_key FROM users ORDER BY user_id").fetchall()
        return IdMap([r[0] for r in rows], np.array([r[1] for r in rows], dtype=np.int64))

    def clicks(self, *, from_ms: int, before_ms: int) -> Clicks:
        """Return clicks in [from_ms, before_ms), oldest first."""
        return self._clicks.read(from_ms=from_ms, before_ms=before_ms)

    def impressions(self, *, from_ms: int, before_ms: int) -> Impressions:
        """Return impressions shown in [from_ms, before_ms), oldest first."""
        rows = self._conn.execute(
            "SELECT user_key, coalesce(context_key, -1), shown_at, shown, clicked, clicked_at,"
            " coalesce(source, ''), propensities"
            " FROM impressions WHERE shown_at >= ? AND shown_at < ?"
            " ORDER BY shown_at, user_key, shown",
            (from_ms, before_ms),
        ).fetchall()
        lengths = np.array([len(r[4]) for r in rows], dtype=np.int64)
        return Impressions(
            user_key=np.array([r[0] for r in rows], dtype=np.int64),
            context_key=np.array([r[1] for r in rows], dtype=np.int64),
            shown_ms=np.array([r[2] for r in rows], dtype=np.int64),
            start=np.concatenate(([0], np.cumsum(lengths))),
            article_key=np.frombuffer(b"".join(r[3] for r in rows), dtype="<i8").astype(np.int64),
            clicked=np.frombuffer(b"".join(r[4] for r in rows), dtype=np.uint8).astype(bool),
            clicked_ms=_nullable([r[5] for r in rows]),
            source=[r[6] for r in rows],
            propensity=np.frombuffer(
                b"".join(np.ones(len(r[4])).tobytes() if r[7] is None else r[7] for r in rows)
            ),
        )

    def first_event_ms(self) -> int | None:
        """Return when the first click or impression with a known time was; None for none."""
        found = self._conn.execute(
            "SELECT min(t) FROM (SELECT min(clicked_at) AS t FROM clicks WHERE time_is_bound = 0"
            " UNION ALL SELECT min(shown_at) FROM impressions)"
        ).fetchone()[0]
        return None if found is None else int(found)

    def last_impression_ms(self) -> int:
        """Return when the last impression was shown.

        Raises
        ------
        StoreError
            If there is none.
        """
        found = self._conn.execute("SELECT max(shown_at) FROM impressions").fetchone()[0]
        if found is None:
            raise StoreError("the store has no impressions; evaluation needs some (recsys ingest)")
        return int(found)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        tables = ("articles", "users", "clicks", "impressions", "rejected_rows")
        return {name: self._db.table(name).count for name in tables}

    # ---- rules ------------------------------------------------------------------

    def put_rule(self, change: RuleChange) -> None:
        """Keep a change of a rule as its next version.

        Raises
        ------
        StoreError
            If another process made that version first.
        """
        try:
            with self._write():
                insert = "INSERT INTO rules VALUES (?, ?, ?, ?, ?, ?, ?)"
                self._conn.execute(insert, astuple(change))
        except sqlite3.IntegrityError as error:
            raise StoreError(f"rule {change.rule_id} was changed meanwhile; try again") from error

    def rule_changes(self) -> list[RuleChange]:
        """Return every change of every rule, in the order they were made."""
        rows = self._conn.execute("SELECT * FROM rules ORDER BY changed_at, rowid")
        return [RuleChange(*row) for row in rows]

    def latest_rules(self) -> list[dict[str, Any]]:
        """Return the latest version of every rule, in the order they were first added."""
        latest = {change.rule_id: change.rule for change in self.rule_changes()}
        return [json.loads(rule) for rule in latest.values()]

    def pinned_ids(self, at_ms: int) -> list[str]:
        """Return the articles that rules pin at an instant or from some later one on."""
        return [
            rule["value"]
            for rule in self.latest_rules()
            if rule["kind"] == "pin" and (rule["ends_ms"] is None or rule["ends_ms"] > at_ms)
        ]

    def has_article(self, article_id: str) -> bool:
        """Return whether an article of this id was ever stored, clicked or shown."""
        query = "SELECT 1 FROM article_ids WHERE article_id = ?"
        return self._conn.execute(query, (article_id,)).fetchone() is not None

    # ---- ledger -----------------------------------------------------------------

    def put_run(self, run_id: str, kind: str, as_of: str, status: str, report: object) -> None:
        """Record a run; the same run again replaces its record."""
        row = {"run_id": run_id, "kind": kind, "as_of": as_of, "status": status}
        with self._write():
            self._conn.execute(
                "INSERT OR REPLACE INTO runs VALUES (:run_id, :kind, :as_of, :status, :report)",
                row | {"report": json.dumps(report, sort_keys=True)},
            )

    def runs(self) -> list[dict[str, Any]]:
        """Return the ledger, oldest first; `report` is decoded."""
        rows = self._db.query("SELECT * FROM runs ORDER BY rowid")
        return [row | {"report": json.loads(row["report"])} for row in rows]


def text_digest(*parts: str) -> str:
    """Return a fingerprint of texts; equal texts give equal ones on every machine."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
    return digest.hexdigest()


def _clicks_of(impressions: pl.DataFrame) -> pl.DataFrame:
    """Return the clicks that impressions report; their source is list and position."""
    n_clicked = pl.col("clicked").list.len()
    position = pl.col("shown").list.eval(pl.int_range(1, pl.len() + 1))
    return (
        impressions.filter(n_clicked.fill_null(0) > 0)
        .select(
            "user_id",
            pl.coalesce("clicked_at", "shown_at").alias("clicked_at"),
            # One reading time is known, so it can only belong to a single click.
            pl.when(n_clicked == 1).then("dwell_seconds").alias("dwell_seconds"),
            "source",
            "clicked",
            pl.col("shown").alias("article_id"),
            position.alias("position"),
        )
        .explode("article_id", "position")
        .filter(pl.col("article_id").is_in(pl.col("clicked")))
        .with_columns(pl.format("{}:{}", "source", "position").alias("source"))
        .drop("clicked", "position")
    )
