"""Remember who was chosen to hear of an article, so that no user is chosen too often in a day."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from recsys.errors import StoreError
from recsys.rows import HOUR_MS

KEPT_DAYS = 7  # only the rows of the same day are ever asked for; the others are for people


class AudienceTable:
    """The table of users who were chosen to hear of an article, by day.

    Parameters
    ----------
    conn
        The store's connection.
    transaction
        Begins a transaction on it that commits at the end of the block.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._conn, self._transaction = conn, transaction

    def chosen_often(self, day: str, article_id: str, per_day: int) -> set[str]:
        """Return the users who were chosen for `per_day` or more other articles on a day.

        Parameters
        ----------
        day
            The day, in ISO 8601.
        article_id
            Choices for this article do not count.
        per_day
            At least 1.
        """
        rows = self._conn.execute(
            "SELECT user_id FROM audiences WHERE day = ? AND article_id <> ?"
            " GROUP BY user_id HAVING count(*) >= ?",
            (day, article_id, per_day),
        )
        return {row[0] for row in rows}

    def record(
        self, day: str, article_id: str, user_ids: Sequence[str], *, per_day: int, at_ms: int
    ) -> bool:
        """Record the users who are chosen for an article: all of them, or none.

        A user who is recorded for the article and the day already stays as recorded. Rows older
        than `KEPT_DAYS` are deleted.

        Parameters
        ----------
        day, article_id, user_ids
            The choice.
        per_day
            See `chosen_often`.
        at_ms
            When it is made.

        Returns
        -------
        bool
            False, and nothing is recorded, if another process has chosen one of the users for
            other articles `per_day` times meanwhile.

        Raises
        ------
        StoreError
            If the store does not have one of the users.
        """
        with self._transaction():
            if not self.chosen_often(day, article_id, per_day).isdisjoint(user_ids):
                return False
            n_known = self._conn.execute(
                "SELECT count(*) FROM json_each(?) WHERE value IN (SELECT user_id FROM users)",
                (json.dumps(list(user_ids)),),
            ).fetchone()[0]
            if n_known < len(user_ids):
                raise StoreError(
                    f"the store lacks {len(user_ids) - n_known} of the {len(user_ids)} users: give"
                    " the store that the run was made from (--store); if users were forgotten just"
                    " now, run the command again"
                )
            self._conn.execute(
                "DELETE FROM audiences WHERE chosen_at < ?", (at_ms - KEPT_DAYS * 24 * HOUR_MS,)
            )
            self._conn.executemany(
                "INSERT OR IGNORE INTO audiences VALUES (?, ?, ?, ?)",
                [(day, user_id, article_id, at_ms) for user_id in user_ids],
            )
        return True
