"""Results that runs compute from the store's rows and keep: term counts and training examples.

Nothing here is a source of data. Deleting these tables costs only the time to compute them again:
term counts carry the digest of the text they were computed from, and training examples are dropped
when rows that they were computed from change.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from scipy.sparse import csr_matrix


class DerivedTables:
    """Reads and writes the term counts of articles and the training examples of past days.

    Parameters
    ----------
    conn
        The store's connection.
    transaction
        Begins a transaction on it that commits at the end of the block.
    """

    def __init__(
        self, conn: sqlite3.Connection, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._conn, self._transaction = conn, transaction

    def text_digests(self) -> dict[int, str]:
        """Return the digest from which each stored vector was computed, by article key."""
        return dict(self._conn.execute("SELECT article_key, text_digest FROM text_vectors"))

    def text_vectors(self, keys: Sequence[int], n_features: int) -> csr_matrix:
        """Read the term counts of articles, one row for each key; empty if none are stored."""
        query = (
            "SELECT article_key, terms, counts FROM text_vectors"
            " WHERE article_key IN (SELECT value FROM json_each(?))"
        )
        rows = self._conn.execute(query, (json.dumps(list(keys)),))
        stored = {key: (terms, counts) for key, terms, counts in rows}
        vectors = [stored.get(key, (b"", b"")) for key in keys]
        return csr_matrix(
            (
                np.frombuffer(b"".join([counts for _, counts in vectors]), dtype="<f4"),
                np.frombuffer(b"".join([terms for terms, _ in vectors]), dtype="<i4"),
                np.cumsum([0, *(len(terms) // 4 for terms, _ in vectors)]),
            ),
            shape=(len(vectors), n_features),
        )

    def put_text_vectors(
        self, keys: Sequence[int], digests: Sequence[str], vectors: csr_matrix
    ) -> None:
        """Store the term counts of articles, replacing earlier ones.

        Parameters
        ----------
        keys, digests
            The key of each article, and the digest of its text and of the settings.
        vectors : csr_matrix, shape (len(keys), n_features)
            Term counts.
        """
        with self._transaction():
            self._conn.executemany(
                "INSERT OR REPLACE INTO text_vectors VALUES (?, ?, ?, ?)",
                (
                    (
                        int(key),
                        digest,
                        vectors.indices[start:end].astype("<i4").tobytes(),
                        vectors.data[start:end].astype("<f4").tobytes(),
                    )
                    for key, digest, start, end in zip(
                        keys, digests, vectors.indptr[:-1], vectors.indptr[1:], strict=True
                    )
                ),
            )

    def examples(self, until_ms: int, name: str) -> bytes | None:
        """Read the packed examples stored under a name for a day; None if there are none.

        Parameters
        ----------
        until_ms
            The end of the day.
        name
            The head, the beginning of the day and the settings, as one text.
        """
        row = self._conn.execute(
            "SELECT packed FROM examples WHERE until_ms = ? AND what = ?", (until_ms, name)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def put_examples(
        self, until_ms: int, name: str, packed: bytes, *, oldest_ms: int, most: int
    ) -> None:
        """Store the packed examples of a day, and drop examples that are no longer needed.

        Parameters
        ----------
        until_ms, name
            See `examples`.
        packed
            The examples.
        oldest_ms
            Examples of days that ended then or earlier are deleted.
        most
            How many results are kept at most: those stored last.
        """
        with self._transaction():
            self._conn.execute("DELETE FROM examples WHERE until_ms <= ?", (oldest_ms,))
            self._conn.execute(
                "INSERT OR REPLACE INTO examples VALUES (?, ?, ?)", (until_ms, name, packed)
            )
            self._conn.execute(
                "DELETE FROM examples WHERE rowid NOT IN"
                " (SELECT rowid FROM examples ORDER BY rowid DESC LIMIT ?)",
                (most,),
            )

    def drop_examples(self, since_ms: int | None) -> None:
        """Drop the examples of days that ended after an instant; none if it is None.

        The caller runs this in the transaction that changes rows of that instant, because examples
        of later days were computed from those rows.
        """
        if since_ms is not None:
            self._conn.execute("DELETE FROM examples WHERE until_ms > ?", (since_ms,))
