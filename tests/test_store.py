import json
import sqlite3
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
from recsys.ingest.batches import Batch
from recsys.ingest.validate import check
from recsys.rows import HOUR_MS, TIME_IS_BOUND, UNKNOWN_TIME, Added, Clicks, IdMap, to_ms
from recsys.signals.text import count_terms
from recsys.store.database import Store
from recsys.store.schema import MIGRATIONS


def article(**fields):
    return json.dumps({"article_id": "a", "title": "Title"} | fields) + "\n"


def test_a_changed_article_is_updated_and_counted(store, load):
    assert load({"1.jsonl": article()}).added["articles"].new == 1
    assert load({"1.jsonl": article()}).added["articles"].known == 1
    assert load({"2.jsonl": article(title="Other")}).added["articles"].changed == 1
    assert store.articles(known_by_ms=RECEIVED_MS).titles == ("Other",)
    revision = store._conn.execute("SELECT revision FROM articles").fetchone()
    assert revision == (2,)


def test_a_click_before_its_article_is_kept_and_counts_later(store, load):
    click = {"user_id": "u", "article_id": "late", "clicked_at": "2026-03-01T10:00:00Z"}
    load({"c.jsonl": json.dumps(click) + "\n"})
    before = store.articles(known_by_ms=RECEIVED_MS)
    assert (before.id_map.ids, before.titles) == (("late",), ("",))
    load({"a.jsonl": article(article_id="late")})
    after = store.articles(known_by_ms=RECEIVED_MS)
    assert (after.id_map.ids, after.titles) == (("late",), ("Title",))
    assert after.id_map.keys.tolist() == before.id_map.keys.tolist()


def test_an_article_dated_ahead_is_not_known_yet(store, load):
    load({"a.jsonl": article(published_at="2026-04-01T00:00:00Z")})
    assert len(store.articles(known_by_ms=RECEIVED_MS).id_map) == 0
    assert len(store.articles(known_by_ms=RECEIVED_MS + 40 * 86_400_000).id_map) == 1


def test_impressions_are_read_back_as_they_were(store, load):
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
    seen = store.impressions(from_ms=0, before_ms=2**53)
    articles = store.articles(known_by_ms=RECEIVED_MS).id_map
    place = articles.index_of_keys(seen.article_key)
    assert [articles.ids[i] for i in place] == ["b", "a", "c"]
    assert seen.clicked.tolist() == [False, True, False]
    assert (seen.clicked_ms - seen.shown_ms).tolist() == [9_000]
    assert seen.context_key.tolist() == [-1]
    # The click is a click too, with list and position as its source.
    clicks = store._conn.execute("SELECT clicked_at - 9000, source FROM clicks").fetchall()
    assert clicks == [(seen.shown_ms[0], "front:2")]


def test_a_failed_batch_leaves_nothing_behind(store):
    import polars as pl

    frame = pl.DataFrame({"row": [1], "article_id": ["a"], "title": ["T"]})
    checked = check(Batch("articles", frame), received_ms=RECEIVED_MS, path="x")
    broken = checked.rows.with_columns(title=pl.lit(None, dtype=pl.String))
    with pytest.raises((sqlite3.IntegrityError, AttributeError)):
        store.add("articles", broken, [], file="x", at_ms=RECEIVED_MS)
    assert store._conn.execute("SELECT count(*) FROM article_ids").fetchone() == (0,)


def test_numpy_integers_are_refused_rather_than_kept_as_blobs(store):
    with pytest.raises(sqlite3.IntegrityError, match="cannot store BLOB"):
        store._conn.execute(
            "INSERT INTO rejected_rows VALUES ('f', 1, '', 'r', '', ?)", (np.int64(1),)
        )


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "new.db"
    with Store(path) as store:
        store._conn.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="upgrade recsys"):
        Store(path)


def test_what_is_no_store_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(StoreError, match="recsys ingest"):
        Store(tmp_path / "none.db", must_exist=True)
    path = tmp_path / "text.db"
    path.write_text("this is no database, only some text" * 100)
    with pytest.raises(StoreError, match=r"text\.db"):
        Store(path)


