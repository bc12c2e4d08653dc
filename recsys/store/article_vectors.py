"""The vectors of articles that the publisher gives, or that `recsys embed` makes.

All vectors of a store have one length, that of the first one. So a vector of another model is
noticed, and does not mix with those of the model before.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.errors import StoreError
from recsys.store.derived import DerivedTables


def put_vector(conn: sqlite3.Connection, article_key: int, vector: Sequence[float]) -> bool | None:
    """Store the vector of an article as float32; an empty one deletes the stored one.

    Returns
    -------
    bool or None
        Whether the stored vector changed; None if this one has not the length of the others, and
        was left out.
    """
    query = "SELECT vector FROM article_vectors WHERE article_key = ?"
    found = conn.execute(query, (article_key,)).fetchone()
    if not vector:
        conn.execute("DELETE FROM article_vectors WHERE article_key = ?", (article_key,))
        return found is not None
    packed = np.asarray(vector, dtype="<f4").tobytes()
    if found == (packed,):
        return False
    query = "SELECT length(vector) FROM article_vectors WHERE article_key != ? LIMIT 1"
    other = conn.execute(query, (article_key,)).fetchone()
    if other is not None and other[0] != len(packed):
        return None
    conn.execute("INSERT OR REPLACE INTO article_vectors VALUES (?, ?)", (article_key, packed))
    return True


def model_of(conn: sqlite3.Connection) -> str | None:
    """Return the model whose vectors the store has: "" if they were given; None for no vectors."""
    found = conn.execute("SELECT value FROM settings WHERE name = 'vectors_of'").fetchone()
    if found is not None:
        return str(found[0])
    return "" if conn.execute("SELECT 1 FROM article_vectors LIMIT 1").fetchone() else None


class ArticleText(NamedTuple):
    """The text of an article, as a revision of it has it.

    Attributes
    ----------
    article_key, revision
        The article, and how often its content had changed.
    title, summary, body
        "" where it has none.
    """

    article_key: int
    revision: int
    title: str
    summary: str
    body: str


class ArticleVectorTable:
    """The table `article_vectors` of an open store.

    Parameters
    ----------
    conn, transaction, derived
        Of the store.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[None]],
        derived: DerivedTables,
    ) -> None:
        self._conn, self._transaction, self._derived = conn, transaction, derived

    @property
    def model(self) -> str | None:
        """The model whose vectors the store has, see `model_of`."""
        return model_of(self._conn)

    def count(self) -> int:
        """Return how many articles have a vector."""
        return int(self._conn.execute("SELECT count(*) FROM article_vectors").fetchone()[0])

    def texts(self, after_key: int, n: int, *, of_all: bool) -> list[ArticleText]:
        """Return the texts of the next articles without a vector, by key.

        Parameters
        ----------
        after_key
            The key of the article before.
        n
            At most so many.
        of_all
            Whether articles that have a vector count too.
        """
        rows = self._conn.execute(
            "SELECT article_key, revision, title, summary, body FROM articles"
            " WHERE article_key > ? AND (? OR NOT EXISTS (SELECT 1 FROM article_vectors AS v"
            " WHERE v.article_key = articles.article_key)) ORDER BY article_key LIMIT ?",
            (after_key, of_all, n),
        )
        return [ArticleText(*row) for row in rows]

    def of_articles(self, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of articles, shape (n_articles, n_given).

        A row of zeros is an article without a vector; n_given is 0 if the store has no vectors.
        """
        query = "SELECT article_key, vector FROM article_vectors ORDER BY article_key"
        rows = self._conn.execute(query).fetchall()
        if not rows:
            return np.zeros((len(keys), 0), dtype=np.float32)
        stored = np.array([key for key, _ in rows], dtype=np.int64)
        given = np.frombuffer(b"".join(packed for _, packed in rows), "<f4").reshape(len(rows), -1)
        at = np.minimum(np.searchsorted(stored, keys), len(stored) - 1)
        return np.where((stored[at] == keys)[:, np.newaxis], given[at], np.float32(0.0))

    def put(
        self,
        texts: Sequence[ArticleText],
        vectors: NDArray[np.float32],
        model: str,
        *,
        replaces_all: bool = False,
    ) -> int:
        """Store the vectors that a model made of some texts; return how many were stored.

        An article whose text has changed since it was read, or that has got a vector since, is
        left out.

        Parameters
        ----------
        texts, vectors
            What `texts` returned, and a vector of each.
        model
            The name of the model.
        replaces_all
            Whether all vectors of the store are deleted first, whoever made them.

        Raises
        ------
        StoreError
            If the store has vectors of another model by now.
        """
        with self._transaction():
            if replaces_all:
                self._delete_all()
            if (now := self.model) not in (None, model):
                raise StoreError(
                    f"the store has vectors {'of ' + now if now else 'that it was given'} by now,"
                    f" not of {model}: another command stored them; run this one again"
                )
            self._conn.execute("INSERT OR REPLACE INTO settings VALUES ('vectors_of', ?)", (model,))
            stored = [
                text.article_key
                for text, vector in zip(texts, vectors, strict=True)
                if self._conn.execute(
                    "INSERT OR IGNORE INTO article_vectors SELECT article_key, ? FROM articles"
                    " WHERE article_key = ? AND revision = ?",
                    (vector.astype("<f4").tobytes(), text.article_key, text.revision),
                ).rowcount
            ]
            # The examples of days when these articles were shown know nothing of the vectors.
            oldest = self._conn.execute(
                "SELECT min(coalesce(published_at, 0)) FROM articles"
                " WHERE article_key IN (SELECT value FROM json_each(?))",
                (json.dumps(stored),),
            ).fetchone()[0]
            self._derived.drop_examples(oldest)
        return len(stored)

    def delete_all(self) -> None:
        """Delete all vectors, and what was computed with them.

        Files of articles count as not yet read, so that vectors in them are stored when they are
        ingested again.
        """
        with self._transaction():
            self._delete_all()
            self._conn.execute("DELETE FROM read_files")

    def _delete_all(self) -> None:
        self._conn.execute("DELETE FROM article_vectors")
        self._conn.execute("DELETE FROM settings WHERE name = 'vectors_of'")
        self._derived.drop_examples(0)
