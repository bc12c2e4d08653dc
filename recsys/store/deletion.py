"""Delete a user on request, and delete data older than it may be kept.

Deleted content is overwritten with zeros (`PRAGMA secure_delete`).
"""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from recsys.errors import StoreError
from recsys.files import fsync_path
from recsys.id_search import IdSearch
from recsys.rows import HOUR_MS
from recsys.store.derived import DerivedTables


class Deletion:
    """Deletes users and old rows from a store.

    Parameters
    ----------
    conn
        The store's connection.
    log
        Its write-ahead log.
    transaction
        Begins a transaction on it that commits at the end of the block and may delete users.
    derived
        Holds the training examples, which are dropped when a user is deleted.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        log: Path,
        transaction: Callable[[], AbstractContextManager[None]],
        derived: DerivedTables,
    ) -> None:
        self._conn, self._transaction, self._derived = conn, transaction, derived
        self._log = log

    def delete_user(self, user_id: str, search: IdSearch) -> dict[str, int]:
        """Delete a user and all rows about them; return the number of deleted rows by table.

        Rejected rows that hold the id by itself are deleted too, and all training examples are
        dropped. `overwrite_deleted` must follow.

        Parameters
        ----------
        user_id
            The id as the store has it.
        search
            Finds the ids by which rejected rows may name the user.
        """
        n_deleted = {}
        self._conn.execute("PRAGMA secure_delete = ON")
        self._conn.create_function("holds_id", 1, search.holds, deterministic=True)
        with self._transaction():
            row = self._conn.execute(
                "SELECT user_key FROM users WHERE user_id = ?", (user_id,)
            ).fetchone()
            user_key = -1 if row is None else row[0]
            self._conn.execute(
                "UPDATE click_hours SET packed = NULL WHERE hour IN"
                f" (SELECT clicked_at / {HOUR_MS} FROM clicks WHERE user_key = ?)",
                (user_key,),
            )
            for table in ("clicks", "impressions", "users"):
                deleted = self._conn.execute(f"DELETE FROM {table} WHERE user_key = ?", (user_key,))
                n_deleted[table] = deleted.rowcount
            deleted = self._conn.execute("DELETE FROM audiences WHERE user_id = ?", (user_id,))
            n_deleted["audiences"] = deleted.rowcount
            deleted = self._conn.execute(
                "DELETE FROM rejected_rows WHERE holds_id(raw) OR holds_id(reason)"
            )
            n_deleted["rejected_rows"] = deleted.rowcount
            self._derived.drop_examples(0)
        return n_deleted

    def overwrite_deleted(self) -> None:
        """Rewrite the store without its free pages, and empty its write-ahead log.

        No byte of rows that were deleted before is left in the files of the store, also if power is
        lost then.

        Raises
        ------
        StoreError
            If another process reads or writes the store all the while, or the disk is full.
        """
        try:
            self._conn.execute("VACUUM")
            is_busy = self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            problem = "another process reads the store" if is_busy else ""
        except sqlite3.Error as error:
            problem = str(error)
        if problem:
            raise StoreError(
                f"the user is deleted, but deleted bytes are still in the store's files: {problem};"
                " end what uses the store and run the command again"
            )
        fsync_path(self._log)  # SQLite does not wait until the log is empty on the disk too

    def delete_before(self, instant_ms: int) -> dict[str, int]:
        """Delete clicks, impressions, rejected rows and audiences from before an instant.

        Users without any remaining click or impression are deleted too. Training examples of past
        days are kept, because they identify no user.

        Returns
        -------
        dict of int
            Number of deleted rows by table.
        """
        n_deleted = {}
        self._conn.execute("PRAGMA secure_delete = ON")
        with self._transaction():
            for table, column in (
                ("clicks", "clicked_at"),
                ("impressions", "shown_at"),
                ("rejected_rows", "rejected_at"),
                ("audiences", "chosen_at"),
            ):
                deleted = self._conn.execute(
                    f"DELETE FROM {table} WHERE {column} < ?", (instant_ms,)
                )
                n_deleted[table] = deleted.rowcount
            hour = instant_ms // HOUR_MS
            self._conn.execute("DELETE FROM click_hours WHERE hour < ?", (hour,))
            self._conn.execute("UPDATE click_hours SET packed = NULL WHERE hour = ?", (hour,))
            deleted = self._conn.execute(
                "DELETE FROM users WHERE user_key NOT IN (SELECT user_key FROM clicks)"
                " AND user_key NOT IN (SELECT user_key FROM impressions)"
            )
            n_deleted["users"] = deleted.rowcount
        return n_deleted
