import json
import sqlite3
from contextlib import closing

import msgspec
import pytest
from conftest import BY_HAND, RECEIVED_MS, SAMPLE

from recsys.config import DataConfig
from recsys.errors import ConfigError, StoreError
from recsys.id_search import IdSearch
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.rows import HOUR_MS
from recsys.store.database import Store


@pytest.fixture
def filled(tmp_path):
    """A store that holds the sample."""
    with Store(tmp_path / "s.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        yield store


def clicks_of(store):
    """The store's clicks as sorted (user key, article key, instant in ms)."""
    clicks = store.clicks(from_ms=0, before_ms=RECEIVED_MS)
    columns = (clicks.user_key, clicks.article_key, clicks.clicked_ms)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_rows_before_the_instant_are_deleted_and_all_others_are_kept(filled):
    instant_ms = RECEIVED_MS - 40 * HOUR_MS + 12_345  # within an hour, which is packed as a whole
    before = clicks_of(filled)
    impressions_before = filled.impressions(from_ms=0, before_ms=RECEIVED_MS)
    recent = [row for row in before if row[2] >= instant_ms]
    n_deleted = filled.deletion.delete_before(instant_ms)
    assert clicks_of(filled) == recent
    assert 0 < n_deleted["clicks"] == len(before) - len(recent)
    shown_ms = impressions_before.shown_ms
    impressions = filled.impressions(from_ms=0, before_ms=RECEIVED_MS)
    assert impressions.shown_ms.tolist() == shown_ms[shown_ms >= instant_ms].tolist()
    # Users without any remaining click or impression are deleted, and no others.
    user_keys = set(impressions.user_key.tolist()) | {row[0] for row in recent}
    assert set(filled.users().keys.tolist()) == user_keys
    assert n_deleted["users"] > 0
    assert set(filled.deletion.delete_before(instant_ms).values()) == {0}


def test_rejected_rows_are_deleted_however_json_writes_the_id(tmp_path):
    rejected = {"user_id": "jürgen", "article_id": "a1", "clicked_at": "never"}
    path = tmp_path / "log.jsonl"
    texts = [json.dumps(rejected), json.dumps(rejected, ensure_ascii=False)]
    path.write_text("\n".join([*texts, texts[0].replace("rgen", "rg")]), "utf-8")
    with Store(tmp_path / "s.db") as store:
        load_files(store, expand([path]), received_ms=RECEIVED_MS)
        assert store.deletion.delete_user("jürgen", IdSearch(["jürgen"]))["rejected_rows"] == 2


def test_a_reader_that_keeps_deleted_bytes_in_the_log_is_reported(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_text("user_id,article_id,clicked_at\nu1,a1,2026-03-01T00:00:00Z\n")
    with Store(tmp_path / "s.db") as store:
        load_files(store, expand([path]), received_ms=RECEIVED_MS)
        store._conn.execute("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM users").fetchall()
            assert store.deletion.delete_user("u1", IdSearch(["u1"]))["users"] == 1
            with pytest.raises(StoreError, match="another process reads the store"):
                store.deletion.overwrite_deleted()
        store.deletion.overwrite_deleted()
    assert b"u1" not in (tmp_path / "s.db").read_bytes()


def test_a_nightly_run_keeps_as_many_days_as_the_settings_say(filled, tmp_path):
    data = DataConfig(window_days=1.0, keep_days=1.5)
    config = msgspec.structs.replace(BY_HAND, data=data)
    report = run_nightly(filled, tmp_path / "p", as_of_ms=RECEIVED_MS, config=config)
    oldest_ms = min(row[2] for row in clicks_of(filled))
    assert oldest_ms >= RECEIVED_MS - 36 * HOUR_MS
    assert report.counts["erased_clicks"] > 0
    with pytest.raises(ConfigError, match="keep_days"):
        DataConfig(window_days=30.0, keep_days=10.0)


def test_by_default_nothing_is_deleted(filled, tmp_path):
    before = clicks_of(filled)
    run_nightly(filled, tmp_path / "p", as_of_ms=RECEIVED_MS, config=BY_HAND)
    assert clicks_of(filled) == before
