"""Open the SQLite store, add rows to it, and read them back.

There is one writer at a time and any number of readers (write-ahead log). External string ids are
stored once, in the tables `users` and `article_ids`; clicks and impressions hold integer keys. So a
click on an article that has not arrived yet is stored, and counts as soon as the article arrives.

`IdKeys` assigns keys in the transaction that stores them; SQLite's own check of each key
(`PRAGMA foreign_keys`) took a seventh of an ingest and is off.

Oddities of SQLite and sqlite-utils that this folder handles: without STRICT, SQLite stores a numpy
integer as a blob without an error, so all tables are STRICT; `insert_all([])` creates no table;
`with db.conn:` does not roll back.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sqlite_utils import Database

from recsys.errors import StoreError
from recsys.files import create_folder, create_private_file, fsync_path
from recsys.rows import Added, Articles, Clicks, IdMap, Impressions, Kind, Reject, RuleChange
from recsys.store import ledger
from recsys.store.article_vectors import ArticleVectorTable
from recsys.store.articles import add_articles, read_articles, read_bodies
from recsys.store.audiences import AudienceTable
from recsys.store.clicks import ClickTable
from recsys.store.deletion import Deletion
from recsys.store.derived import DerivedTables
from recsys.store.id_keys import IdKeys
from recsys.store.impressions import add_impressions, read_impressions
from recsys.store.schema import migrate
from recsys.store.sizes import StoreSize, store_size


class Store:
    """An open store; a context manager that closes it.

    Parameters
    ----------
    path
        The database file, created if absent unless `must_exist`.
    must_exist
        Whether to refuse a path without a store instead of creating one.

    Raises
    ------
    StoreError
        If the file is not a store, is locked, or was written by a newer version of recsys.

    Attributes
    ----------
    path
        The database file.
    derived
        Term counts and training examples that runs computed from the rows.
    vectors
        Vectors of articles.
    audiences
        Who was chosen to hear of which article.
    deletion
        Deletes users and old rows.
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        path = Path(path)
        if must_exist and not path.exists():
            raise StoreError(
                f"{path}: there is no store here; `recsys ingest PATH --store {path}` creates one"
            )
        try:
            create_folder(path.parent)
            create_private_file(path)
            self._conn = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            # A commit is on the disk before it returns. With NORMAL it would wait there only for
            # the next checkpoint, and none comes at the end while another process has the store.
            self._conn.execute("PRAGMA synchronous = FULL")
            self._conn.execute("PRAGMA journal_mode = WAL")
            self._conn.execute("PRAGMA cache_size = -65536")  # KiB
            self._conn.execute("PRAGMA wal_autocheckpoint = 8192")  # pages: 32 MiB, a few batches
            self._db = Database(self._conn)
            self.path = path
            self._log = path.with_name(f"{path.name}-wal")
            self._id_keys = IdKeys(self._conn)
            migrate(self._conn, path, self._transaction)
            self.derived = DerivedTables(self._conn, self._transaction)
            self._clicks = ClickTable(self._conn, self._transaction, self.derived)
            self.vectors = ArticleVectorTable(self._conn, self._transaction, self.derived)
            self.audiences = AudienceTable(self._conn, self._transaction)
            self.deletion = Deletion(
                self._conn, self._log, self._deleting_transaction, self.derived
            )
        except (sqlite3.Error, OSError) as error:
            is_read_only = not (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK))
            where = "; its disk or folder cannot be written" if is_read_only else ""
            raise StoreError(f"{path}: cannot be opened as a store: {error}{where}") from error

    def __enter__(self) -> "Store":
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the store; every write was committed before.

        What this process has read is on the disk too: another one may have written it, and have
        been killed before it waited for the disk.
        """
        try:
            with suppress(FileNotFoundError):
                fsync_path(self._log)
        finally:
            self._conn.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Begin a transaction that holds the write lock; commit it, or roll back on an error."""
        try:
            self._conn.execute("BEGIN IMMEDIATE")
            yield
            self._conn.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; the change was not stored") from error
        finally:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
                self._id_keys.clear_cache()

    @contextmanager
    def _deleting_transaction(self) -> Iterator[None]:
        """Run a transaction that may delete users, whose keys are then no longer cached."""
        with self._transaction():
            yield
        self._id_keys.clear_cache()

    @property
    def user_key_fingerprint(self) -> str | None:
        """Fingerprint of the key that hashed the user ids; None if ids are stored as they are."""
        row = self._conn.execute("SELECT value FROM settings WHERE name = 'hashed_with'").fetchone()
        return None if row is None else str(row[0])

    def require_user_key(self, fingerprint: str | None) -> None:
        """Check that the store's user ids are hashed with a given key; a new store adopts the key.

        Parameters
        ----------
        fingerprint
            From `recsys.pseudonym.key_fingerprint`; None if ids are not hashed.

        Raises
        ------
        StoreError
            If the store holds users whose ids are hashed otherwise.
        """
        before = self.user_key_fingerprint
        if fingerprint == before:
            return
        if fingerprint is None:
            raise StoreError(f"{self.path}: user ids in this store are hashed; add --hash-users")
        with self._transaction():
            if before or self._conn.execute("SELECT 1 FROM users LIMIT 1").fetchone():
                how = "hashed with another key" if before else "not hashed"
                raise StoreError(
                    f"{self.path}: user ids in this store are {how}; ingest into a new store"
                )
            self._conn.execute("INSERT INTO settings VALUES ('hashed_with', ?)", (fingerprint,))

    def add(
        self,
        kind: Kind,
        rows: pl.DataFrame,
        rejects: Sequence[Reject],
        *,
        file: str,
        at_ms: int,
        is_known: bool = False,
    ) -> dict[Kind, Added]:
        """Add checked rows and rejects in one transaction; a row that is already stored is ignored.

        An article with changed content replaces the stored one and raises its revision. The clicks
        that an impression reports are added as clicks too.

        Parameters
        ----------
        kind, rows, rejects
            See `recsys.ingest.validate.Checked`.
        file
            The file they were read from, stored with the rejects.
        at_ms
            Current time in ms, stored with new articles and rejects.
        is_known
            Whether the file was read before and has not changed since, see `read_file_digest`.
        """
        with self._transaction():
            self._conn.executemany(
                "INSERT OR IGNORE INTO rejected_rows VALUES (?, ?, ?, ?, ?, ?)",
                [(file, r.row, r.field, r.reason, r.raw, at_ms) for r in rejects],
            )
            if kind == "articles":
                added, oldest_ms = add_articles(
                    self._conn, self._id_keys, rows, at_ms=at_ms, is_known=is_known
                )
                self.derived.drop_examples(oldest_ms)
                return {"articles": added}
            if kind == "clicks":
                return {"clicks": self._add_clicks(rows)}
            change = add_impressions(self._conn, self._id_keys, rows)
            self.derived.drop_examples(change.oldest_ms)
            clicks = self._clicks.add_derived(change.clicks, change.outdated_clicks)
            return {"impressions": change.counts, "clicks": clicks}

    def read_file_digest(self, file: str) -> str | None:
        """Return the digest of a file of articles when it was last read to its end, or None."""
        query = "SELECT digest FROM read_files WHERE file = ?"
        found = self._conn.execute(query, (file,)).fetchone()
        return None if found is None else str(found[0])

    def put_read_file(self, file: str, digest: str) -> None:
        """Store the digest of a file of articles that was read to its end."""
        with self._transaction():
            self._conn.execute("INSERT OR REPLACE INTO read_files VALUES (?, ?)", (file, digest))

    def put_event_file(self, file: str, at_ms: int) -> None:
        """Store the whole path of a file of clicks or impressions, and when it is read."""
        with self._transaction():
            self._conn.execute("INSERT OR REPLACE INTO event_files VALUES (?, ?)", (file, at_ms))

    def event_files(self) -> list[str]:
        """Return the paths of all files of clicks and impressions that were read, in order."""
        rows = self._conn.execute("SELECT file FROM event_files ORDER BY file")
        return [row[0] for row in rows]

    def _add_clicks(self, rows: pl.DataFrame) -> Added:
        rows = self._id_keys.add_key_column(rows, "user")
        return self._clicks.add(self._id_keys.add_key_column(rows, "article"))

    def articles(
        self,
        *,
        known_by_ms: int,
        also_keys: Iterable[int] = (),
        also_ids: Sequence[str] = (),
    ) -> Articles:
        """Return the articles known by an instant, in id order.

        An id without an article is included. An article published after `known_by_ms` is left out,
        because it could not be shown by then, unless `also_keys` or `also_ids` names it.

        Parameters
        ----------
        known_by_ms
            Instant in ms.
        also_keys, also_ids
            Articles to include whenever they are published.
        """
        return read_articles(
            self._conn, known_by_ms=known_by_ms, also_keys=also_keys, also_ids=also_ids
        )

    def bodies(self, keys: Sequence[int]) -> list[str]:
        """Return the body of each article, "" for a key without an article."""
        return read_bodies(self._conn, keys)

    def has_article(self, article_id: str) -> bool:
        """Return whether an article id occurs in any article, click or impression."""
        query = "SELECT 1 FROM article_ids WHERE article_id = ?"
        return self._conn.execute(query, (article_id,)).fetchone() is not None

    def users(self) -> IdMap:
        """Return all users, in id order."""
        return self._id_map("SELECT user_id, user_key FROM users ORDER BY user_id")

    def article_ids(self) -> IdMap:
        """Return the ids of all articles that any article, click or impression names."""
        return self._id_map("SELECT article_id, article_key FROM article_ids ORDER BY article_id")

    def _id_map(self, query: str) -> IdMap:
        """Return the ids and keys that a query selects, in its order."""
        rows = self._conn.execute(query).fetchall()
        return IdMap([id_ for id_, _ in rows], np.array([key for _, key in rows], dtype=np.int64))

    def clicks(self, *, from_ms: int, before_ms: int) -> Clicks:
        """Return the clicks in [from_ms, before_ms), oldest first."""
        return self._clicks.read(from_ms=from_ms, before_ms=before_ms)

    def impressions(self, *, from_ms: int, before_ms: int) -> Impressions:
        """Return the impressions shown in [from_ms, before_ms), oldest first."""
        return read_impressions(self._conn, from_ms=from_ms, before_ms=before_ms)

    def first_event_ms(self) -> int | None:
        """Return the time of the first click or impression whose time is known; None if none is."""
        found = self._conn.execute(
            "SELECT min(t) FROM (SELECT min(clicked_at) AS t FROM clicks WHERE time_is_bound = 0"
            " UNION ALL SELECT min(shown_at) FROM impressions)"
        ).fetchone()[0]
        return None if found is None else int(found)

    def newest_ms(self) -> dict[str, int]:
        """Return the time of the newest article, click and impression; none for an empty table."""
        queries = {
            "article": "SELECT max(coalesce(published_at, added_at)) FROM articles",
            "click": "SELECT max(clicked_at) FROM clicks",
            "impression": "SELECT max(shown_at) FROM impressions",
        }
        newest = {name: self._conn.execute(query).fetchone()[0] for name, query in queries.items()}
        return {name: int(found) for name, found in newest.items() if found is not None}

    def last_impression_ms(self) -> int:
        """Return the time of the last impression.

        Raises
        ------
        StoreError
            If the store has no impressions.
        """
        found = self._conn.execute("SELECT max(shown_at) FROM impressions").fetchone()[0]
        if found is None:
            raise StoreError(
                f"{self.path}: the store has no impressions to evaluate on;"
                " `recsys ingest PATH --kind impressions` adds some"
            )
        return int(found)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        tables = ("articles", "users", "clicks", "impressions", "rejected_rows")
        return {name: self._db.table(name).count for name in tables}

    def size(self) -> StoreSize:
        """Return how many bytes each table takes, its indexes included."""
        return store_size(self._conn, self.path)

    def vacuum(self) -> None:
        """Rewrite the file without its free pages, which takes as much free disk as the store.

        Raises
        ------
        StoreError
            If the disk is full, or another process uses the store all the while.
        """
        try:
            self._conn.execute("VACUUM")
            self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; the store is as it was") from error

    def put_rule(self, change: RuleChange) -> None:
        """Store a change of a rule as its next version.

        Raises
        ------
        StoreError
            If another process stored that version first.
        """
        with self._transaction():
            try:
                ledger.insert_rule_change(self._conn, change)
            except sqlite3.IntegrityError as error:
                raise StoreError(
                    f"{self.path}: rule {change.rule_id} was changed by another process at the same"
                    " time; run the command again"
                ) from error

    def rule_changes(self) -> list[RuleChange]:
        """Return every change of every rule, in the order in which they were made."""
        return ledger.read_rule_changes(self._conn)

    def latest_rules(self) -> list[dict[str, Any]]:
        """Return the latest version of every rule, in the order in which the rules were added."""
        return ledger.latest_rules(self.rule_changes())

    def pinned_ids(self, at_ms: int) -> list[str]:
        """Return the articles that a rule pins at an instant or at any later one."""
        return [
            rule["value"]
            for rule in self.latest_rules()
            if rule["kind"] == "pin" and (rule["ends_ms"] is None or rule["ends_ms"] > at_ms)
        ]

    def put_run(self, run_id: str, kind: str, as_of: str, status: str, report: object) -> None:
        """Store the record of a run, replacing an earlier record of it.

        Parameters
        ----------
        run_id
            The run.
        kind
            "nightly" or "refresh".
        as_of
            Time up to which the run used data, in ISO 8601.
        status
            "begun", "published", "held back" or "failed".
        report
            Any value that JSON can hold.
        """
        with self._transaction():
            ledger.insert_run(self._conn, run_id, kind, as_of, status, report)

    def runs(self) -> list[dict[str, Any]]:
        """Return the record of every run, oldest first, with `report` decoded from JSON."""
        return ledger.read_runs(self._db)
