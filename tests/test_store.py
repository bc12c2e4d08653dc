import json
import sqlite3
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from conftest import RECEIVED_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import TextConfig
from recsys.errors import StoreError
from recsys.id_search import IdSearch
from recsys.ingest.batches import Batch
from recsys.ingest.validate import check
from recsys.rows import (
    HOUR_MS,
    TIME_IS_BOUND,
    UNKNOWN_TIME,
    Added,
    Clicks,
    IdMap,
    RuleChange,
    to_ms,
)
from recsys.signals.text import count_terms
from recsys.store.database import Store
from recsys.store.schema import MIGRATIONS

CLICK_SCHEMA = {
    "user_id": pl.String,
    "article_id": pl.String,
    "clicked_at": pl.Int64,
    "dwell_seconds": pl.Float64,
    "source": pl.String,
    TIME_IS_BOUND: pl.Boolean,
}


def sql(store, statement, parameters=()):
    """Run one statement on the store's file through a connection of its own."""
    with closing(sqlite3.connect(store.path)) as conn, conn:
        return conn.execute(statement, parameters).fetchall()


def article(**fields):
    return json.dumps({"article_id": "a", "title": "Title"} | fields) + "\n"


def click(user_id="u", **fields):
    row = {"user_id": user_id, "article_id": "a", "clicked_at": "2026-03-01T10:00:00Z"}
    return json.dumps(row | fields) + "\n"


def add_clicks(store, *rows):
    """Add (user_id, article_id, clicked_ms, dwell_seconds, time_is_bound) rows as one batch."""
    rows = [(*row[:4], None, row[4]) for row in rows]
    frame = pl.DataFrame(rows, schema=CLICK_SCHEMA, orient="row")
    return store.add("clicks", frame, [], file="f", at_ms=0)["clicks"]


def test_a_changed_article_is_updated_and_counted(store, load):
    assert load({"1.jsonl": article()}).added["articles"].new == 1
    assert load({"1.jsonl": article()}).added["articles"].known == 1
    assert load({"2.jsonl": article(title="Other")}).added["articles"].changed == 1
    assert store.articles(known_by_ms=RECEIVED_MS).titles == ("Other",)
    assert sql(store, "SELECT revision FROM articles") == [(2,)]


def test_a_click_before_its_article_is_stored_and_counts_later(store, load):
    load({"c.jsonl": click(article_id="late")})
    before = store.articles(known_by_ms=RECEIVED_MS)
    assert (before.id_map.ids, before.titles) == (("late",), ("",))
    load({"a.jsonl": article(article_id="late")})
    after = store.articles(known_by_ms=RECEIVED_MS)
    assert (after.id_map.ids, after.titles) == (("late",), ("Title",))
    assert after.id_map.keys.tolist() == before.id_map.keys.tolist()


def test_an_article_published_in_the_future_is_not_known_yet(store, load):
    load({"a.jsonl": article(published_at="2026-04-01T00:00:00Z")})
    assert len(store.articles(known_by_ms=RECEIVED_MS).id_map) == 0
    assert len(store.articles(known_by_ms=RECEIVED_MS + 40 * 86_400_000).id_map) == 1


def test_impressions_are_read_back_as_they_were_stored(store, load):
    row = {
        "user_id": "u",
        "shown_at": "2026-03-01T10:00:00Z",
        "shown": ["b", "a", "c"],
        "clicked": ["a"],
        "clicked_at": "2026-03-01T10:00:09Z",
        "source": "front",
    }
    for _ in range(2):
        load({"i.jsonl": json.dumps(row) + "\n"})
    found = store.impressions(from_ms=0, before_ms=2**53)
    articles = store.articles(known_by_ms=RECEIVED_MS).id_map
    article_index = articles.index_of_keys(found.article_key)
    assert [articles.ids[index] for index in article_index] == ["b", "a", "c"]
    assert found.clicked.tolist() == [False, True, False]
    assert (found.clicked_ms - found.shown_ms).tolist() == [9_000]
    assert found.context_key.tolist() == [-1]
    # The impression's click is stored as a click, with list and position as its source.
    clicks = sql(store, "SELECT clicked_at - 9000, source FROM clicks")
    assert clicks == [(found.shown_ms[0], "front:2")]


def test_a_store_without_impressions_returns_empty_arrays(store):
    found = store.impressions(from_ms=0, before_ms=2**53)
    assert found.start.tolist() == [0]
    assert len(found.user_key) == len(found.article_key) == len(found.propensity) == 0
    with pytest.raises(StoreError, match="recsys ingest"):
        store.last_impression_ms()


