import json
import sqlite3

import numpy as np
import pytest

from recsys.ingest.load_files import VECTOR_LEFT_OUT
from recsys.rows import Added
from recsys.store.article_vectors import put_vector


@pytest.fixture
def conn():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(
        "CREATE TABLE article_vectors (article_key INTEGER PRIMARY KEY, vector BLOB)"
    )
    yield connection
    connection.close()


def test_the_first_vector_decides_the_length_of_all(conn):
    assert put_vector(conn, 1, [1.0, 2.0]) is True
    assert put_vector(conn, 1, [1.0, 2.0]) is False
    assert put_vector(conn, 2, [1.0]) is None
    assert put_vector(conn, 1, [1.0, 2.0, 3.0]) is True  # it is the only one
    assert put_vector(conn, 2, [3.0, 2.0, 1.0]) is True


def test_an_empty_vector_deletes_one(conn):
    assert put_vector(conn, 1, []) is False
    put_vector(conn, 1, [1.0])
    assert put_vector(conn, 1, []) is True
    assert conn.execute("SELECT count(*) FROM article_vectors").fetchone() == (0,)


def test_a_vector_of_another_length_is_counted_and_its_row_is_read(store, load):
    rows = [{"vector": [1, 2]}, {"vector": [1, 2, 3]}, {"vector": [2, 1]}]
    lines = (json.dumps({"article_id": f"a{i}", "title": "T"} | row) for i, row in enumerate(rows))
    report = load({"a.jsonl": "\n".join(lines)})
    assert report.added["articles"] == Added(new=3, vectors_left_out=1)
    assert report.ignored == {VECTOR_LEFT_OUT: 1}


def test_a_new_vector_changes_an_article_and_an_older_version_does_not(store, load):
    row = {"article_id": "a", "title": "T", "modified_at": "2026-03-01T08:00:00Z"}
    load({"a.jsonl": json.dumps(row | {"vector": [1, 2]})})
    newer = {"article_id": "a", "vector": [2, 1], "modified_at": "2026-03-01T09:00:00Z"}
    assert load({"b.jsonl": json.dumps(newer)}).added["articles"] == Added(changed=1)
    older = newer | {"vector": [0, 1], "modified_at": "2026-03-01T08:30:00Z"}
    assert load({"c.jsonl": json.dumps(older)}).added["articles"] == Added(known=1)


def test_vectors_are_read_for_keys_in_any_order_and_zeros_for_none(store, load):
    rows = [{"article_id": f"a{i}", "title": "T"} for i in range(3)]
    load({"a.jsonl": "\n".join(map(json.dumps, rows))})
    keys = store.article_ids().keys
    assert store.vectors.model is None
    assert store.vectors.of_articles(keys).shape == (3, 0)
    first, _, last = store.vectors.texts(-1, 9, of_all=False)
    assert store.vectors.put([first, last], np.array([[1, 2], [3, 4]], np.float32), "m") == 2
    assert store.vectors.model == "m"
    assert store.vectors.of_articles(keys[::-1]).tolist() == [[3, 4], [0, 0], [1, 2]]
    assert store.vectors.of_articles(keys[:0]).shape == (0, 2)
    assert [of.article_key for of in store.vectors.texts(-1, 9, of_all=False)] == [keys[1]]
    assert [of.article_key for of in store.vectors.texts(int(keys[0]), 1, of_all=True)] == [keys[1]]


def test_an_embedded_article_whose_text_changes_loses_its_vector(store, load):
    load({"a.jsonl": json.dumps({"article_id": "a", "title": "T"})})
    keys = store.article_ids().keys
    texts = store.vectors.texts(-1, 9, of_all=False)
    store.vectors.put(texts, np.ones((1, 2), np.float32), "m")
    load({"b.jsonl": json.dumps({"article_id": "a", "title": "T", "author": "Ann"})})
    assert store.vectors.of_articles(keys).all()
    report = load({"c.jsonl": json.dumps({"article_id": "a", "title": "U", "vector": [1, 2]})})
    assert store.vectors.count() == 0
    assert report.ignored == {VECTOR_LEFT_OUT: 1}  # vectors of the publisher are not mixed in
    cleared = load({"d.jsonl": json.dumps({"article_id": "a", "title": "U", "vector": None})})
    assert cleared.ignored == {}
    store.vectors.delete_all()
    assert store.vectors.model is None
