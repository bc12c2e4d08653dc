"""What leaves the store: a reader who asks for it, and what is older than it may be kept.

What is deleted is overwritten with zeros.
"""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

from recsys.rows import HOUR_MS
from recsys.store.derived import DerivedTables


class Erasure:
    """Deletes from a store.

    Parameters
    ----------
    conn
        The store's connection.
    write
        Runs one transaction on it.
    kept
        What was worked out from the rows, and goes with them.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        write: Callable[[], AbstractContextManager[None]],
        kept: DerivedTables,
    ) -> None:
        self._conn, self._write, self._kept = conn, write, kept

    def reader(self, user_id: str) -> dict[str, int]:
        """Delete a reader and all that came of them; return the rows deleted, by table.

        The file is written anew: no byte of them is left.
        """
        found = {}
        self._conn.execute("PRAGMA secure_delete = ON")
        with self._write():
            row = self._conn.execute(
                "SELECT user_key FROM users WHERE user_id = ?", (user_id,)
            ).fetchone()
            key = -1 if row is None else row[0]
            self._conn.execute(
                "UPDATE click_hours SET packed = NULL WHERE hour IN"
                f" (SELECT clicked_at / {HOUR_MS} FROM clicks WHERE user_key = ?)",
                (key,),
            )
            for table in ("clicks", "impressions", "users"):
                gone = self._conn.execute(f"DELETE FROM {table} WHERE user_key = ?", (key,))
                found[table] = gone.rowcount
            gone = self._conn.execute(
                "DELETE FROM rejected_rows WHERE instr(raw, ?) OR instr(reason, ?)",
                (user_id, user_id),
            )
            found["rejected_rows"] = gone.rowcount
            self._kept.drop_examples(0)
        self._conn.execute("VACUUM")
        self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return found

    def before(self, instant_ms: int) -> dict[str, int]:
        """Delete what readers did before an instant; return the rows deleted, by table.

        A reader of whom nothing is left goes too. Examples of past days stay: no reader is
        named in them.
        """
        found = {}
        self._conn.execute("PRAGMA secure_delete = ON")
        with self._write():
            for table, column in (
                ("clicks", "clicked_at"),
                ("impressions", "shown_at"),
                ("rejected_rows", "rejected_at"),
            ):
                gone = self._conn.execute(f"DELETE FROM {table} WHERE {column} < ?", (instant_ms,))
                found[table] = gone.rowcount
            hour = instant_ms // HOUR_MS
            self._conn.execute("DELETE FROM click_hours WHERE hour < ?", (hour,))
            self._conn.execute("UPDATE click_hours SET packed = NULL WHERE hour = ?", (hour,))
            gone = self._conn.execute(
                "DELETE FROM users WHERE user_key NOT IN (SELECT user_key FROM clicks)"
                " AND user_key NOT IN (SELECT user_key FROM impressions)"
            )
            found["users"] = gone.rowcount
        return found