def test_a_failed_batch_changes_nothing(store):
    frame = pl.DataFrame({"row": [1], "article_id": ["a"], "title": ["T"]})
    checked = check(Batch("articles", frame), received_ms=RECEIVED_MS, path="x")
    broken = checked.rows.with_columns(premium=pl.lit("neither"))
    with pytest.raises(StoreError, match="the change was not stored"):
        store.add("articles", broken, [], file="x", at_ms=RECEIVED_MS)
    assert sql(store, "SELECT count(*) FROM article_ids") == [(0,)]


def test_numpy_integers_are_refused_rather_than_stored_as_blobs(store):
    with pytest.raises(sqlite3.IntegrityError, match="cannot store BLOB"):
        sql(store, "INSERT INTO rejected_rows VALUES ('f', 1, '', 'r', '', ?)", (np.int64(1),))


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "new.db"
    with Store(path) as store:
        sql(store, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="upgrade recsys"):
        Store(path)


def test_a_path_without_a_store_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(StoreError, match="recsys ingest"):
        Store(tmp_path / "none.db", must_exist=True)
    path = tmp_path / "text.db"
    path.write_text("this is no database, only some text" * 100)
    with pytest.raises(StoreError, match=r"text\.db"):
        Store(path)


def test_text_vectors_are_read_back_bit_for_bit(store, load):
    load({"a.jsonl": article(article_id="a") + article(article_id="b", title="Other words")})
    keys = store.articles(known_by_ms=RECEIVED_MS).id_map.keys.tolist()
    counts = count_terms(["Title", "Other words"], ["", ""], ["", ""], TextConfig())
    store.derived.put_text_vectors(keys, ["x", "y"], counts)
    digests = store.derived.text_digests()
    found = store.derived.text_vectors([*keys, -1], counts.shape[1])
    assert digests == dict(zip(keys, ["x", "y"], strict=True))
    assert (found[:2] != counts).nnz == 0
    assert found[2].nnz == 0  # no article has the key -1


def test_examples_are_dropped_when_earlier_clicks_arrive(store, load):
    day_ms = 24 * HOUR_MS
    ends_ms = [RECEIVED_MS - 3 * day_ms, RECEIVED_MS - day_ms]
    for until_ms in ends_ms:
        store.derived.put_examples(until_ms, "head", b"packed", oldest_ms=0, most=9)
    add_clicks(store, ("u", "a", ends_ms[0] + 1, None, False))
    assert [store.derived.examples(ms, "head") for ms in ends_ms] == [b"packed", None]


def test_id_map_returns_indexes_and_minus_one_for_unknown_keys():
    id_map = IdMap(["a", "b", "c"], np.array([30, 10, 20]))
    assert id_map.index_of_keys(np.array([10, 20, 30, 40])).tolist() == [1, 2, 0, -1]
    assert IdMap([], np.zeros(0, np.int64)).index_of_keys(np.array([1])).tolist() == [-1]


def test_an_unknown_time_is_read_back_as_unknown(store, load):
    load({"a.jsonl": article()})
    assert store.articles(known_by_ms=RECEIVED_MS).published_ms.tolist() == [UNKNOWN_TIME]


def count_equal_clicks(store, from_ms, before_ms):
    """Check that clicks read from packed hours equal the rows; return the number of clicks."""
    found = store.clicks(from_ms=from_ms, before_ms=before_ms)
    rows = sql(
        store,
        "SELECT user_key, article_key, clicked_at, dwell_seconds, time_is_bound FROM clicks"
        " WHERE clicked_at >= ? AND clicked_at < ? ORDER BY clicked_at, user_key, article_key",
        (from_ms, before_ms),
    )
    columns = list(zip(*rows, strict=True))
    assert found.user_key.tolist() == list(columns[0])
    assert found.article_key.tolist() == list(columns[1])
    assert found.clicked_ms.tolist() == list(columns[2])
    dwell_seconds = np.array(columns[3], dtype=np.float32)  # None becomes NaN
    np.testing.assert_array_equal(found.dwell_seconds, dwell_seconds)
    assert found.time_is_bound.tolist() == list(map(bool, columns[4]))
    return len(rows)


def test_packed_hours_hold_the_same_clicks_as_the_rows(store, load):
    def at(minute):
        return f"2026-03-01T{10 + minute // 60}:{minute % 60:02d}:00.25Z"

    hour_ms = to_ms(datetime(2026, 3, 1, 10, tzinfo=UTC))
    first = click("u", clicked_at=at(0), dwell_seconds=7.5) + click("v", clicked_at=at(59))
    load({"1.jsonl": first + click("u", clicked_at=at(61))})
    assert count_equal_clicks(store, 0, 2**53) == 3
    assert count_equal_clicks(store, hour_ms + 60_000, hour_ms + HOUR_MS + 60_250) == 1
    # One new click and one with a reading time that was unknown, both in an hour that is packed.
    second = click("w", clicked_at=at(30)) + click("v", clicked_at=at(59), dwell_seconds=3.0)
    load({"2.jsonl": second})
    assert count_equal_clicks(store, 0, 2**53) == 4
    # An earlier log moves a bound into an earlier hour.
    for minute, n_in_hour in ((90, 3), (10, 4)):
        add_clicks(store, ("x", "a", hour_ms + 60_000 * minute, None, True))
        assert count_equal_clicks(store, 0, 2**53) == 5
        assert count_equal_clicks(store, hour_ms, hour_ms + HOUR_MS) == n_in_hour