def test_text_vectors_come_back_bit_for_bit(store, load):
    load({"a.jsonl": article(article_id="a") + article(article_id="b", title="Other words")})
    keys = store.articles(known_by_ms=RECEIVED_MS).id_map.keys.tolist()
    counts = count_terms(["Title", "Other words"], ["", ""], ["", ""], TextConfig())
    store.derived.put_text_vectors(keys, ["x", "y"], counts)
    digests = store.derived.text_digests()
    found = store.derived.text_vectors([*keys, -1], counts.shape[1])
    assert digests == dict(zip(keys, ["x", "y"], strict=True))
    assert (found[:2] != counts).nnz == 0
    assert found[2].nnz == 0  # of an article with none


def test_id_map_finds_places_and_says_minus_one_for_strangers():
    id_map = IdMap(["a", "b", "c"], np.array([30, 10, 20]))
    assert id_map.index_of_keys(np.array([10, 20, 30, 40])).tolist() == [1, 2, 0, -1]
    assert IdMap([], np.zeros(0, np.int64)).index_of_keys(np.array([1])).tolist() == [-1]


def test_an_unknown_time_survives_the_store(store, load):
    load({"a.jsonl": article()})
    assert store.articles(known_by_ms=RECEIVED_MS).published_ms.tolist() == [UNKNOWN_TIME]


def clicks_row_by_row(store, from_ms, before_ms):
    rows = store._conn.execute(
        "SELECT user_key, article_key, clicked_at, dwell_seconds, time_is_bound FROM clicks"
        " WHERE clicked_at >= ? AND clicked_at < ? ORDER BY clicked_at, user_key, article_key",
        (from_ms, before_ms),
    ).fetchall()
    return [tuple(np.nan if v is None else v for v in row) for row in rows]


def same_clicks(store, from_ms, before_ms):
    """Whether the packed columns hold what the rows say, and how many clicks that is."""
    found = store.clicks(from_ms=from_ms, before_ms=before_ms)
    columns = (found.user_key, found.article_key, found.clicked_ms, found.dwell_seconds)
    rows = clicks_row_by_row(store, from_ms, before_ms)
    assert len(rows) == len(found.user_key)
    for row, packed in zip(rows, zip(*columns, found.time_is_bound, strict=True), strict=True):
        np.testing.assert_array_equal(np.float32(row[3]), packed[3])
        assert (*row[:3], bool(row[4])) == (*packed[:3], packed[4])
    return len(rows)


def test_packed_hours_are_the_rows_of_the_store(store, load):
    def click(user, minute, **fields):
        at = f"2026-03-01T{10 + minute // 60}:{minute % 60:02d}:00.25Z"
        return json.dumps({"user_id": user, "article_id": "a", "clicked_at": at} | fields) + "\n"

    hour = to_ms(datetime(2026, 3, 1, 10, tzinfo=UTC))
    load({"1.jsonl": click("u", 0, dwell_seconds=7.5) + click("v", 59) + click("u", 61)})
    assert same_clicks(store, 0, 2**53) == 3
    assert same_clicks(store, hour + 60_000, hour + HOUR_MS + 60_250) == 1
    load({"2.jsonl": click("w", 30) + click("v", 59, dwell_seconds=3.0)})  # into a packed hour
    assert same_clicks(store, 0, 2**53) == 4
    for at in ("11:30", "10:10"):  # a bound is moved to an earlier hour by an earlier log
        history = {
            "user_id": ["x"],
            "article_id": ["a"],
            "dwell_seconds": [None],
            "source": [None],
            "clicked_at": [to_ms(datetime.fromisoformat(f"2026-03-01T{at}:00Z"))],
            "time_is_bound": [True],
        }
        rows = pl.DataFrame(
            history, schema_overrides={"dwell_seconds": pl.Float64, "source": pl.String}
        )
        store.add("clicks", rows, [], file="h", at_ms=RECEIVED_MS)
        assert same_clicks(store, 0, 2**53) == 5
        assert same_clicks(store, hour, hour + HOUR_MS) == (3 if at == "11:30" else 4)


def test_a_store_and_what_sqlite_writes_beside_it_are_its_owner_s_alone(tmp_path):
    path = tmp_path / "recsys.db"
    with Store(path) as store:
        store.put_run("r", "nightly", "2026-03-01T00:00:00Z", "failed", {})
        found = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert found.keys() >= {"recsys.db", "recsys.db-wal"}
    assert set(found.values()) == {0o600}


