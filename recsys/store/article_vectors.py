"""The vectors that publishers give of their articles; the caller runs the transaction.

All vectors of a store have one length, that of the first one. So a vector of another model is
noticed, and does not mix with those of the model before.
"""

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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


def read_vectors(conn: sqlite3.Connection, keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the vectors of articles, shape (n_articles, n_given).

    A row of zeros is an article without a vector; n_given is 0 if the store has no vectors.
    """
    first = conn.execute("SELECT length(vector) FROM article_vectors LIMIT 1").fetchone()
    n_given = 0 if first is None else first[0] // 4
    vectors = np.zeros((len(keys), n_given), dtype=np.float32)
    if n_given and len(keys):
        order = np.argsort(keys)
        for key, packed in conn.execute("SELECT article_key, vector FROM article_vectors"):
            at = int(np.searchsorted(keys, key, sorter=order))
            if at < len(keys) and keys[order[at]] == key:
                vectors[order[at]] = np.frombuffer(packed, dtype="<f4")
    return vectors