def test_only_the_owner_may_read_the_store_and_the_files_beside_it(tmp_path):
    path = tmp_path / "recsys.db"
    with Store(path) as store:
        store.put_run("r", "nightly", "2026-03-01T00:00:00Z", "failed", {})
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes.keys() >= {"recsys.db", "recsys.db-wal"}
    assert set(modes.values()) == {0o600}


CLICKS = st.tuples(
    st.sampled_from(["u1", "u2", "u3"]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 3),  # hour
    st.integers(0, 2),  # millisecond
    st.sampled_from([None, 5.0, 7.25]),  # reading time
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(CLICKS, min_size=1, max_size=12), st.booleans(), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_hours_packed_while_adding_equal_hours_packed_from_rows(batches):
    """In any order, repeated, with reading times that earlier logs lacked, with bounds, and with
    reads in between."""
    with TemporaryDirectory() as folder, Store(Path(folder) / "s.db") as store:
        for batch, is_bound, read_first in batches:
            if read_first:
                store.clicks(from_ms=0, before_ms=2**60)
            rows = [
                (user_id, article_id, RECEIVED_MS + HOUR_MS * hour + ms, dwell_seconds, is_bound)
                for user_id, article_id, hour, ms, dwell_seconds in batch
            ]
            add_clicks(store, *rows)
        while_adding = store.clicks(from_ms=0, before_ms=2**60)
        sql(store, "UPDATE click_hours SET packed = NULL")
        from_rows = store.clicks(from_ms=0, before_ms=2**60)
        for field in fields(Clicks):
            np.testing.assert_array_equal(
                getattr(while_adding, field.name), getattr(from_rows, field.name)
            )


def test_a_bound_does_not_move_onto_a_click_whose_time_is_known(store):
    def add(minute, is_bound):
        return add_clicks(store, ("u", "a", RECEIVED_MS + 60_000 * minute, None, is_bound))

    assert [add(0, False), add(9, True), add(0, True)] == [Added(1), Added(1), Added(known=1)]
    assert add(4, True) == Added(1)  # an earlier bound, at the instant of no other click
    found = store.clicks(from_ms=0, before_ms=2**60)
    assert ((found.clicked_ms - RECEIVED_MS) // 60_000).tolist() == [0, 4]
    assert found.time_is_bound.tolist() == [False, True]


def test_cached_keys_are_dropped_when_another_process_writes(store, load):
    load({"1.jsonl": click("u")})
    with Store(store.path) as other:
        other.deletion.delete_user("u", IdSearch(["u"]))
        add_clicks(other, ("else", "a", RECEIVED_MS - 1, None, False))
    load({"2.jsonl": click("u")})
    user_ids = sql(store, "SELECT user_id FROM clicks JOIN users USING (user_key)")
    assert sorted(user_ids) == [("else",), ("u",)]


def test_cached_keys_are_dropped_when_a_batch_fails(store, load):
    frame = pl.DataFrame([("u", "a", RECEIVED_MS, "long", None, False)], orient="row")
    frame.columns = list(CLICK_SCHEMA)
    with pytest.raises(StoreError):  # "long" is no number, noticed after the keys
        store.add("clicks", frame, [], file="f", at_ms=0)
    assert store.users().ids == []
    load({"1.jsonl": click("u")})
    assert store.users().ids == ["u"]


def test_cached_keys_are_dropped_when_a_user_is_deleted(store, load):
    load({"1.jsonl": click("u") + click("v")})
    store.deletion.delete_user("u", IdSearch(["u"]))
    load({"2.jsonl": click("u")})
    users = store.users()
    user_key = users.keys[users.ids.index("u")]
    clicks = store.clicks(from_ms=0, before_ms=2**60)
    assert clicks.user_key.tolist().count(user_key) == 1


def test_a_rule_version_that_another_process_stored_first_is_refused(store):
    change = RuleChange("r1", 1, "added", "{}", "Ann", "legal", 0)
    store.put_rule(change)
    with pytest.raises(StoreError, match="another process"):
        store.put_rule(change)
    assert store.rule_changes() == [change]
