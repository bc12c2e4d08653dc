"""Write the vectors that publishers give of their articles; the caller runs the transaction.

All vectors of a store have one length, that of the first one. So a vector of another model is
noticed, and does not mix with those of the model before.
"""

import sqlite3
from collections.abc import Sequence

import numpy as np


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