CLICKS = st.tuples(
    st.sampled_from(["u1", "u2", "u3"]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from([None, 5.0, 7.25]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(CLICKS, min_size=1, max_size=12), st.booleans(), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_hours_packed_as_they_come_are_hours_packed_from_the_rows(batches):
    """In any order, twice, with reading times that an earlier log did not know, with clicks
    whose time is a bound, and read in between."""
    with TemporaryDirectory() as folder, Store(Path(folder) / "s.db") as store:
        for batch, is_bound, is_read in batches:
            if is_read:
                store.clicks(from_ms=0, before_ms=2**60)
            rows = pl.DataFrame(
                [
                    (user, article, RECEIVED_MS + HOUR_MS * hour + ms, dwell, None, is_bound)
                    for user, article, hour, ms, dwell in batch
                ],
                schema={
                    "user_id": pl.String,
                    "article_id": pl.String,
                    "clicked_at": pl.Int64,
                    "dwell_seconds": pl.Float64,
                    "source": pl.String,
                    TIME_IS_BOUND: pl.Boolean,
                },
                orient="row",
            )
            store.add("clicks", rows, [], file="f", at_ms=0)
        packed = store.clicks(from_ms=0, before_ms=2**60)
        store._conn.execute("UPDATE click_hours SET packed = NULL")
        from_rows = store.clicks(from_ms=0, before_ms=2**60)
        for field in fields(Clicks):
            np.testing.assert_array_equal(
                getattr(packed, field.name), getattr(from_rows, field.name)
            )


def test_a_bound_does_not_move_onto_a_click_that_is_known_to_the_instant(store):
    def add(minute, is_bound):
        row = {
            "user_id": "u",
            "article_id": "a",
            "clicked_at": RECEIVED_MS + 60_000 * minute,
            "dwell_seconds": None,
            "source": None,
            TIME_IS_BOUND: is_bound,
        }
        rows = pl.DataFrame(
            [row], schema_overrides={"dwell_seconds": pl.Float64, "source": pl.String}
        )
        return store.add("clicks", rows, [], file="f", at_ms=0)["clicks"]

    assert [add(0, False), add(9, True), add(0, True)] == [Added(1), Added(1), Added(known=1)]
    assert add(4, True) == Added(1)  # tighter, and no other click's instant
    found = store.clicks(from_ms=0, before_ms=2**60)
    assert ((found.clicked_ms - RECEIVED_MS) // 60_000).tolist() == [0, 4]
    assert found.time_is_bound.tolist() == [False, True]


def test_keys_that_are_remembered_are_those_of_the_store(store, load):
    """Another process forgets a reader whom this one has just met, and a batch fails."""
    line = {"user_id": "u", "article_id": "a", "clicked_at": "2026-03-01T10:00:00Z"}
    load({"1.jsonl": json.dumps(line) + "\n"})
    with Store(store.path) as other:
        other.erasure.reader("u")
        other.add(
            "clicks",
            pl.DataFrame(
                {
                    "user_id": ["else"],
                    "article_id": ["a"],
                    "clicked_at": [RECEIVED_MS - 1],
                    "dwell_seconds": [None],
                    "source": [None],
                },
                schema_overrides={"dwell_seconds": pl.Float64, "source": pl.String},
            ),
            [],
            file="f",
            at_ms=0,
        )
    load({"2.jsonl": json.dumps(line) + "\n"})
    rows = store._conn.execute("SELECT user_id FROM clicks JOIN users USING (user_key)").fetchall()
    assert sorted(rows) == [("else",), ("u",)]

    def fail_halfway():
        with store._write():
            store._ids.keys("users", pl.Series(["never stored"]))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    load({"3.jsonl": json.dumps(line | {"user_id": "never stored"}) + "\n"})
    assert "never stored" in store.users().ids
    store.erasure.reader("u")
    load({"4.jsonl": json.dumps(line) + "\n"})
    assert (
        store.clicks(from_ms=0, before_ms=2**60)
        .user_key.tolist()
        .count(store.users().keys[store.users().ids.index("u")])
        == 1
    )
