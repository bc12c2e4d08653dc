"""What nights work out from the store's rows and keep beside them: nothing here is a source.

Each is what working it out anew would give: the rows it comes of are named with it, or it
is dropped when they change.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from scipy.sparse import csr_matrix


class DerivedTables:
    """Term counts of articles, and examples of past days.

    Parameters
    ----------
    conn
        The store's connection.
    write
        Runs one transaction on it.
    """

    def __init__(
        self, conn: sqlite3.Connection, write: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._conn, self._write = conn, write

    def text_digests(self) -> dict[int, str]:
        """Return by article key the digest that its stored vector was made from."""
        return dict(self._conn.execute("SELECT article_key, text_digest FROM text_vectors"))

    def text_vectors(self, keys: Sequence[int], n_features: int) -> csr_matrix:
        """Return the stored vectors of articles, a row each; empty for those with none."""
        query = (
            "SELECT article_key, terms, counts FROM text_vectors"
            " WHERE article_key IN (SELECT value FROM json_each(?))"
        )
        rows = self._conn.execute(query, (json.dumps(list(keys)),))
        stored = {key: (terms, counts) for key, terms, counts in rows}
        found = [stored.get(key, (b"", b"")) for key in keys]
        return csr_matrix(
            (
                np.frombuffer(b"".join([counts for _, counts in found]), dtype="<f4"),
                np.frombuffer(b"".join([terms for terms, _ in found]), dtype="<i4"),
                np.cumsum([0, *(len(terms) // 4 for terms, _ in found)]),
            ),
            shape=(len(found), n_features),
        )

    def put_text_vectors(
        self, keys: Sequence[int], digests: Sequence[str], vectors: csr_matrix
    ) -> None:
        """Store the term counts of articles, replacing what was there."""
        with self._write():
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

    def examples(self, until_ms: int, what: str) -> bytes | None:
        """Return what was kept of the time up to an instant, None for nothing."""
        row = self._conn.execute(
            "SELECT packed FROM examples WHERE until_ms = ? AND what = ?", (until_ms, what)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def put_examples(self, until_ms: int, what: str, packed: bytes, *, oldest_ms: int) -> None:
        """Keep examples of the time up to an instant; those that end before `oldest_ms` go."""
        with self._write():
            self._conn.execute("DELETE FROM examples WHERE until_ms < ?", (oldest_ms,))
            self._conn.execute(
                "INSERT OR REPLACE INTO examples VALUES (?, ?, ?)", (until_ms, what, packed)
            )

    def drop_examples(self, since_ms: int | None) -> None:
        """Forget examples of times that end after an instant; None is never.

        Within the transaction that changes rows of that instant.
        """
        if since_ms is not None:
            self._conn.execute("DELETE FROM examples WHERE until_ms > ?", (since_ms,))
